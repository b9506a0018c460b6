# SPDX-License-Identifier: Apache-2.0
"""How a lost device is looked for: for how long, how often, and what is said of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Reconnects:
    """``patience_s`` is how long a device that is gone is looked for; 0 gives up at once."""

    patience_s: float = 0.0
    say: Callable[[str], None] = field(default=lambda text: None)
    done: int = 0

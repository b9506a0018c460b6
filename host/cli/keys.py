# SPDX-License-Identifier: Apache-2.0
"""The keys that --key names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mcutrain.host.cli.output import say

if TYPE_CHECKING:
    from mcutrain.host.keys import Keys


def given_keys(path: Path | None) -> Keys | None:
    """The keys of a file; None without one. A file that others can read is told of."""
    if path is None:
        return None
    from mcutrain.host.keys import read_keys
    from mcutrain.host.system.here import others_may_read

    keys = read_keys(path)
    if others_may_read(path):
        say(f"warning: others can read the keys in {path}: chmod 600 {path}")
    return keys

# SPDX-License-Identifier: Apache-2.0
"""Constants of the firmware's headers."""

from __future__ import annotations

import re

from tests.support.paths import FIRMWARE

MCT = FIRMWARE / "mct"


def constants(header: str, prefix: str) -> dict[str, int]:
    """Enumerators that begin with `prefix`, without it."""
    text = (MCT / header).read_text()
    pattern = rf"\b{prefix}(\w+) = (-?(?:0x)?[0-9a-f]+)"
    return {name: int(value, 0) for name, value in re.findall(pattern, text)}

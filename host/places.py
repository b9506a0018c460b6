# SPDX-License-Identifier: Apache-2.0
"""Where the package's own files lie, and where what is made of them goes.

An installed package holds the firmware, the boards and the example beside its Python; nothing is
ever written there. In a checkout the folder ``mcutrain`` has links to them.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import platformdirs

import mcutrain

PACKAGE = Path(mcutrain.__file__).parent
FIRMWARE_DIR = PACKAGE / "firmware"
BOARDS_DIR = FIRMWARE_DIR / "platform" / "boards"
EXAMPLE_DIR = PACKAGE / "examples" / "watch"
CACHE_VARIABLE = "MCUTRAIN_CACHE"


def cache_dir() -> Path:
    """The folder of everything that is built: the one that MCUTRAIN_CACHE names, or the user's."""
    named = os.environ.get(CACHE_VARIABLE)
    return Path(named).absolute() if named else platformdirs.user_cache_path("mcutrain")


def installation() -> str:
    """A name for where this package is installed: another one shares no object files with it."""
    return hashlib.sha256(os.fsencode(PACKAGE)).hexdigest()[:12]

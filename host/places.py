# SPDX-License-Identifier: Apache-2.0
"""Where the package's own files lie, and where what is made of them goes.

An installed package holds the firmware, the boards and the examples beside its Python; nothing is
ever written there. In a checkout the folder ``mcutrain`` has links to them.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import platformdirs

import mcutrain
from mcutrain.trainer.errors import Error

PACKAGE = Path(mcutrain.__file__).parent
FIRMWARE_DIR = PACKAGE / "firmware"
BOARDS_DIR = FIRMWARE_DIR / "platform" / "boards"
EMULATORS_DIR = FIRMWARE_DIR / "platform" / "emulators"
EXAMPLES = PACKAGE / "examples"
CACHE_VARIABLE = "MCUTRAIN_CACHE"


def cache_dir() -> Path:
    """The folder of everything that is built: the one that MCUTRAIN_CACHE names, or the user's.

    Raises Error for a user without a home folder.
    """
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named).absolute()
    try:
        users = platformdirs.user_cache_path("mcutrain")
    except RuntimeError:  # of newer versions; others give a path that begins with ~
        users = Path()
    if not users.is_absolute():
        raise Error(f"this user has no home folder for a cache: let {CACHE_VARIABLE} name a folder")
    return users


def installation() -> str:
    """A name for where this package is installed: another one shares no object files with it."""
    return hashlib.sha256(os.fsencode(PACKAGE)).hexdigest()[:12]

# SPDX-License-Identifier: Apache-2.0
"""The keys of a board, which a program gives as their file."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

from mcutrain.host.keys import Keys, read_keys
from mcutrain.host.system.here import others_may_read


def keys_of(file: str | os.PathLike[str] | None) -> Keys | None:
    """The keys of a file; None without one. A file that others can read is a UserWarning. Raises
    Error."""
    if file is None:
        return None
    path = Path(file)
    keys = read_keys(path)
    if others_may_read(path):
        warnings.warn(f"others can read the keys in {path}: chmod 600 {path}", stacklevel=4)
    return keys

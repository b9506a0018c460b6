# SPDX-License-Identifier: Apache-2.0
"""An error as a user reads it: one line that says what, where and what to do."""

from __future__ import annotations

from mcutrain.host.failure import reason
from mcutrain.host.places import cache_dir


def told(error: Exception) -> str:
    """The line, without breaks."""
    text = str(error)
    if isinstance(error, OSError) and error.errno is not None:
        text = f"{error.filename or somewhere()}: {reason(error)}"
    return " ".join(text.split("\n"))


def somewhere() -> str:
    """Where a file may lie whose name an error does not say."""
    import tempfile

    return f"an output, {tempfile.gettempdir()} or {cache_dir()}"

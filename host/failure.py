# SPDX-License-Identifier: Apache-2.0
"""What went wrong, in one line: what, where, and what to do."""

from __future__ import annotations

import errno

NO_SPACE = "free some space there"
ADVICE = {
    errno.ENOSPC: NO_SPACE,
    errno.EDQUOT: f"{NO_SPACE}, or have the quota raised",
    errno.EFBIG: "the limit on a file's size is reached: raise it (ulimit -f)",
    errno.EROFS: "give a place that can be written",
    errno.EACCES: "give a place that this user may use",
    errno.EPERM: "give a place that this user may use",
    errno.ENOTDIR: "give a folder, where there is a file",
    errno.EISDIR: "give a file, where there is a folder",
    errno.EEXIST: "give a folder, where there is a file",
    errno.EMFILE: "too many files are open: raise the limit (ulimit -n)",
    errno.ENAMETOOLONG: "give a shorter name",
}


def reason(error: OSError) -> str:
    """What the system says, and what to do about it where that is known."""
    said = error.strerror or str(error)
    advice = ADVICE.get(error.errno or 0)
    return f"{said}; {advice}" if advice else said

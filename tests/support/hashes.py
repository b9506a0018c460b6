# SPDX-License-Identifier: Apache-2.0
"""What ctypes knows of mct/sha256.h."""

from __future__ import annotations

import ctypes


class CHash(ctypes.Structure):
    """mct_sha256"""

    _fields_ = [
        ("state", ctypes.c_uint32 * 8),
        ("words", ctypes.c_uint32 * 16),
        ("nbytes", ctypes.c_uint32),
    ]

# SPDX-License-Identifier: Apache-2.0
"""Bytes changed at random."""

from __future__ import annotations

import random

INTEGERS = [b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x01\0\0\0"]


def mutate(data: bytes, rng: random.Random) -> bytes:
    """One or a few changes: a bit, a byte, or an extreme integer."""
    spoilt = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        at = rng.randrange(len(spoilt) - 4)
        kind = rng.randrange(3)
        if kind == 0:
            spoilt[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            spoilt[at] = rng.randrange(256)
        else:
            spoilt[at : at + 4] = rng.choice(INTEGERS)
    return bytes(spoilt)

# SPDX-License-Identifier: Apache-2.0
"""Numbers of bytes as the command line takes them: 65536, 64K, 64KiB, 0.25M."""

from __future__ import annotations

import re
from fractions import Fraction

import typer

UNITS = {"": 0, "b": 0, "k": 10, "kib": 10, "m": 20, "mib": 20, "g": 30, "gib": 30}  # powers of 2
NUMBER = re.compile(r"(\d{1,15}(?:\.\d{1,15})?) ?([a-z]{0,3})", re.ASCII | re.IGNORECASE)


def parse_bytes(text: str) -> int:
    """The bytes that ``text`` names; K, M and G are powers of 1024, a part of a byte is dropped.

    Raises ValueError.

    >>> [parse_bytes(text) for text in ("65536", "64K", "64KiB", "0.25M")]
    [65536, 65536, 65536, 262144]
    """
    found = NUMBER.fullmatch(text.strip())
    shown = text if len(text) <= 24 else f"{text[:24]}..."
    if found is None or found[2].lower() not in UNITS:
        raise ValueError(f"{shown!r} is no number of bytes: give one as 65536, 64K, 64KiB or 0.25M")
    nbytes = int(Fraction(found[1]) * 2 ** UNITS[found[2].lower()])
    if nbytes < 1:
        raise ValueError(f"{shown!r} is less than 1 byte")
    return nbytes


def bytes_option(text: str) -> int:
    """``parse_bytes`` as the parser of an option: what is wrong is a usage error."""
    try:
        return parse_bytes(text)
    except ValueError as err:
        raise typer.BadParameter(str(err)) from err

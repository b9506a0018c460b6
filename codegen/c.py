# SPDX-License-Identifier: Apache-2.0
"""Small printers of C text."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator

from mcutrain.trainer.graph.tensor import Array

INDENT = "    "


def integers(values: Iterable[int]) -> Iterator[str]:
    """Lines of a comma-separated list, within 100 columns.

    >>> list(integers([1, -2]))
    ['    1, -2,']
    """
    text = ", ".join(literal(v) for v in values) + ","
    yield from textwrap.wrap(text, 96, initial_indent=INDENT, subsequent_indent=INDENT)


def literal(value: int) -> str:
    """An integer constant of C; the least int32 has no literal of its own.

    >>> literal(-2147483648), literal(4294967295)
    ('(-2147483647 - 1)', '4294967295u')
    """
    if value == -(2**31):
        return "(-2147483647 - 1)"
    return f"{value}u" if value > 2**31 - 1 else str(value)


def array(name: str, ctype: str, data: Array) -> Iterator[str]:
    """A constant array, row-major, of one dimension."""
    yield f"static const {ctype} {name}[{data.size}] = {{"
    yield from integers(int(v) for v in data.ravel())
    yield "};"


def rows(name: str, ctype: str, data: Array) -> Iterator[str]:
    """A constant array of two dimensions."""
    yield f"static const {ctype} {name}[{data.shape[0]}][{data.shape[1]}] = {{"
    for row in data:
        yield f"{INDENT}{{"
        yield from (INDENT + line for line in integers(int(v) for v in row))
        yield f"{INDENT}}},"
    yield "};"


def struct(name: str, type_: str, fields: dict[str, int]) -> Iterator[str]:
    """A constant struct with designated initialisers."""
    yield f"static const {type_} {name} = {{"
    yield from (f"{INDENT}.{field} = {literal(value)}," for field, value in fields.items())
    yield "};"


def hash_bytes(digest: bytes) -> str:
    """
    >>> hash_bytes(bytes([1, 255]))
    '{0x01, 0xff}'
    """
    return "{" + ", ".join(f"0x{b:02x}" for b in digest) + "}"


def comment(text: str) -> str:
    """A comment of one line, in ASCII; ``text`` may hold anything.

    >>> comment("a */ b")
    '/* a * / b */'
    """
    text = text.encode("ascii", "replace").decode()
    return "/* " + " ".join(text.split()).replace("*/", "* /").replace("/*", "/ *") + " */"

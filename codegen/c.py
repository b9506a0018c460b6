# SPDX-License-Identifier: Apache-2.0
"""Small printers of C text."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence

from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.graph.tensor import Array

INDENT = "    "
WIDTH = 100  # columns of a line


class NodeLine(str):
    """A line of C that computes something for a node of the plan."""

    __slots__ = ("node",)
    node: Node

    @classmethod
    def of(cls, node: Node, text: str) -> NodeLine:
        line = cls(text)
        line.node = node
        return line


def integers(values: Iterable[int], depth: int = 1) -> Iterator[str]:
    """Lines of a comma-separated list (of at least one).

    >>> list(integers([1, -2]))
    ['    1, -2,']
    """
    yield from indented(filled("", [literal(v) for v in values], ",", depth), depth)


def literal(value: int) -> str:
    """An integer constant of C; the least int32 has no literal of its own.

    >>> literal(-2147483648), literal(4294967295)
    ('(-2147483647 - 1)', '4294967295u')
    """
    if value == -(2**31):
        return "(-2147483647 - 1)"
    return f"{value}u" if value > 2**31 - 1 else str(value)


def indented(lines: Iterable[str], depth: int = 1) -> Iterator[str]:
    for line in lines:
        text = INDENT * depth + line
        yield NodeLine.of(line.node, text) if isinstance(line, NodeLine) else text


def filled(
    head: str, items: Sequence[str], tail: str, depth: int = 0, between: str = ", "
) -> Iterator[str]:
    """``head``, ``items`` (at least one) and ``tail`` in lines that fit behind an indentation of
    ``depth``: as many items in each as there is room for, aligned with the first of them; or, if
    one is too long for that, all of them below ``head``.

    >>> list(filled("f(", ["a", "b" * 93, "c"], ");"))[1:]
    ['  c);']
    """
    room = WIDTH - len(INDENT) * depth
    line, margin = head, " " * len(head)
    if len(head) + max(map(len, items)) + len(tail) > room:
        yield head
        line = margin = INDENT
    for k, item in enumerate(items):
        behind = between if k + 1 < len(items) else tail
        if k > 0 and len(line) + len(item) + len(behind.rstrip()) > room:
            yield line.rstrip()
            line = margin
        line += item + behind
    yield line


def declared(type_: str, name: str, value: str) -> Iterator[str]:
    """A declaration at the left margin, in one line or two."""
    whole = f"{type_} {name}{value}"
    yield from [whole] if len(whole) <= WIDTH else [type_, f"{INDENT}{name}{value}"]


def array(name: str, ctype: str, data: Array, place: str = "") -> Iterator[str]:
    """A constant array, row-major, of one dimension; ``place`` says where, by a macro."""
    yield from declared(f"static const {place}{ctype}", name, f"[{data.size}] = {{")
    yield from integers(int(v) for v in data.ravel())
    yield "};"


def rows(name: str, ctype: str, data: Array, place: str = "") -> Iterator[str]:
    """A constant array of two dimensions."""
    size = f"[{data.shape[0]}][{data.shape[1]}]"
    yield from declared(f"static const {place}{ctype}", name, f"{size} = {{")
    for row in data:
        yield f"{INDENT}{{"
        yield from integers((int(v) for v in row), 2)
        yield f"{INDENT}}},"
    yield "};"


def struct(name: str, type_: str, fields: dict[str, int]) -> Iterator[str]:
    """A constant struct with designated initialisers."""
    yield from declared(f"static const {type_}", name, " = {")
    yield from (f"{INDENT}.{field} = {literal(value)}," for field, value in fields.items())
    yield "};"


def hash_bytes(digest: bytes) -> list[str]:
    """
    >>> hash_bytes(bytes([1, 255]))
    ['0x01', '0xff']
    """
    return [f"0x{b:02x}" for b in digest]


def comment(text: str, depth: int = 0) -> Iterator[str]:
    """A comment in ASCII, in as many lines as it takes; ``text`` may hold anything.

    >>> list(comment("a */ b"))
    ['/* a * / b */']
    """
    text = text.encode("ascii", "replace").decode()
    text = " ".join(text.split()).replace("*/", "* /").replace("/*", "/ *")
    room = WIDTH - len(INDENT) * depth - len(" * ") - len(" */")
    lines = textwrap.wrap(text, room, break_on_hyphens=False) or [""]
    for k, line in enumerate(lines):
        begin, end = " * " if k else "/* ", " */" if k + 1 == len(lines) else ""
        yield begin + line + end

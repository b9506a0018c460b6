# SPDX-License-Identifier: Apache-2.0
"""The reference of the C API: Markdown from the headers' own comments."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

# A comment and the declarations below it, or declarations alone: what stands between empty lines.
_ITEM = re.compile(r"(?:/\*(?P<comment>.*?)\*/(?:\n|$))?(?P<below>.*)", re.S)
# What is no declaration for a reader: directives, and the braces around what C++ includes.
_NO_DECLARATION = re.compile(r'^(?:#.*|extern "C" \{|\})$')
SPDX = "/* SPDX-License-Identifier: Apache-2.0 */\n"
_SECTION = re.compile(r"^-{4} (.*?) -{4}$")


def header_page(header: Path) -> str:
    """All that ``header`` says and declares: its first comment is the introduction."""
    return "\n".join(lines(header.read_text(encoding="utf-8")))


def lines(source: str) -> Iterator[str]:
    for index, chunk in enumerate(re.split(r"\n\n+", source.removeprefix(SPDX))):
        item = _ITEM.fullmatch(chunk)
        assert item is not None  # it matches any text
        paragraphs = told(item["comment"] or "")
        section = _SECTION.match(paragraphs[0]) if paragraphs else None
        if section:
            yield from (f"#### {section[1]}", "")
            paragraphs = paragraphs[1:]
        declared = declaration(item["below"])
        if declared:
            yield from ("```c", declared, "```", "")
        # What stands above directives alone, but for the introduction, is for the header's readers.
        if declared or section or index == 0:
            yield from (line for paragraph in paragraphs for line in (paragraph, ""))


def declaration(below: str) -> str:
    """The lines that declare something, with NAME in place of the macro for it."""
    kept = [line for line in below.rstrip().splitlines() if not _NO_DECLARATION.match(line)]
    named = re.sub(r"MCT_API\((\w+)\)", r"NAME_\1", "\n".join(kept))
    return named.replace("MCT_CHECKED ", "")


def told(comment: str) -> list[str]:
    """The paragraphs of a comment as Markdown; what is indented in it is a block of C."""
    text = re.sub(r"^ \* ?", "", comment, flags=re.M).strip("\n")
    return [as_markdown(each) for each in re.split(r"\n\s*\n", text) if each.strip()]


def as_markdown(paragraph: str) -> str:
    rows = paragraph.splitlines()
    if all(row.startswith("  ") for row in rows):
        return f"```c\n{textwrap.dedent(paragraph).rstrip()}\n```"
    if rows[0].startswith("- "):
        return paragraph
    return " ".join(row.strip() for row in rows)

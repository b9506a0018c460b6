# SPDX-License-Identifier: Apache-2.0
"""What the documents hold that a test can run: blocks of code, and commands."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from tests.support.paths import ROOT

README = ROOT / "README.md"
# Pages with commands for users; DESIGN, SPEC and the decisions speak to the project's own people.
PAGES = sorted(path for path in (README, *(ROOT / "docs").rglob("*.md")) if "adr" not in path.parts)


def blocks(path: Path, language: str | None = None) -> list[tuple[str, str]]:
    """(language, text) of each code block of a document, or of those of one language."""
    text = path.read_text(encoding="utf-8")
    found = re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [each for each in found if language in (None, each[0])]


def commands(path: Path) -> Iterator[list[str]]:
    """The words of each ``mcutrain`` command in a document: in blocks of sh, and in tables."""
    text = path.read_text(encoding="utf-8")
    lines = [line for _, block in blocks(path, "sh") for line in joined(block)]
    cells = re.findall(r"^\|.*\| `(mcutrain [^`]*)` \|$", text, re.MULTILINE)
    for line in [*lines, *cells]:
        words = shlex.split(line, comments=True)
        if words[:1] == ["mcutrain"]:
            yield words[1:]


def joined(block: str) -> list[str]:
    """The lines of a block of sh, each with those that a backslash continues it by."""
    return block.replace("\\\n", " ").splitlines()

# SPDX-License-Identifier: Apache-2.0
"""Documents with sections that programs write: between two marks, all else left as it is."""

from __future__ import annotations

from pathlib import Path

from benchmarks.places import ROOT
from mcutrain.host.files import write_whole
from mcutrain.trainer.errors import Error

DOCUMENT = ROOT / "docs" / "accuracy.md"
BEGIN, END = "<!-- begin {} -->", "<!-- end {} -->"


def put_section(path: Path, name: str, text: str) -> None:
    """Put ``text`` between the marks of ``name``. Raises Error if the document has none."""
    begin, end = BEGIN.format(name), END.format(name)
    whole = path.read_text(encoding="utf-8")
    head, found, rest = whole.partition(begin)
    _, found_end, tail = rest.partition(end)
    if not found or not found_end:
        raise Error(f"{path} has no section '{name}': put {begin} and {end} where it belongs")
    write_whole(path, f"{head}{begin}\n{text.strip()}\n{end}{tail}")

# SPDX-License-Identifier: Apache-2.0
"""Which line of its source a linked program's instructions come from (DWARF, by pyelftools)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from mcutrain.host.measure.elf import load_image
from mcutrain.trainer.errors import Error


@dataclass(frozen=True)
class LineRange:
    """Instructions from ``begin`` to ``end``, excluded, of one line of a file."""

    begin: int
    end: int
    file: str  # its name without folders
    line: int


def line_ranges(elf: Path, source: str) -> list[LineRange]:
    """What was compiled from the file ``source`` and from what that includes, by address. What the
    linker has left out is not among it.

    Raises Error if the program holds nothing of it: it must be compiled with -g.
    """
    from elftools.common.exceptions import ELFError
    from elftools.elf.elffile import ELFFile

    functions = {s.address for s in load_image(elf).symbols if s.is_function}
    try:
        with elf.open("rb") as stream:
            file = ELFFile(stream)
            dwarf = file.get_dwarf_info() if file.has_dwarf_info() else None
            found = (
                []
                if dwarf is None
                else [
                    each
                    for sequence in _sequences(dwarf, source)
                    if sequence and sequence[0].begin in functions
                    for each in sequence
                    if each.begin < each.end
                ]
            )
    except (OSError, ELFError) as cause:
        raise Error(f"{elf}: not a readable ELF file ({cause}); build it first") from cause
    if not found:
        raise Error(f"{elf}: no lines of {source}; compile with -g, and do not strip")
    return sorted(found, key=lambda r: r.begin)


def _sequences(dwarf: Any, source: str) -> Iterator[list[LineRange]]:
    """The ranges of each section of code; those of one that was left out begin at 0."""
    for unit in dwarf.iter_CUs():
        named = unit.get_top_DIE().attributes.get("DW_AT_name")  # assembly may have none
        if named is None or Path(named.value.decode()).name != source:
            continue
        program = dwarf.line_program_for_CU(unit)
        files = [Path(entry.name.decode()).name for entry in program["file_entry"]]
        first = 0 if program["version"] >= 5 else 1  # the number of the first file
        states = [entry.state for entry in program.get_entries() if entry.state is not None]
        sequence: list[LineRange] = []
        for before, state in pairwise(states):
            if not before.end_sequence:
                file = files[before.file - first]
                sequence.append(LineRange(before.address, state.address, file, before.line))
            if state.end_sequence:
                yield sequence
                sequence = []

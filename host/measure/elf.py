# SPDX-License-Identifier: Apache-2.0
"""A linked program as data: its loaded sections, symbols and bytes (ELF, through pyelftools).

pyelftools comes with what builds firmware: it is imported where a linked firmware is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from mcutrain.trainer.errors import Error

_AVR_ARCHITECTURE, _AVR6 = 0x7F, 6  # of e_flags (binutils, include/elf/avr.h)
# What pyelftools also raises where the tables of a file point nowhere.
_DAMAGED = (AttributeError, LookupError, MemoryError, OverflowError, TypeError, ValueError)


class SymbolKind(Enum):
    """Which memory a byte takes; BOTH is a load image in flash, copied to RAM at start."""

    FLASH = "flash"
    RAM = "ram"
    BOTH = "both"

    @property
    def in_flash(self) -> bool:
        return self is not SymbolKind.RAM

    @property
    def in_ram(self) -> bool:
        return self is not SymbolKind.FLASH


@dataclass(frozen=True)
class Section:
    """An output section that takes memory when the program runs."""

    name: str
    address: int
    load_address: int
    nbytes: int
    alignment: int
    kind: SymbolKind
    data: bytes  # empty for sections without contents, such as .bss

    @property
    def end(self) -> int:
        return self.address + self.nbytes


@dataclass(frozen=True)
class Symbol:
    """A function or an object; the Thumb bit of a function's address is cleared."""

    name: str
    address: int
    nbytes: int
    is_function: bool

    @property
    def end(self) -> int:
        return self.address + self.nbytes


@dataclass(frozen=True)
class Image:
    """What the measurements read of one ELF file."""

    path: Path
    machine: str
    entry: int
    attributes: dict[str, int]  # of .ARM.attributes, by tag, those that are numbers
    sections: tuple[Section, ...]
    symbols: tuple[Symbol, ...]

    @property
    def has_fpu(self) -> bool:
        """Whether the code may use floating-point registers (Addenda to the ABI for the Arm
        Architecture, 2.5)."""
        return any(self.attributes.get(tag) for tag in ("TAG_FP_ARCH", "TAG_MVE_ARCH"))

    def section(self, name: str) -> Section | None:
        return next((s for s in self.sections if s.name == name), None)

    def read(self, address: int, nbytes: int) -> bytes:
        """The bytes the file holds for an address range; raises Error where it holds none."""
        for section in self.sections:
            offset = address - section.address
            if offset >= 0 and offset + nbytes <= len(section.data):
                return section.data[offset : offset + nbytes]
        raise Error(f"{self.path}: no contents for {nbytes} bytes at 0x{address:x}")


def load_image(path: Path) -> Image:
    """Read a linked ELF; raises Error if it is missing, damaged or stripped of symbols."""
    from elftools.common.exceptions import ELFError
    from elftools.construct import ConstructError
    from elftools.elf.elffile import ELFFile

    try:
        with path.open("rb") as stream:
            elf = ELFFile(stream)
            image = Image(
                path,
                _machine(elf),
                elf["e_entry"],
                _attributes(elf),
                tuple(_sections(elf)),
                tuple(_symbols(elf)),
            )
    except (OSError, ELFError, ConstructError, *_DAMAGED) as cause:
        raise Error(f"{path}: not a readable ELF file ({cause}); build it first") from cause
    if not image.symbols:
        raise Error(f"{path}: no symbols; link without -s, so that bytes can be attributed")
    return image


def _machine(elf: Any) -> str:
    """e_machine; of an AVR with its architecture, if that has a wider program counter."""
    is_wide = elf["e_machine"] == "EM_AVR" and elf["e_flags"] & _AVR_ARCHITECTURE == _AVR6
    return "EM_AVR6" if is_wide else str(elf["e_machine"])


def _sections(elf: Any) -> list[Section]:
    from elftools.elf.constants import SH_FLAGS

    segments = [s for s in elf.iter_segments() if s["p_type"] == "PT_LOAD"]
    found = []
    for section in elf.iter_sections():
        flags, size = section["sh_flags"], section["sh_size"]
        # .tbss has an address and a size but takes no memory of its own.
        thread_bss = flags & SH_FLAGS.SHF_TLS and section["sh_type"] == "SHT_NOBITS"
        if not flags & SH_FLAGS.SHF_ALLOC or size == 0 or thread_bss:
            continue
        address = section["sh_addr"]
        load_address = _load_address(segments, address)
        has_data = section["sh_type"] != "SHT_NOBITS"
        writable = bool(flags & SH_FLAGS.SHF_WRITE)
        if not has_data:
            kind = SymbolKind.RAM
        elif load_address != address or (writable and section.name != ".data.rel.ro"):
            kind = SymbolKind.BOTH
        else:
            kind = SymbolKind.FLASH
        found.append(
            Section(
                name=section.name,
                address=address,
                load_address=load_address,
                nbytes=size,
                alignment=max(1, section["sh_addralign"]),
                kind=kind,
                data=section.data() if has_data else b"",
            )
        )
    return found


def _load_address(segments: list[Any], address: int) -> int:
    for segment in segments:
        offset = address - segment["p_vaddr"]
        if 0 <= offset < segment["p_memsz"]:
            return int(segment["p_paddr"] + offset)
    return address


def _symbols(elf: Any) -> list[Symbol]:
    table = elf.get_section_by_name(".symtab")
    if table is None:
        return []
    thumb = elf["e_machine"] == "EM_ARM"
    found = []
    for symbol in table.iter_symbols():
        kind = symbol["st_info"]["type"]
        if kind not in ("STT_FUNC", "STT_OBJECT") or symbol["st_shndx"] == "SHN_UNDEF":
            continue
        is_function = kind == "STT_FUNC"
        address = symbol["st_value"] & ~1 if thumb and is_function else symbol["st_value"]
        found.append(Symbol(symbol.name, address, symbol["st_size"], is_function))
    return found


def _attributes(elf: Any) -> dict[str, int]:
    section = elf.get_section_by_name(".ARM.attributes")
    if section is None or elf["e_machine"] != "EM_ARM":
        return {}
    return {
        attribute.tag: attribute.value
        for subsection in section.iter_subsections()
        for part in subsection.iter_subsubsections()
        for attribute in part.iter_attributes()
        if isinstance(attribute.value, int)
    }

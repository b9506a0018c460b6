# SPDX-License-Identifier: Apache-2.0
"""RAM and flash of a linked firmware, with every byte in exactly one class.

The one public function is `measure`. It reads the linker map and the ELF file (every byte of
every section), attributes each byte by the rules of `rules`, and bounds the stack. On a
microcontroller everything counts; on a host port only what our own object files bring, so the
C library and the start-up code of the host stay out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path, PurePosixPath

from mcutrain.host.measure.elf import Image, load_image
from mcutrain.host.measure.linker_map import FILL, RESERVED_STACK, MapRow, map_rows
from mcutrain.host.measure.stack import Chain, StackReport, worst_case_stack
from mcutrain.trainer.errors import BudgetError, Error


class Class(Enum):
    """What a byte is for."""

    ARENA = "arena"
    LEARNED = "learned"
    LATENTS = "latents"
    AHEAD = "ahead"
    RECORD = "record"
    LINK = "link"
    STACK = "stack"
    CONSTANTS = "constants"
    MODEL = "model"
    KERNELS = "kernels"
    RUNTIME = "runtime"
    PORT = "port"
    VECTORS = "vectors"
    LIBRARY = "library"
    ALIGNMENT = "alignment"


@dataclass(frozen=True)
class Rule:
    """A class, and the patterns that a row of it matches in full (empty: any).

    ``path`` is the object file relative to the object directory, without its suffix.
    """

    byte_class: Class
    path: str = ""
    symbol: str = ""
    input_section: str = ""
    in_ram: bool | None = None

    def matches(self, row: MapRow, path: str) -> bool:
        pairs = ((self.path, path), (self.symbol, row.symbol))
        return (
            all(not pattern or re.fullmatch(pattern, text) for pattern, text in pairs)
            and (not self.input_section or bool(re.match(self.input_section, row.input_section)))
            and (self.in_ram is None or self.in_ram is row.kind.in_ram)
        )


def rules(model_name: str) -> tuple[Rule, ...]:
    """How our own bytes are attributed; the first rule that matches decides."""
    name = re.escape(model_name)
    model = rf"(?:.*/)?model/{name}(?:\.c)?"
    constant = r"\.(?:s?rodata|data\.rel\.ro|progmem\.data)"
    return (
        Rule(Class.ARENA, path=model, symbol=rf"{name}_arena(?:_\w+)?", in_ram=True),
        Rule(Class.LEARNED, path=model, symbol=rf"{name}_state(?:_\w+)?", in_ram=True),
        Rule(Class.LATENTS, path=model, symbol=rf"{name}_slots(?:_\w+)?", in_ram=True),
        Rule(Class.AHEAD, path=model, symbol=rf"{name}_ahead", in_ram=True),
        Rule(Class.RECORD, path=model, symbol=rf"{name}_(?:entries|arriving_hash)", in_ram=True),
        Rule(Class.LINK, symbol=r"mct_(?:link_|port_uart)\w*(?:\.\d+)?", in_ram=True),
        # Tables of the compiler's own have no symbol, or one with a capital name and a number.
        Rule(Class.MODEL, path=model, symbol=r"CSWTCH\.\d+", input_section=constant),
        Rule(Class.CONSTANTS, path=model, symbol=r".+", input_section=constant),
        Rule(Class.MODEL, path=model),
        Rule(Class.KERNELS, path=r"(?:.*/)?kernels/.*"),
        Rule(Class.RUNTIME, path=r"(?:.*/)?(?:learning|runtime|mct)/.*"),
        Rule(Class.VECTORS, input_section=r"\.(?:isr_)?vectors?"),
        Rule(Class.PORT, path=r"(?:.*/)?(?:ports?|platform)/.*"),
    )


@dataclass(frozen=True)
class ClassTotal:
    """One class: its bytes, and its rows in order of size."""

    flash_bytes: int
    ram_bytes: int
    rows: tuple[MapRow, ...]


@dataclass(frozen=True)
class Footprint:
    """What a firmware takes; `sram_bytes` and `flash_bytes` are the sums of their parts.

    ``stack_bytes`` is the bound on the stack in use. What the linker script reserves beyond it is
    ``stack_headroom`` among ``other_ram_bytes``.
    """

    arena_bytes: int
    learned_bytes: int
    link_bytes: int
    stack_bytes: int
    other_ram_bytes: dict[str, int]  # by class, and the stack's headroom
    constant_bytes: int  # of the model: tensors and parameters
    code_bytes: int  # instructions of all classes, with their literals
    other_flash_bytes: dict[str, int]  # by class: tables, strings, load images, alignment
    stack_reserved_bytes: int  # 0 on a host port, where the system provides it
    stack_path: Chain
    memories: dict[str, int]  # of the RAM, what lies in memories beside the main one
    classes: dict[Class, ClassTotal]

    @property
    def stack_headroom_bytes(self) -> int:
        return self.other_ram_bytes.get(HEADROOM, 0)

    @property
    def sram_bytes(self) -> int:
        named = self.arena_bytes + self.learned_bytes + self.link_bytes + self.stack_bytes
        return named + sum(self.other_ram_bytes.values())

    @property
    def flash_bytes(self) -> int:
        return self.constant_bytes + self.code_bytes + sum(self.other_flash_bytes.values())

    def to_json(self) -> dict[str, object]:
        """Plain values for json.dumps, rows included."""
        return {
            "arena_bytes": self.arena_bytes,
            "learned_bytes": self.learned_bytes,
            "link_bytes": self.link_bytes,
            "stack_bytes": self.stack_bytes,
            "other_ram_bytes": dict(self.other_ram_bytes),
            "sram_bytes": self.sram_bytes,
            "constant_bytes": self.constant_bytes,
            "code_bytes": self.code_bytes,
            "other_flash_bytes": dict(self.other_flash_bytes),
            "flash_bytes": self.flash_bytes,
            "stack_reserved_bytes": self.stack_reserved_bytes,
            "stack_headroom_bytes": self.stack_headroom_bytes,
            "stack_path": [list(link) for link in self.stack_path],
            "memories": dict(self.memories),
            "classes": {
                byte_class.value: {
                    "flash_bytes": total.flash_bytes,
                    "ram_bytes": total.ram_bytes,
                    "rows": [{**asdict(row), "kind": row.kind.value} for row in total.rows],
                }
                for byte_class, total in self.classes.items()
            },
        }


def measure(
    elf: Path,
    linker_map: Path,
    object_dir: Path,
    model_name: str,
    toolchain_prefix: str,
    indirect_calls: Mapping[str, Sequence[str]] | None = None,
    checks_reserve: bool = True,
    memories: Sequence[str] = (),
) -> Footprint:
    """Measure a linked firmware; an empty ``toolchain_prefix`` means a host port.

    ``object_dir`` holds our own objects, with the .su file of -fstack-usage beside each.
    ``indirect_calls`` names what a function that calls through a pointer may call. ``memories`` are
    those beside the main RAM; the section of each has its name. Raises
    BudgetError if the stack can outgrow its reserve (unless that is not to be checked), and
    Error where map and ELF disagree, a byte has no class or the stack has no bound.
    """
    image = load_image(elf)
    rows = map_rows(image, linker_map)
    objects = find_objects({row.origin for row in rows}, object_dir)
    if not any(path.with_suffix(".su").is_file() for path in objects.values()):
        raise Error(
            f"{object_dir}: no .su files of its objects; compile with -fstack-usage, without LTO"
        )
    classes = attribute(rows, objects, object_dir, model_name, whole=bool(toolchain_prefix))
    stack = worst_case_stack(image, rows, objects, toolchain_prefix, indirect_calls)
    if stack.initial is not None and checks_reserve:
        _check_reserve(image, classes[Class.STACK].ram_bytes, stack.initial, stack)
    beside = {
        name: sum(row.ram_bytes for row in rows if row.section == f".{name}") for name in memories
    }
    return _footprint(classes, stack, beside)


def find_objects(origins: Iterable[str], object_dir: Path) -> dict[str, Path]:
    """The file of each origin that lies under the object directory; others are not ours.

    The map names objects as the linker was given them, relative to a directory it does not tell:
    the longest tail of the path that exists under ``object_dir`` is the file. A member of an
    archive of ours is the file of that name.
    """
    found = {}
    root = object_dir.resolve()
    by_name: dict[str, list[Path]] = {}
    for path in sorted(root.rglob("*.o")):
        by_name.setdefault(path.name, []).append(path)
    for origin in origins:
        archive, _, member = origin.rstrip(")").partition("(")
        holder = _under(archive, root)
        if holder is None:
            continue
        if not member:
            found[origin] = holder
        elif len(by_name.get(member, [])) == 1:
            found[origin] = by_name[member][0]
        else:
            raise Error(f"{origin}: {len(by_name.get(member, []))} objects of that name in {root}")
    return found


def _under(name: str, root: Path) -> Path | None:
    path = Path(name)
    if not name or path.suffix not in (".o", ".obj", ".a"):
        return None
    if path.is_absolute():
        resolved = path.resolve()
        return resolved if resolved.is_relative_to(root) and resolved.is_file() else None
    parts = [part for part in PurePosixPath(name).parts if part not in ("..", ".")]
    tails = (root.joinpath(*parts[first:]) for first in range(len(parts)))
    return next((tail for tail in tails if tail.is_file()), None)


def attribute(
    rows: Sequence[MapRow],
    objects: Mapping[str, Path],
    object_dir: Path,
    model_name: str,
    whole: bool,
) -> dict[Class, ClassTotal]:
    """Rows by class; every class is there. Without ``whole``, rows that are not ours are left out.

    Raises Error for a row of ours, or of the whole program, that no rule covers.
    """
    ordered = sorted(rows, key=lambda row: (row.kind.value, row.address))
    table = rules(model_name)
    root = object_dir.resolve()
    grouped: dict[Class, list[MapRow]] = {byte_class: [] for byte_class in Class}
    for at, row in enumerate(ordered):
        if row.input_section == FILL:
            # Alignment is for the sake of what follows it, or else of what it ends.
            around = [*ordered[at + 1 : at + 2], *ordered[max(0, at - 1) : at]]
            near = [r for r in around if r.section == row.section]
            if whole or (near and near[0].origin in objects):
                grouped[Class.ALIGNMENT].append(row)
        elif row.input_section == RESERVED_STACK:
            grouped[Class.STACK].append(row)
        elif row.origin in objects:
            path = objects[row.origin].relative_to(root).with_suffix("").as_posix()
            grouped[_own_class(table, row, path)].append(row)
        elif whole:
            grouped[_foreign_class(row)].append(row)
    return {byte_class: _total(members) for byte_class, members in grouped.items()}


def _own_class(table: Sequence[Rule], row: MapRow, path: str) -> Class:
    for rule in table:
        if rule.matches(row, path):
            return rule.byte_class
    raise _unattributed(row)


_TOOLCHAIN_FILE = re.compile(r"^(?:/|[A-Za-z]:).*/(?:lib[^/]*\.a\(.*\)|crt[^/]*\.o)$")


def _foreign_class(row: MapRow) -> Class:
    """Bytes of the toolchain: its archives, its start-up objects, which may bring the vectors, and
    stubs ld makes itself."""
    if row.input_section == ".vectors":
        return Class.VECTORS
    if row.origin == "linker stubs" or _TOOLCHAIN_FILE.search(row.origin):
        return Class.LIBRARY
    raise _unattributed(row)


def _unattributed(row: MapRow) -> Error:
    what = row.symbol or row.input_section or "data of the linker script"
    return Error(
        f"{row.nbytes} bytes at 0x{row.address:x} ({what} in {row.origin or row.section}) belong "
        f"to no class of the footprint; add a rule for that object to host/measure/footprint.py"
    )


def _total(rows: Sequence[MapRow]) -> ClassTotal:
    by_size = sorted(rows, key=lambda row: (-row.nbytes, row.address))
    return ClassTotal(
        sum(row.flash_bytes for row in rows), sum(row.ram_bytes for row in rows), tuple(by_size)
    )


def _check_reserve(image: Image, reserved_bytes: int, initial: int, stack: StackReport) -> None:
    section = image.section(RESERVED_STACK)
    if section is None:
        raise Error(f"{image.path}: no {RESERVED_STACK} section; the linker script must reserve it")
    if initial != section.end:
        raise Error(
            f"{image.path}: the stack starts at 0x{initial:x}, its reserve ends at "
            f"0x{section.end:x}; {RESERVED_STACK} must lie right below the initial stack pointer"
        )
    if stack.total_bytes > reserved_bytes:
        chain = " > ".join(name for name, _ in stack.path)
        raise BudgetError(
            f"the stack can reach {stack.total_bytes:,} bytes, {RESERVED_STACK} reserves "
            f"{reserved_bytes:,} ({chain}); reserve more in the build",
            needed_bytes=stack.total_bytes,
            available_bytes=reserved_bytes,
        )


HEADROOM = "stack_headroom"
_NAMED_IN_RAM = (Class.ARENA, Class.LEARNED, Class.LINK, Class.STACK)


def _footprint(
    classes: dict[Class, ClassTotal], stack: StackReport, memories: dict[str, int]
) -> Footprint:
    code = {
        byte_class: sum(row.flash_bytes for row in total.rows if _is_code(row))
        for byte_class, total in classes.items()
    }
    other_flash = {
        byte_class.value: total.flash_bytes - code[byte_class]
        for byte_class, total in classes.items()
        if byte_class is not Class.CONSTANTS
    }
    other_ram = {
        byte_class.value: total.ram_bytes
        for byte_class, total in classes.items()
        if byte_class not in _NAMED_IN_RAM
    }
    reserved = classes[Class.STACK].ram_bytes
    other_ram[HEADROOM] = max(0, reserved - stack.total_bytes)
    return Footprint(
        arena_bytes=classes[Class.ARENA].ram_bytes,
        learned_bytes=classes[Class.LEARNED].ram_bytes,
        link_bytes=classes[Class.LINK].ram_bytes,
        stack_bytes=stack.total_bytes,
        other_ram_bytes={name: nbytes for name, nbytes in other_ram.items() if nbytes},
        constant_bytes=classes[Class.CONSTANTS].flash_bytes,
        code_bytes=sum(code.values()),
        other_flash_bytes={name: nbytes for name, nbytes in other_flash.items() if nbytes},
        stack_reserved_bytes=reserved,
        stack_path=stack.path,
        memories=memories,
        classes=classes,
    )


def _is_code(row: MapRow) -> bool:
    return row.input_section.startswith((".text", ".init", ".fini", ".plt")) and (
        not row.kind.in_ram
    )

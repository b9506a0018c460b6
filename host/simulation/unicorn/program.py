# SPDX-License-Identifier: Apache-2.0
"""Which core a linked program is for, and which model it holds."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mcutrain.host.building.cores import CORES, Core, core_named
from mcutrain.host.errors import BuildError, MismatchError
from mcutrain.host.measure.elf import Image, Symbol, load_image
from mcutrain.trainer.errors import Error

HASH = "_numerics_hash"  # behind a model's name: the symbol that says which arithmetic it is of
HASH_BYTES = 8
LARGEST_BYTES = 64 << 20  # of a section: more is no microcontroller's
NEEDED = ("reset", "push", "step")  # without these functions nothing can be trained
# The core of each architecture, as Tag_CPU_arch of .ARM.attributes numbers them (Addenda to the ABI
# for the Arm Architecture, 2.5): the smallest that executes all of its instructions.
ARCHITECTURES = {
    10: "cortex-m3",  # v7, with the profile M
    11: "cortex-m0",  # v6-M
    12: "cortex-m0",  # v6S-M
    13: "cortex-m4",  # v7E-M
    16: "cortex-m33",  # v8-M baseline
    17: "cortex-m33",  # v8-M mainline
    21: "cortex-m55",  # v8.1-M mainline
}
MICROCONTROLLER = ord("M")  # of Tag_CPU_arch_profile
_HEADER = struct.Struct("<4s2B")  # of an ELF: magic, class, order of bytes


@dataclass(frozen=True)
class Program:
    """A linked program with the model ``model`` in it, for the core ``core``."""

    image: Image
    core: Core
    model: str

    @property
    def name(self) -> str:
        """For messages."""
        return str(self.image.path)

    @cached_property
    def symbols(self) -> dict[str, Symbol]:
        return {symbol.name: symbol for symbol in self.image.symbols}

    def function(self, name: str) -> Symbol | None:
        """MODEL_name, if the program has it: linkers drop functions that nobody calls."""
        found = self.symbols.get(f"{self.model}_{name}")
        return found if found is not None and found.is_function else None

    def object(self, name: str) -> Symbol | None:
        """The variable or the constant MODEL_name, if the program has it."""
        found = self.symbols.get(f"{self.model}_{name}")
        return None if found is None or found.is_function else found

    @property
    def numerics_hash(self) -> bytes | None:
        """Of the arithmetic that the model was generated for; None where the linker dropped it."""
        found = self.object(HASH.removeprefix("_"))
        return None if found is None else self.image.read(found.address, HASH_BYTES)

    def where(self, address: int) -> str:
        """The function at an address, for messages."""
        at = (s for s in self.image.symbols if s.is_function and s.address <= address < s.end)
        return next((symbol.name for symbol in at), f"0x{address:08x}")


def load_program(path: Path, model: str, core: str | None = None) -> Program:
    """Read a linked program that holds the model ``model``, or one other that it then names.

    ``core`` is the one that executes it, by default as the file says. Raises Error for what is no
    such program: another file, another processor's, without symbols, without a model.
    """
    check_kind(path)
    image = load_image(path)
    for section in image.sections:
        if section.nbytes > LARGEST_BYTES or section.end > 1 << 32:
            raise Error(
                f"{path}: the section {section.name} has {section.nbytes:,} bytes at "
                f"0x{section.address:x}, more than a microcontroller has; link it anew"
            )
    program = Program(image, core_of(image, core), model_in(image, model))
    for name in NEEDED:
        if program.function(name) is None:
            raise BuildError(
                f"{path}: no function {program.model}_{name}; a program that is tested calls it, "
                "and is linked without -flto, which dissolves functions"
            )
    return program


def check_kind(path: Path) -> None:
    """Raises Error unless the file begins as an ELF for 32 bits, little-endian."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEADER.size)
    except OSError as err:
        raise Error(f"cannot read {path}: {err.strerror}") from err
    magic, bits, order = _HEADER.unpack(head.ljust(_HEADER.size, b"\0"))
    if magic != b"\x7fELF":
        raise Error(f"{path} is no ELF file; give what the linker wrote, not a .bin or a .hex")
    if (bits, order) != (1, 1):
        kind = f"{ {1: 32, 2: 64}.get(bits, '?') } bits, {'big' if order == 2 else 'little'}-endian"
        raise Error(f"{path} is a program of {kind}; give one for {', '.join(CORES)}")


def core_of(image: Image, asked: str | None) -> Core:
    """The core that executes an image: as asked for, or the smallest that can."""
    if image.machine not in ("EM_ARM", "EM_RISCV"):
        machine = image.machine.removeprefix("EM_")
        raise Error(f"{image.path} is a program for {machine}; give one for {', '.join(CORES)}")
    is_arm = image.machine == "EM_ARM"
    core = core_named(asked or (architecture_core(image) if is_arm else "riscv32"))
    if core.is_arm is not is_arm:
        kind = "Arm" if is_arm else "RISC-V"
        raise Error(f"{image.path} is a program for {kind}; {core.name} does not execute it")
    return core


def architecture_core(image: Image) -> str:
    """The core that an Arm program's attributes ask for. Raises Error for no Cortex-M."""
    architecture = image.attributes.get("TAG_CPU_ARCH", 0)
    profile = image.attributes.get("TAG_CPU_ARCH_PROFILE", MICROCONTROLLER)
    if architecture not in ARCHITECTURES or profile != MICROCONTROLLER:
        raise Error(
            f"{image.path} does not say that it is for a Cortex-M: name its core, such as "
            "--core cortex-m4"
        )
    return ARCHITECTURES[architecture]


def model_in(image: Image, wanted: str) -> str:
    """The model of that name, or the only one that an image holds."""
    held = sorted(models_in(image))
    if wanted in held:
        return wanted
    if not held:
        raise MismatchError(
            f"{image.path} holds no model that mcutrain generated: neither {wanted}_step nor a "
            f"NAME{HASH}; compile the generated {wanted}.c into it"
        )
    if len(held) > 1:
        raise MismatchError(
            f"{image.path} holds the models {', '.join(held)} and no {wanted}; generate the C of "
            "one of them from this model file"
        )
    return held[0]


def models_in(image: Image) -> Iterator[str]:
    """Names of models: of each there are at least these two functions, or the hash."""
    names = {symbol.name for symbol in image.symbols}
    for symbol in image.symbols:
        name = symbol.name.removesuffix("_step")
        if name != symbol.name and symbol.is_function and f"{name}_push" in names:
            yield name
        elif symbol.name.endswith(HASH) and f"{symbol.name.removesuffix(HASH)}_step" not in names:
            yield symbol.name.removesuffix(HASH)

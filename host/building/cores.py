# SPDX-License-Identifier: Apache-2.0
"""The cores that Unicorn executes, and how C is compiled for each of them."""

from __future__ import annotations

from dataclasses import dataclass

from mcutrain.host.boards import UNICORN
from mcutrain.trainer.chip import Chip
from mcutrain.trainer.errors import Error

DSP = frozenset({"dsp"})
OTHERS = {  # cores that Unicorn does not execute, and what does
    "cortex-m55": "it has no vectors (MVE): give sim:mps3_an547, which is executed by QEMU",
}


@dataclass(frozen=True)
class Core:
    """A core by its name, with the features that kernel variants may use, the prefix of the gcc
    that compiles for it, its flags, and the same for zig."""

    name: str
    features: frozenset[str]
    prefix: str
    flags: tuple[str, ...]
    zig_target: str
    zig_cpu: str
    link_flags: tuple[str, ...] = ("-nostartfiles",)

    @property
    def chip(self) -> Chip:
        """What a plan must know of it: Unicorn has as much memory as is asked for."""
        return Chip(f"{UNICORN}{self.name}", self.features)

    @property
    def is_arm(self) -> bool:
        return self.name.startswith("cortex")


def _cortex(name: str, features: frozenset[str] = frozenset()) -> Core:
    flags = (f"-mcpu={name}", "-mthumb", "-mfloat-abi=soft")
    return Core(
        name, features, "arm-none-eabi-", flags, "thumb-freestanding-eabi", name.replace("-", "_")
    )


# Its linker script asks where the memories are.
_PICOLIBC = tuple(
    f"-Wl,--defsym=__{name}={value:#x}"
    for name, value in {
        "flash": 0x10000000,
        "flash_size": 16 << 20,
        "ram": 0x20000000,
        "ram_size": 16 << 20,
    }.items()
)
CORES = {
    core.name: core
    for core in (
        _cortex("cortex-m0"),
        _cortex("cortex-m3"),
        _cortex("cortex-m4", DSP),
        _cortex("cortex-m7", DSP),
        _cortex("cortex-m33", DSP),
        Core(
            "riscv32", frozenset(), "riscv64-unknown-elf-",
            ("-march=rv32imc", "-mabi=ilp32", "--specs=picolibc.specs"),
            "riscv32-freestanding-none", "generic_rv32+m+c", ("-nostartfiles", *_PICOLIBC),
        ),
    )
}  # fmt: skip


def core_named(name: str) -> Core:
    """The core of a name. Raises Error with those that there are."""
    if name in CORES:
        return CORES[name]
    known = ", ".join(CORES)
    why = f"Unicorn does not execute {name}; {OTHERS[name]}" if name in OTHERS else ""
    raise Error(why or f"unknown core '{name}': give {known}")

# SPDX-License-Identifier: Apache-2.0
"""Compiles and links small programs as the firmware is built: objects, .su files, map, ELF."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from mcutrain.host.measure.elf import Image, load_image
from mcutrain.host.measure.footprint import Footprint, find_objects, measure
from mcutrain.host.measure.linker_map import MapRow, map_rows
from mcutrain.host.measure.stack import StackReport, worst_case_stack
from tests.support.paths import FIRMWARE

ARM = "arm-none-eabi-"
AVR = "avr-"
RISCV = "riscv64-unknown-elf-"


def needs_arm(test: Callable[..., None]) -> Callable[..., None]:
    """Marks a test that compiles for Arm; it is skipped where no compiler is installed."""
    skip = pytest.mark.skipif(
        shutil.which(f"{ARM}gcc") is None,
        reason="arm-none-eabi-gcc is missing: apt install gcc-arm-none-eabi"
        " libnewlib-arm-none-eabi",
    )
    return pytest.mark.board(skip(test))


def needs_riscv(test: Callable[..., None]) -> Callable[..., None]:
    """The same for RISC-V."""
    skip = pytest.mark.skipif(
        shutil.which(f"{RISCV}gcc") is None,
        reason="riscv64-unknown-elf-gcc is missing: apt install gcc-riscv64-unknown-elf"
        " picolibc-riscv64-unknown-elf",
    )
    return pytest.mark.board(skip(test))


def needs_avr(test: Callable[..., None]) -> Callable[..., None]:
    """The same for AVR."""
    skip = pytest.mark.skipif(
        shutil.which(f"{AVR}gcc") is None,
        reason="avr-gcc is missing: apt install gcc-avr avr-libc",
    )
    return pytest.mark.board(skip(test))


needs_gcc = pytest.mark.skipif(
    shutil.which("gcc") is None, reason="gcc is missing: apt install gcc"
)

LINKER_SCRIPT = """
ENTRY(Reset_Handler)
MEMORY { FLASH (rx) : ORIGIN = 0, LENGTH = 4M  RAM (rwx) : ORIGIN = 0x20000000, LENGTH = 4M }
SECTIONS
{
    .vectors : { KEEP(*(.vectors)) } > FLASH
    .text : { *(.text .text.*) *(.rodata .rodata.*) } > FLASH
    .ARM.exidx : { *(.ARM.exidx*) } > FLASH
    .data : ALIGN(4)
    {
        data_begin = .;
        *(.data .data.*)
        . = ALIGN(4);
        data_end = .;
    } > RAM AT > FLASH
    data_image = LOADADDR(.data);
    .bss (NOLOAD) : { bss_begin = .; *(.bss .bss.* COMMON) . = ALIGN(4); bss_end = .; } > RAM
    .stack (NOLOAD) :
    {
        . = ALIGN(8);
        stack_bottom = .;
        . = . + STACK_BYTES;
        stack_top = .;
    } > RAM
}
"""

STARTUP = """
#include <stdint.h>
extern uint32_t stack_bottom[], stack_top[], data_image[], data_begin[], data_end[];
extern uint32_t bss_begin[], bss_end[];
int main(void);
void Reset_Handler(void);
__attribute__((weak)) void irq(void) {}
static void fault(void) { for (;;) {} }
__attribute__((section(".vectors"), used)) static const void *const vectors[17] = {
    stack_top, Reset_Handler, fault, fault, [16] = irq};
void Reset_Handler(void)
{
    for (uint32_t *to = data_begin, *from = data_image; to < data_end;) *to++ = *from++;
    for (uint32_t *to = bss_begin; to < bss_end;) *to++ = 0;
    main();
    for (;;) {}
}
"""


# Of an FE310. A program with an interrupt names its handler irq.
RISCV_SCRIPT = """
ENTRY(reset)
MEMORY
{
    FLASH (rx) : ORIGIN = 0x20400000, LENGTH = 4M
    RAM (rwx) : ORIGIN = 0x80000000, LENGTH = 16K
}
SECTIONS
{
    .text : { KEEP(*(.text.reset)) *(.text .text.*) } > FLASH
    .rodata : { *(.rodata .rodata.* .srodata .srodata.*) } > FLASH
    .stack (NOLOAD) :
    {
        stack_bottom = .;
        . = ALIGN(. + STACK_BYTES, 16);
        stack_top = .;
    } > RAM
    .data : ALIGN(8)
    {
        data_begin = .;
        *(.data .data.* .sdata .sdata.*)
        . = ALIGN(4);
        data_end = .;
    } > RAM AT > FLASH
    data_image = LOADADDR(.data);
    .bss (NOLOAD) :
    {
        bss_begin = .;
        *(.sbss .sbss.* .bss .bss.* COMMON)
        . = ALIGN(4);
        bss_end = .;
    } > RAM
    /DISCARD/ : { *(.eh_frame .eh_frame.*) }
}
"""

RISCV_STARTUP = """
#include <stdint.h>
extern uint32_t data_image[], data_begin[], data_end[], bss_begin[], bss_end[];
int main(void);
void start(void);
extern void irq(void) __attribute__((weak));
__attribute__((naked, section(".text.reset"))) void reset(void)
{
    __asm__ volatile("la t0, stack_top\\n mv sp, t0\\n j start");
}
__attribute__((used)) void start(void)
{
    for (uint32_t *to = data_begin, *from = data_image; to < data_end;) *to++ = *from++;
    for (uint32_t *to = bss_begin; to < bss_end;) *to++ = 0;
    __asm__ volatile(".option arch, +zicsr\\n csrw mtvec, %0" ::"r"(irq));
    main();
    for (;;) {}
}
"""


@dataclass(frozen=True)
class Linked:
    """A linked program; an empty prefix is a program of the host."""

    elf: Path
    map: Path
    object_dir: Path
    prefix: str

    @property
    def image(self) -> Image:
        return load_image(self.elf)

    @property
    def rows(self) -> list[MapRow]:
        return map_rows(self.image, self.map)

    def stack(self, indirect_calls: Mapping[str, Sequence[str]] | None = None) -> StackReport:
        rows = self.rows
        objects = find_objects({row.origin for row in rows}, self.object_dir)
        return worst_case_stack(self.image, rows, objects, self.prefix, indirect_calls)

    def measure(self, model_name: str) -> Footprint:
        return measure(self.elf, self.map, self.object_dir, model_name, self.prefix)


def link_arm(
    folder: Path,
    sources: Mapping[str, str],
    stack_bytes: int = 4096,
    cpu: Sequence[str] = ("-mcpu=cortex-m4", "-mfloat-abi=soft"),
    optimise: str = "-O2",
    linker_script: str = LINKER_SCRIPT,
) -> Linked:
    """Link sources (path without suffix -> C text) with a start-up of one interrupt, ``irq``."""
    script = folder / "link.ld"
    script.write_text(linker_script)
    all_sources = {"ports/startup": STARTUP, **sources}
    link = ["-nostdlib", f"-T{script}", f"-Wl,--defsym=STACK_BYTES={stack_bytes}"]
    return _link(folder, all_sources, ARM, ["-mthumb", *cpu, optimise], link, ["-lc", "-lgcc"])


def link_avr(
    folder: Path,
    sources: Mapping[str, str],
    mcu: str = "atmega1284p",
    optimise: str = "-O2",
    stack_bytes: int = 4096,
) -> Linked:
    """Link sources with avr-libc's start-up and the firmware's own linker script."""
    ports = FIRMWARE / "ports"
    link = [f"-mmcu={mcu}", f"-L{ports}", f"-T{ports / 'avr' / f'{mcu}.ld'}"]
    flags = [f"-mmcu={mcu}", "-maccumulate-args", optimise]
    defined = f"-Wl,--defsym=MCT_STACK_BYTES={stack_bytes}"
    return _link(folder, sources, AVR, flags, [*link, defined], [])


def link_riscv(
    folder: Path,
    sources: Mapping[str, str],
    march: str = "rv32imac",
    optimise: str = "-O2",
    stack_bytes: int = 4096,
    table_alignment: int = 4,
) -> Linked:
    """Link sources with a start-up whose traps go to ``irq``, if there is one. The first table of
    constants has an address that ``table_alignment`` divides."""
    script = folder / "link.ld"
    script.write_text(RISCV_SCRIPT.replace(".rodata :", f".rodata : ALIGN({table_alignment})"))
    flags = [f"-march={march}", "-mabi=ilp32", "--specs=picolibc.specs", optimise]
    link = ["-nostdlib", f"-T{script}", f"-Wl,--defsym=STACK_BYTES={stack_bytes}"]
    return _link(
        folder, {"ports/startup": RISCV_STARTUP, **sources}, RISCV, flags, link, ["-lc", "-lgcc"]
    )


def link_native(folder: Path, sources: Mapping[str, str], optimise: str = "-O2") -> Linked:
    return _link(folder, sources, "", [optimise], [], [])


def _link(
    folder: Path,
    sources: Mapping[str, str],
    prefix: str,
    flags: Sequence[str],
    link_flags: Sequence[str],
    libraries: Sequence[str],
) -> Linked:
    object_dir = folder / "objects"
    compile_flags = ["-std=gnu11", "-ffunction-sections", "-fdata-sections", "-fstack-usage"]
    names = []
    for name, text in sources.items():
        path = object_dir / f"{name}.c"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        command = [f"{prefix}gcc", *flags, *compile_flags, "-c", str(path)]
        # Relative, as a build system would: the map then does not say relative to what.
        _run([*command, "-o", f"objects/{name}.o"], folder)
        names.append(f"objects/{name}.o")
    command = [f"{prefix}gcc", *flags, *link_flags, "-Wl,--gc-sections", "-Wl,-Map,firmware.map"]
    _run([*command, *names, *libraries, "-o", "firmware.elf"], folder)
    return Linked(folder / "firmware.elf", folder / "firmware.map", object_dir, prefix)


def _run(command: Sequence[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

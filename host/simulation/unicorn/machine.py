# SPDX-License-Identifier: Apache-2.0
"""Calls functions of a linked program in this process: its memory, a stack, and Unicorn's core.

The program is not started: each section lies where it runs, with the contents of the file, as
start-up code would leave it. There are no peripherals.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from mcutrain.host.errors import EmulationError
from mcutrain.host.simulation.unicorn.program import Program

PAGE = 0x1000  # what memory is mapped in
STACK_BYTES = 0x10000
PAINT = 0xA5
SLICE_US = 500_000  # of executing without counting; then Ctrl-C is heeded
SLOWEST = 10_000_000  # instructions that are executed in such a slice at least
PORTION = 5_000_000  # instructions between two looks for Ctrl-C where they are counted
# Where the stack and what is handed over may lie: Armv7-M executes there (B3.1), which the address
# that functions return to needs.
LOWEST, HIGHEST = 0x00100000, 0x3FF00000
STEP = 0x00100000


@dataclass(frozen=True)
class Place:
    """What this module adds to the memory of a program, at free addresses from ``base``: a page
    that stays unmapped, so that a stack that runs over is noticed, the stack, a page to return to,
    and ``buffer_bytes`` for what is handed over."""

    base: int
    buffer_bytes: int

    @property
    def stack(self) -> int:
        return self.base + PAGE

    @property
    def back(self) -> int:
        return self.stack + STACK_BYTES

    @property
    def buffer(self) -> int:
        return self.back + PAGE

    @property
    def end(self) -> int:
        return pages(self.buffer, self.buffer_bytes)[1]


@dataclass(frozen=True)
class Registers:
    """Unicorn's numbers of registers, by what functions use them for."""

    arguments: tuple[int, ...]
    stack: int
    link: int
    counter: int


class Machine:
    """A program whose functions can be called. ``limit`` is the number of instructions after which
    a call that has not returned counts as one that never does."""

    def __init__(self, program: Program, limit: int, buffer_bytes: int) -> None:
        self.program, self.limit = program, limit
        self.thumb = int(program.core.is_arm)  # set in the address of a function to be called
        self._unicorn = unicorn_module()
        self._uc, self._registers = open_core(program)
        taken = [pages(section.address, section.nbytes) for section in program.image.sections]
        self.place = Place(free(taken, STACK_BYTES + 3 * PAGE + buffer_bytes), buffer_bytes)
        for begin, end in joined([*taken, (self.place.stack, self.place.end)]):
            self._uc.mem_map(begin, end - begin)
        for section in program.image.sections:
            self._uc.mem_write(section.address, section.data)
        self._uc.mem_write(self.place.stack, bytes([PAINT]) * STACK_BYTES)
        self._lengths: dict[tuple[int, int], int] = {}
        self._counter: int | None = None
        self._counted = 0
        self._called, self._fault = 0, ""
        self._hook_faults()

    def read(self, address: int, nbytes: int) -> bytes:
        return bytes(self._uc.mem_read(address, nbytes))

    def write(self, address: int, data: bytes) -> None:
        self._uc.mem_write(address, data)

    def hand_over(self, data: bytes) -> int:
        """Put data where a function can read them; their address."""
        assert len(data) <= self.place.buffer_bytes
        self._uc.mem_write(self.place.buffer, data)
        return self.place.buffer

    def call(self, address: int, *arguments: int) -> int:
        """The first register when the function at ``address`` has returned. EmulationError."""
        self._counted = 0
        self._prepare(address, arguments)
        end, slices = self.place.back, self.limit // SLOWEST + 1
        pc = address | self.thumb
        for _ in range(slices):
            pc = self._execute(pc, timeout=SLICE_US)
            if pc & ~1 == end:
                return self._result()
        return self._limited(address, pc)

    def _limited(self, address: int, pc: int) -> int:
        """Go on at ``pc`` with a call, for as many instructions as the limit. What was translated
        without counting would go on not to count."""
        self._uc.ctl_flush_tb()
        try:
            for _ in range(-(-self.limit // PORTION)):
                pc = self._execute(pc, count=PORTION)
                if pc & ~1 == self.place.back:
                    return self._result()
        finally:
            self._uc.ctl_flush_tb()
        raise self._endless(address)

    def count(self, address: int, *arguments: int) -> tuple[int, int]:
        """The same, and the number of instructions that the function took. Unicorn calls back for
        each block of them, and goes on to do so until ``stop_counting``."""
        if self._counter is None:
            self._counter = self._uc.hook_add(self._unicorn.UC_HOOK_BLOCK, self._count_block)
            self._uc.ctl_flush_tb()  # what was translated before does not call back
        self._counted = 0
        self._prepare(address, arguments)
        pc = self._execute(address | self.thumb)
        if pc & ~1 != self.place.back:
            raise self._endless(address)
        return self._result(), self._counted

    def stop_counting(self) -> None:
        if self._counter is not None:
            self._uc.hook_del(self._counter)
            self._uc.ctl_flush_tb()
            self._counter = None

    def _count_block(self, core: Any, begin: int, nbytes: int, _: object) -> None:
        self._counted += self._length(begin, nbytes)
        if self._counted > self.limit:
            core.emu_stop()

    def second(self) -> int:
        """The second register of a result that takes two."""
        return int(self._uc.reg_read(self._registers.arguments[1]))

    @property
    def stack(self) -> MachineStack:
        return MachineStack(self)

    def _prepare(self, address: int, arguments: tuple[int, ...]) -> None:
        names = self._registers
        self._fault = ""
        for register, value in zip(names.arguments, arguments, strict=False):
            self._uc.reg_write(register, value & 0xFFFFFFFF)
        self._uc.reg_write(names.stack, self.place.back)
        self._uc.reg_write(names.link, self.place.back | self.thumb)
        self._called = address

    def _result(self) -> int:
        return int(self._uc.reg_read(self._registers.arguments[0]))

    def _execute(self, begin: int, timeout: int = 0, count: int = 0) -> int:
        """Execute from an address to the function's return, or as far as it comes; where it is."""
        try:
            self._uc.emu_start(begin, self.place.back, timeout, count)
        except self._unicorn.UcError as err:
            raise self._stopped(self._fault or str(err)) from err
        if self._fault:
            raise self._stopped(self._fault)
        return int(self._uc.reg_read(self._registers.counter)) | self.thumb

    def _stopped(self, why: str) -> EmulationError:
        at = int(self._uc.reg_read(self._registers.counter))
        program = self.program
        if "INSN_INVALID" in why:
            why += "; give the --core that it is linked for, or none"
        return EmulationError(
            f"{program.name}: {program.where(self._called)} stopped in {program.where(at)} at "
            f"0x{at:08x} on {program.core.name}: {why}"
        )

    def _endless(self, address: int) -> EmulationError:
        program = self.program
        at = int(self._uc.reg_read(self._registers.counter))
        return EmulationError(
            f"{program.name}: {program.where(address)} has not returned after {self.limit:,} "
            f"instructions, and is in {program.where(at)} at 0x{at:08x}; if it needs more, give "
            "--max-instructions"
        )

    def _length(self, begin: int, nbytes: int) -> int:
        """Instructions of a block, which its bytes tell."""
        key = begin, nbytes
        if key not in self._lengths:
            self._lengths[key] = instructions(self.read(begin, nbytes), self.program.core.is_arm)
        return self._lengths[key]

    def _hook_faults(self) -> None:
        """Note what stops a function, in words."""
        uc = self._unicorn
        verbs = {
            uc.UC_MEM_READ_UNMAPPED: "it reads",
            uc.UC_MEM_WRITE_UNMAPPED: "it writes",
            uc.UC_MEM_FETCH_UNMAPPED: "it executes",
        }

        def invalid(_: object, access: int, address: int, nbytes: int, *__: object) -> bool:
            self._fault = (
                f"{verbs.get(access, 'it uses')} {nbytes} bytes at 0x{address:08x}, where this "
                "program has no memory; a peripheral is not there, and must not be used by what "
                "the model calls"
            )
            return False

        def interrupted(core: Any, number: int, _: object) -> None:
            self._fault = (
                f"it raises the exception {number}, and no handler runs here; a function of the "
                f"model raises one only if the code is damaged or for another core"
            )
            core.emu_stop()

        self._uc.hook_add(uc.UC_HOOK_MEM_INVALID, invalid)
        self._uc.hook_add(uc.UC_HOOK_INTR, interrupted)


@dataclass(frozen=True)
class MachineStack:
    """The stack of a machine, as it is seen from outside."""

    machine: Machine

    def used_bytes(self) -> int:
        """Bytes between its end and the lowest that was written."""
        stack = self.machine.read(self.machine.place.stack, STACK_BYTES)
        return STACK_BYTES - sum(1 for _ in takewhile(PAINT.__eq__, stack))


def open_core(program: Program) -> tuple[Any, Registers]:
    """Unicorn's core for a program, and its registers."""
    from unicorn import arm_const as arm
    from unicorn import riscv_const as riscv

    uc = unicorn_module()
    if not program.core.is_arm:
        core = uc.Uc(uc.UC_ARCH_RISCV, uc.UC_MODE_RISCV32, riscv.UC_CPU_RISCV32_ANY)
        words = tuple(getattr(riscv, f"UC_RISCV_REG_A{k}") for k in range(4))
        found = riscv.UC_RISCV_REG_SP, riscv.UC_RISCV_REG_RA, riscv.UC_RISCV_REG_PC
        return core, Registers(words, *found)
    model = getattr(arm, "UC_CPU_ARM_" + program.core.name.upper().replace("-", "_"))
    # Not UC_MODE_MCLASS: with it every core is a Cortex-M33, which executes what others refuse.
    core = uc.Uc(uc.UC_ARCH_ARM, uc.UC_MODE_THUMB, model)
    words = tuple(getattr(arm, f"UC_ARM_REG_R{k}") for k in range(4))
    return core, Registers(words, arm.UC_ARM_REG_SP, arm.UC_ARM_REG_LR, arm.UC_ARM_REG_PC)


def unicorn_module() -> Any:
    """The module, whose declarations do not say what it exports."""
    import unicorn

    return unicorn


def instructions(code: bytes, is_arm: bool) -> int:
    """Instructions in whole code: of 16 bits, or of 32 if the first half says so (Armv7-M
    Architecture Reference Manual, A5.1; RISC-V Unprivileged ISA, 1.5).

    >>> instructions(bytes.fromhex("7047 00f0 00b8 7047"), True)
    3
    >>> instructions(bytes.fromhex("8280 13050500"), False)
    2
    """
    at = found = 0
    while at < len(code):
        is_long = code[at + 1] >> 3 >= 0b11101 if is_arm else code[at] & 3 == 3
        at += 4 if is_long else 2
        found += 1
    return found


def pages(address: int, nbytes: int) -> tuple[int, int]:
    """The whole pages of a range."""
    return address // PAGE * PAGE, -(-(address + nbytes) // PAGE) * PAGE


def joined(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The ranges as the fewest that do not touch.

    >>> joined([(8, 9), (0, 4), (4, 6), (5, 7)])
    [(0, 7), (8, 9)]
    """
    found: list[tuple[int, int]] = []
    for begin, end in sorted(ranges):
        if found and begin <= found[-1][1]:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((begin, end))
    return found


def free(taken: list[tuple[int, int]], nbytes: int) -> int:
    """The highest address, a multiple of STEP, behind which so many bytes, and a page on each side
    of them, are not taken. Raises EmulationError if there is none."""
    base = (HIGHEST - nbytes) // STEP * STEP
    while base >= LOWEST:
        if all(end + PAGE <= base or begin >= base + nbytes + PAGE for begin, end in taken):
            return base
        base -= STEP
    raise EmulationError(
        f"the program leaves no {nbytes:,} bytes free below 0x{HIGHEST:08x} for a stack; link it "
        "with smaller sections"
    )

# SPDX-License-Identifier: Apache-2.0
"""RV32 code with or without compressed instructions, for the stack bound.

Reads objdump's pseudo-instructions: `add` is ADDI too. Behind `#` it tells the address that an
instruction makes with the last LUI or AUIPC of a register, which may be long ago: a hint, no proof.
"""

from __future__ import annotations

import re
import struct
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import replace

from mcutrain.host.measure.elf import Image, Symbol
from mcutrain.host.measure.linker_map import MapRow
from mcutrain.host.measure.machine import Code, Flow, Instruction, Machine, Start, split, target_of
from mcutrain.trainer.errors import Error

# The core saves nothing when it traps (Privileged Architecture, 3.1): the handler's code does.
EXCEPTION_FRAME_BYTES = 0

_BRANCH = re.compile(r"b(?:eq|ne|lt|ge|gt|le)(?:u|z)?$")
_STORE = re.compile(r"s[bhw]$")
_TRAPS = ("mret", "sret", "ebreak", "unimp")


def _decode_riscv(address: int, text: str) -> Instruction:
    """One line of RV32.

    >>> _decode_riscv(0, "add\\tsp,sp,-32").push_bytes
    32
    >>> _decode_riscv(0, "jal\\t20400124 <deep>").flow, _decode_riscv(0, "jr\\ta5").flow
    (<Flow.CALL: 'call'>, <Flow.INDIRECT_JUMP: 'indirect jump'>)
    >>> _decode_riscv(0, "bgeu\\ta4,a5,20400124 <f+0x12>").flow
    <Flow.BRANCH: 'branch'>
    """
    mnemonic, operands = split(text.partition("#")[0])
    here = Instruction(address, text)
    if mnemonic.startswith("."):
        return replace(here, flow=Flow.DATA)
    flow, target = _flow(mnemonic, operands)
    push_bytes, moves_stack = 0, False
    if flow is Flow.NEXT and not _STORE.match(mnemonic):
        push_bytes, moves_stack = _stack(mnemonic, operands)
    return replace(here, flow=flow, target=target, push_bytes=push_bytes, moves_stack=moves_stack)


def _flow(mnemonic: str, operands: str) -> tuple[Flow, int | None]:
    target = target_of(operands)
    if _BRANCH.match(mnemonic):
        return Flow.BRANCH, target
    if mnemonic == "ret" or mnemonic in _TRAPS:
        return Flow.END, None
    if mnemonic in ("j", "jr"):
        return (Flow.INDIRECT_JUMP if mnemonic == "jr" else Flow.JUMP), target
    if mnemonic in ("jal", "jalr"):
        # With a link register that is not ra a callee may leave the stack lower (millicode).
        is_plain = mnemonic == "jal" and ("," not in operands or operands.startswith("ra,"))
        return (Flow.CALL, target) if is_plain else (Flow.INDIRECT_CALL, None)
    return Flow.NEXT, None


_SUM = re.compile(r"sp,(\w+),(-?\d+)$")


def _stack(mnemonic: str, operands: str) -> tuple[int, bool]:
    """Bytes pushed, and whether the stack pointer moves by more than the text says."""
    if not operands.startswith("sp,"):
        return 0, False
    found = _SUM.match(operands) if mnemonic in ("add", "addi") else None
    if found and found[1] == "sp":
        return -int(found[2]), False
    # A frame pointer restores what was pushed; keeping the greater depth is on the safe side.
    is_restored = (found is not None and found[1] == "s0") or operands == "sp,s0"
    return 0, not is_restored


_REGISTER_JUMP = re.compile(r"jr\s+(\w+)$")
_FAR = re.compile(r"j(?:al)?r\s+(?:-?\d+\()?(\w+)\)? # ([0-9a-f]+)")
_ADDRESS = re.compile(r"# ([0-9a-f]+)")
_PAGE = re.compile(r"lui\s+\w+,0x([0-9a-f]+)$")


def _resolve_riscv(jump: Instruction, before: Code, image: Image) -> Instruction:
    """A far jump or call is AUIPC and JALR. A jump through a table is gcc's switch if an entry of
    it lies in the function itself; any other calls through a pointer."""
    far = _FAR.match(jump.text)
    if far and before and re.match(rf"auipc\s+{far[1]},", before[-1].text):
        flow = Flow.CALL if jump.flow is Flow.INDIRECT_CALL else Flow.JUMP
        return replace(jump, flow=flow, target=int(far[2], 16))
    register = _REGISTER_JUMP.match(jump.text.partition("#")[0].strip())
    if register is None:
        return jump
    load = re.compile(rf"lw\s+{register[1]},(-?\d+)\(")
    offset = next((found for here in reversed(before) if (found := load.match(here.text))), None)
    tables = [int(found[1], 16) for here in before if (found := _ADDRESS.search(here.text))]
    # Of a table that begins a page objdump tells no address: LUI alone makes it.
    tables += [int(found[1], 16) << 12 for here in before if (found := _PAGE.match(here.text))]
    function = _function_at(image, jump.address)
    if offset is not None and function is not None:
        for table in tables:
            entry = _word(image, table + int(offset[1]))
            if entry is not None and function.address < entry < function.address + function.nbytes:
                return replace(jump, flow=Flow.TABLE)
    return jump


def _word(image: Image, address: int) -> int | None:
    try:
        return int(struct.unpack("<I", image.read(address, 4))[0])
    except Error:  # no contents there
        return None


def _function_at(image: Image, address: int) -> Symbol | None:
    functions = sorted((s for s in image.symbols if s.is_function), key=lambda s: s.address)
    at = bisect_right(functions, address, key=lambda symbol: symbol.address) - 1
    found = functions[at] if at >= 0 else None
    return found if found is not None and address < found.address + found.nbytes else None


def _start_of_riscv(image: Image, rows: Sequence[MapRow], code: Code) -> Start:
    """It starts where the ELF file says, and handles traps in the functions that return by mret."""
    handlers = set()
    for here in code:
        if here.text == "mret":
            function = _function_at(image, here.address)
            if function is None:
                raise Error(f"{image.path}: mret at 0x{here.address:x} is in no function")
            handlers.add(function.address)
    initial_stack = _initial_stack(image, code)
    return Start(initial_stack, image.entry, frozenset(handlers), EXCEPTION_FRAME_BYTES)


def _initial_stack(image: Image, code: Code) -> int:
    """What the first straight line of code puts into the stack pointer."""
    registers = {"zero": 0}
    first = bisect_left(code, image.entry, key=lambda here: here.address)
    for here in code[first:]:
        if here.flow is not Flow.NEXT:
            break
        mnemonic, operands = split(here.text.partition("#")[0])
        register, *given = operands.split(",")
        value = _computed(mnemonic, given, here.address, registers)
        if value is not None:
            registers[register] = value & 0xFFFFFFFF
    if "sp" not in registers:
        raise Error(f"{image.path}: the code at its entry sets no stack pointer before it branches")
    return registers["sp"]


def _computed(
    mnemonic: str, given: Sequence[str], address: int, registers: dict[str, int]
) -> int | None:
    """The result of an instruction that computes an address; None for another."""
    if mnemonic in ("lui", "auipc"):
        return (int(given[0], 0) << 12) + (address if mnemonic == "auipc" else 0)
    if mnemonic == "li":
        return int(given[0], 0)
    if mnemonic == "mv":
        return registers.get(given[0])
    if mnemonic in ("add", "addi") and given[0] in registers and given[1].lstrip("-").isdigit():
        return registers[given[0]] + int(given[1])
    return None


RISCV = Machine(
    _decode_riscv, _resolve_riscv, call_bytes=0, usage_is_exact=False, start=_start_of_riscv
)

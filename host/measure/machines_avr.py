# SPDX-License-Identifier: Apache-2.0
"""AVR code, for the stack bound.

An AVR has no addition to its stack pointer: a frame is made in a pair of registers, which is then
written to it with interrupts off. What the pair had added or subtracted stands right before.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from mcutrain.host.measure.elf import Image
from mcutrain.host.measure.linker_map import MapRow
from mcutrain.host.measure.machine import Code, Flow, Instruction, Machine, Start, split
from mcutrain.trainer.errors import Error

DATA_BASE = 0x800000  # what the toolchain adds to addresses of data
ENTRY_BYTES = 4  # of the vector table: a JMP

_SKIPS = ("cpse", "sbrc", "sbrs", "sbic", "sbis")  # perhaps the next instruction
_BRANCH = re.compile(r"br[a-z]{2}$")
_SWITCHES = ("<__tablejump2__>", "<__tablejump__>")  # of libgcc: to an entry of a table
_TARGET = re.compile(r"; 0x([0-9a-f]+)")
_RETURN_HERE = re.compile(r"\.\+0\b")
_WRITES_LOW = re.compile(r"out\s+0x3d, (r\d+)")  # SPL, behind SPH
_LONG = ((0xFE0E, 0x940C), (0xFE0E, 0x940E), (0xFE0F, 0x9000), (0xFE0F, 0x9200))
_ENDS_A_SEARCH = ("in", "ldi", "mov", "movw", "pop")  # a register has another value from there on


def _decode_avr(call_bytes: int, address: int, text: str) -> Instruction:
    """One line of an AVR whose calls push ``call_bytes``.

    >>> _decode_avr(2, 0, "push\\tr28").push_bytes
    1
    >>> _decode_avr(3, 0, "rcall\\t.+0      \\t; 0x2 <f+0x2>").push_bytes
    3
    >>> _decode_avr(2, 0, "brge\\t.+2      \\t; 0x96e <f+0x56e>").target
    2414
    >>> _decode_avr(2, 0, "jmp\\t0x8b80\\t; 0x8b80 <__tablejump2__>").flow
    <Flow.TABLE: 'table'>
    """
    mnemonic, operands = split(text)
    here = Instruction(address, text)
    if mnemonic.startswith("."):
        return replace(here, flow=Flow.DATA)
    if mnemonic in ("push", "pop"):
        return replace(here, push_bytes=1 if mnemonic == "push" else -1)
    if mnemonic == "rcall" and _RETURN_HERE.match(operands):
        return replace(here, push_bytes=call_bytes)  # a small frame, and no call
    if _WRITES_LOW.match(text):
        return replace(here, moves_stack=True)
    flow = _flow(mnemonic, operands)
    has_target = flow in (Flow.BRANCH, Flow.JUMP, Flow.CALL)
    target = _TARGET.search(operands) if has_target else None
    return replace(here, flow=flow, target=int(target[1], 16) if target else None)


def _flow(mnemonic: str, operands: str) -> Flow:
    if mnemonic in ("ret", "reti"):
        return Flow.END
    if mnemonic in ("jmp", "rjmp"):
        return Flow.TABLE if any(name in operands for name in _SWITCHES) else Flow.JUMP
    if mnemonic in ("call", "rcall"):
        return Flow.CALL
    if mnemonic in ("icall", "eicall"):
        return Flow.INDIRECT_CALL
    if mnemonic in ("ijmp", "eijmp", *_SKIPS):  # skips until it is known how far
        return Flow.INDIRECT_JUMP
    return Flow.BRANCH if _BRANCH.match(mnemonic) else Flow.NEXT


def _resolve_avr(here: Instruction, before: Code, image: Image) -> Instruction:
    """Gives a skip its target, and a frame its size."""
    if split(here.text)[0] in _SKIPS:
        skipped = int.from_bytes(image.read(here.address + 2, 2), "little")
        nbytes = 4 if any(skipped & mask == code for mask, code in _LONG) else 2
        return replace(here, flow=Flow.BRANCH, target=here.address + 2 + nbytes)
    added = _added([each.text for each in before], here.text) if here.moves_stack else None
    return here if added is None else replace(here, moves_stack=False, push_bytes=-added)


def _added(before: Sequence[str], text: str) -> int | None:
    """What was added to the pair that ``text`` writes; None if the lines before do not say so.

    >>> _added(["sbiw\\tr28, 0x20\\t; 32", "in\\tr0, 0x3f\\t; 63", "cli"], "out\\t0x3d, r28\\t; 61")
    -32
    >>> _added(["subi\\tr28, 0xB4\\t; 180", "sbci\\tr29, 0xFF\\t; 255"], "out\\t0x3d, r28\\t; 61")
    76
    >>> _added(["subi\\tr28, 0x4C\\t; 76", "sbc\\tr29, r1"], "out\\t0x3d, r28\\t; 61")
    -76
    """
    found = _WRITES_LOW.match(text)
    assert found
    low, high = found[1], f"r{int(found[1][1:]) + 1}"
    behind: list[str] = []
    for line in reversed(before):
        mnemonic, register, value = _words(line)
        if register == low and mnemonic in ("sbiw", "adiw"):
            return int(value, 0) * (1 if mnemonic == "adiw" else -1)
        if register == low and mnemonic == "subi":
            return _of_two(int(value, 0), behind, high)
        if register in (low, high) and mnemonic in _ENDS_A_SEARCH:
            return None
        behind = [mnemonic, register, value]
    return None


def _of_two(low: int, behind: Sequence[str], high: str) -> int | None:
    """What SUBI and the instruction behind it have added to a pair."""
    if list(behind) == ["sbc", high, "r1"]:  # r1 is zero by the calling convention
        return -low
    if list(behind[:2]) != ["sbci", high]:
        return None
    subtracted = low | int(behind[2], 0) << 8
    return -subtracted if subtracted < 1 << 15 else (1 << 16) - subtracted


def _words(line: str) -> tuple[str, str, str]:
    """Mnemonic and two operands, which may be empty.

    >>> _words("subi\\tr28, 0x4C\\t; 76")
    ('subi', 'r28', '0x4C')
    """
    mnemonic, operands = split(line.partition(";")[0])
    first, _, second = operands.partition(",")
    return mnemonic, first.strip(), second.strip()


def _start_of_avr(image: Image, rows: Sequence[MapRow], code: Code) -> Start:
    """A table of jumps: the first is the reset's. The others are handlers, but for those that are
    not expected, which start anew: nothing lets these interrupts through."""
    tables = [row for row in rows if row.input_section == ".vectors"]
    if not tables:
        raise Error(f"{image.path}: no input section .vectors: where are the interrupt handlers?")
    begin, end = tables[0].address, tables[0].address + sum(row.nbytes for row in tables)
    by_address = {here.address: here for here in code}
    targets = {by_address[at].target for at in range(begin + ENTRY_BYTES, end, ENTRY_BYTES)}
    handlers = set()
    for target in targets - {None}:
        assert target is not None
        first = by_address[target]
        if not (first.flow is Flow.JUMP and first.target == begin):
            handlers.add(target)
    # The core pushes the return address of a handler as a call does: the handler counts it.
    initial_stack = _initial_stack(image, by_address[begin], code)
    return Start(initial_stack, begin, frozenset(handlers), frame_bytes=0)


def _initial_stack(image: Image, reset: Instruction, code: Code) -> int:
    """The end of the stack that the code behind the reset sets up, as an address of data."""
    registers: dict[str, int] = {}
    for here in code:
        if reset.target is not None and here.address >= reset.target:
            mnemonic, register, value = _words(here.text)
            if mnemonic == "ldi":
                registers[register] = int(value, 0)
            if (found := _WRITES_LOW.match(here.text)) and found[1] in registers:
                low, high = found[1], f"r{int(found[1][1:]) + 1}"
                # The stack pointer is the address of the byte that is written next.
                return DATA_BASE + registers[low] + (registers.get(high, 0) << 8) + 1
    raise Error(f"{image.path}: the code behind its reset sets no stack pointer")


def _avr(call_bytes: int) -> Machine:
    """AVRs whose program counter has so many bytes."""
    return Machine(
        partial(_decode_avr, call_bytes),
        _resolve_avr,
        call_bytes=call_bytes,
        usage_is_exact=False,
        start=_start_of_avr,
    )


AVR = _avr(2)
AVR6 = _avr(3)  # with more than 128 KiB of flash

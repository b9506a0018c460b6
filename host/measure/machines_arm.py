# SPDX-License-Identifier: Apache-2.0
"""Thumb code of a Cortex-M, for the stack bound."""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from dataclasses import replace

from mcutrain.host.measure.elf import Image
from mcutrain.host.measure.linker_map import MapRow
from mcutrain.host.measure.machine import Code, Flow, Instruction, Machine, Start, split, target_of
from mcutrain.trainer.errors import Error

EXCEPTION_FRAME_BYTES = 32 + 4  # r0-r3, r12, lr, pc, xPSR, and alignment to 8 (ARMv7-M B1.5.6)
FPU_EXCEPTION_FRAME_BYTES = 104 + 4  # and s0-s15, FPSCR, one reserved word (B1.5.7)
_POPPED_BEFORE = 4  # instructions between a POP and the jump through what it has loaded

_LOOP = re.compile(r"(?:wlstp|wls|letp|le)(?:\.\d+)?$")  # Armv8.1-M: to its begin, or past its end
_CONDITION = "eq|ne|cs|hs|cc|lo|mi|pl|vs|vc|hi|ls|ge|lt|gt|le"
_THUMB = re.compile(
    r"^(push|pop|stmdb|stmfd|stm|ldmia|ldmfd|ldm|vpush|vpop|vstmdb|vldmia|subw?|addw?|mov|msr|"
    rf"ldr|blx|bx|bl|b|cbn?z|tb[bh]|udf)(?:ns)?({_CONDITION})?(?:\.[nw])?$"
)


def _decode_thumb(address: int, text: str) -> Instruction:
    """One line of Thumb.

    >>> _decode_thumb(0, "push {r4, r5, lr}").push_bytes
    12
    >>> _decode_thumb(0, "strd\\tip, lr, [sp, #-16]!").push_bytes
    16
    >>> _decode_thumb(0, "ble.n\\tb6 <va+0x36>").flow, _decode_thumb(0, "bl 44 <deep>").flow
    (<Flow.BRANCH: 'branch'>, <Flow.CALL: 'call'>)
    >>> _decode_thumb(0, "le\\tlr, 30 <f+0x30>").flow
    <Flow.BRANCH: 'branch'>
    >>> _decode_thumb(0, "wlstp.8\\tlr, r2, 30 <f+0x30>").target
    48
    """
    mnemonic, operands = split(text.partition("@")[0])
    here = Instruction(address, text)
    if mnemonic.startswith("."):
        return replace(here, flow=Flow.DATA)
    found = _THUMB.match(mnemonic)
    base, condition = (found[1], found[2] or "") if found else (mnemonic, "")
    flow, target = _thumb_flow(base, condition, operands)
    push_bytes, moves_stack = _thumb_stack(base, operands)
    if condition and push_bytes < 0:
        push_bytes = 0  # it may not happen
    return replace(here, flow=flow, target=target, push_bytes=push_bytes, moves_stack=moves_stack)


def _thumb_flow(base: str, condition: str, operands: str) -> tuple[Flow, int | None]:
    on = Flow.NEXT if condition else Flow.END  # a conditional return falls through
    target = target_of(operands)
    if _LOOP.match(base):
        return Flow.BRANCH, target
    if base in ("b", "cbz", "cbnz"):
        return (Flow.JUMP if base == "b" and not condition else Flow.BRANCH), target
    if base == "bl":
        # These helpers of ARMv6-M read a table behind the call and jump into the caller.
        return (Flow.TABLE if "<__gnu_thumb1_case_" in operands else Flow.CALL), target
    if base == "blx":
        return (Flow.CALL, target) if target is not None else (Flow.INDIRECT_CALL, None)
    if base == "bx":
        return (on if operands == "lr" else Flow.INDIRECT_JUMP), None
    if base in ("tbb", "tbh"):
        return Flow.TABLE, None
    pops = base in ("pop", "ldmia", "ldmfd", "ldm")
    if base == "udf" or (pops and re.search(r"\bpc\b", operands)):
        return on, None
    if base in ("ldr", "mov", "add") and operands.startswith("pc,"):
        if operands in ("pc, lr",) or "[sp]" in operands:
            return on, None
        is_literal = base == "ldr" and "[pc, #" in operands
        return (Flow.INDIRECT_JUMP if is_literal else Flow.TABLE), None
    return Flow.NEXT, None


def _thumb_stack(base: str, operands: str) -> tuple[int, bool]:
    """Bytes pushed, and whether the stack pointer moves by a register."""
    if base in ("push", "vpush"):
        return _register_bytes(operands), False
    if base in ("pop", "vpop"):
        return -_register_bytes(operands), False
    if operands.startswith("sp!"):
        return _register_bytes(operands) * (1 if "st" in base else -1), False
    if found := re.search(r"\[sp, #(-?\d+)\]!", operands):
        return -int(found[1]), False
    if found := re.search(r"\[sp\], #(-?\d+)", operands):
        return -int(found[1]), False
    if base in ("sub", "subw", "add", "addw") and operands.startswith("sp,"):
        found = re.match(r"sp, (?:sp, )?#(\d+)$", operands)
        return (0, True) if not found else (int(found[1]) * (1 if "sub" in base else -1), False)
    # A frame pointer restores what was pushed; keeping the greater depth is on the safe side.
    restores = base == "mov" and operands in ("sp, r7", "sp, fp")
    writes = base in ("mov", "ldr") and operands.startswith("sp,")
    return 0, (writes and not restores) or (base == "msr" and operands.startswith(("MSP", "PSP")))


def _register_bytes(operands: str) -> int:
    """Bytes of a register list: 4 per core or single register, 8 per double.

    >>> _register_bytes("{r4, r5, lr}"), _register_bytes("sp!, {s16-s19}"), _register_bytes("{d8}")
    (12, 16, 8)
    """
    inside = operands[operands.index("{") + 1 : operands.index("}")]
    total = 0
    for name in inside.split(","):
        first, _, last = name.strip().partition("-")
        count = int(last[1:]) - int(first[1:]) + 1 if last else 1
        total += count * (8 if first.startswith("d") else 4)
    return total


_LITERAL_JUMP = re.compile(r"ldr(?:\.w)?\s+pc, \[pc, #-?\d+\]\s+@ \(([0-9a-f]+)")
_REALIGN = re.compile(r"mov\s+sp, (r\d+)$")
_REGISTER_JUMP = re.compile(r"bx\S*\s+(\w+)$")


def _resolve_thumb(jump: Instruction, before: Code, image: Image) -> Instruction:
    """Returns through a popped register, literal jumps (long-branch stubs of the linker),
    realignment at the start of a handler."""
    past = [instruction.text for instruction in before[-_POPPED_BEFORE:]]
    if found := _REALIGN.match(jump.text):
        # Up to 4 bytes, unless the exception frame was aligned already: counted there.
        aligned = any(re.match(rf"bics?(?:\.w)?\s+{found[1]}, ", text) for text in past)
        return replace(jump, moves_stack=not aligned)
    if found := _LITERAL_JUMP.match(jump.text):
        (word,) = struct.unpack("<I", image.read(int(found[1], 16), 4))
        return replace(jump, flow=Flow.JUMP, target=word & ~1)
    if found := _REGISTER_JUMP.match(jump.text):
        popped = rf"(?:pop|ldmia(?:\.w)?\s+sp!,)\s*{{(?:.*\b)?{found[1]}\b"
        if any(re.match(popped, text) for text in past):
            return replace(jump, flow=Flow.END)
    return jump


def _start_of_cortex_m(image: Image, rows: Sequence[MapRow], code: Code) -> Start:
    """The vector table: initial stack pointer, reset handler, other handlers or 0 (ARMv7-M
    B1.5.3)."""
    table = [row for row in rows if row.input_section in (".vectors", ".isr_vector")]
    if not table:
        raise Error(f"{image.path}: no input section .vectors: where are the interrupt handlers?")
    contents = b"".join(image.read(row.address, row.nbytes) for row in table)
    initial_stack, *entries = (word for (word,) in struct.iter_unpack("<I", contents))
    reset, *handlers = (entry & ~1 for entry in entries)
    # The core saves floating-point registers only after an instruction has used them.
    uses_fpu = image.has_fpu and any(here.text.startswith("v") for here in code)
    frame = FPU_EXCEPTION_FRAME_BYTES if uses_fpu else EXCEPTION_FRAME_BYTES
    return Start(initial_stack, reset, frozenset(handlers) - {0, reset}, frame)


CORTEX_M = Machine(
    _decode_thumb,
    _resolve_thumb,
    call_bytes=0,
    usage_is_exact=False,
    start=_start_of_cortex_m,
)

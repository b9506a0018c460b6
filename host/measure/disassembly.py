# SPDX-License-Identifier: Apache-2.0
"""What each instruction of a linked program does to the stack and to the flow of control.

Reads ``objdump -d``; knows Thumb (Cortex-M) and x86-64. Only instructions that move the stack
pointer or leave the straight line matter here; all others are Flow.NEXT and move nothing.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from mcutrain.host.errors import BuildError


class Flow(Enum):
    """Where control goes after an instruction."""

    NEXT = "next"
    BRANCH = "branch"  # to the target or on
    JUMP = "jump"  # to the target; also a tail call
    CALL = "call"  # to the target and back
    END = "end"  # a return, or a trap
    TABLE = "table"  # to one of the cases of a switch, in the same function
    INDIRECT_CALL = "indirect call"
    INDIRECT_JUMP = "indirect jump"
    DATA = "data"  # not an instruction: a literal or a table


@dataclass(frozen=True)
class Instruction:
    """One line of the disassembly; all numbers of bytes count downwards from the stack pointer."""

    address: int
    text: str
    flow: Flow = Flow.NEXT
    target: int | None = None
    callback: int | None = None  # function whose address is taken: a library may call it
    push_bytes: int = 0  # negative when the stack shrinks
    red_zone_bytes: int = 0  # touched below the stack pointer
    frame_bytes: int = 0  # touched below the frame pointer, if the function has one
    sets_frame: bool = False
    moves_stack: bool = False  # by a register, so the text does not say how far


@dataclass(frozen=True)
class Machine:
    """What the stack bound must know of an instruction set."""

    decode: Callable[[int, str], Instruction]
    call_bytes: int  # what a call itself pushes
    usage_is_exact: bool  # -fstack-usage is an upper bound; on Arm it leaves out variadic saves


_LINE = re.compile(r"^\s*([0-9a-f]+):\t(.+?)\s*$")


def disassemble(elf: Path, machine: Machine, toolchain_prefix: str) -> list[Instruction]:
    """All code of a linked program in order of address; raises BuildError without objdump."""
    command = [f"{toolchain_prefix}objdump", "-d", "-z", "--no-show-raw-insn", str(elf)]
    try:
        done = subprocess.run(command, capture_output=True, encoding="utf-8", check=True)
    except FileNotFoundError as cause:
        raise BuildError(f"{command[0]} not found; install the binutils of the target") from cause
    except subprocess.CalledProcessError as cause:
        raise BuildError(f"{' '.join(command)}: {cause.stderr.strip()}") from cause
    lines = (_LINE.match(line) for line in done.stdout.splitlines())
    code = [machine.decode(int(found[1], 16), found[2]) for found in lines if found]
    return _resolve_in_context(sorted(code, key=lambda instruction: instruction.address))


def _resolve_in_context(code: Sequence[Instruction]) -> list[Instruction]:
    """Settle what a single line cannot: returns through a popped register, switches on x86,
    literal jumps (long-branch stubs of the linker), realignment at the start of a handler."""
    words = {i.address: i.text for i in code if i.flow is Flow.DATA}
    return [
        _resolve(instruction, code[max(0, at - 4) : at], words)
        if instruction.flow is Flow.INDIRECT_JUMP or instruction.moves_stack
        else instruction
        for at, instruction in enumerate(code)
    ]


_LITERAL_JUMP = re.compile(r"ldr(?:\.w)?\s+pc, \[pc, #-?\d+\]\s+@ \(([0-9a-f]+)")
_REALIGN = re.compile(r"mov\s+sp, (r\d+)$")
_REGISTER_JUMP = re.compile(r"(?:bx|jmp)\S*\s+\*?(%?\w+)$")


def _resolve(
    jump: Instruction, before: Sequence[Instruction], words: dict[int, str]
) -> Instruction:
    past = [instruction.text for instruction in before]
    if found := _REALIGN.match(jump.text):
        # Up to 4 bytes, unless the exception frame was aligned already: counted there.
        aligned = any(re.match(rf"bics?(?:\.w)?\s+{found[1]}, ", text) for text in past)
        return replace(jump, moves_stack=not aligned)
    if found := _LITERAL_JUMP.match(jump.text):
        word = re.search(r"0x([0-9a-f]+)", words.get(int(found[1], 16), ""))
        if word:
            return replace(jump, flow=Flow.JUMP, target=int(word[1], 16) & ~1)
    if found := _REGISTER_JUMP.match(jump.text):
        register = re.escape(found[1])
        popped = rf"(?:pop|ldmia(?:\.w)?\s+sp!,)\s*{{(?:.*\b)?{register}\b"
        if any(re.match(popped, text) for text in past):
            return replace(jump, flow=Flow.END)
        # gcc's switch in position-independent x86 code adds an offset to the address of a table.
        if any(re.match(rf"add\s.*,{register}$", text) for text in past[-2:]):
            return replace(jump, flow=Flow.TABLE)
    return jump


_TARGET = re.compile(r"\b([0-9a-f]+) <")
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
    mnemonic, operands = _split(text.partition("@")[0])
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
    target = _target(operands)
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


_X86_PREFIX = re.compile(r"^(?:(?:bnd|notrack|repz?|repnz|lock|data16|addr32|cs|ds|rex\S*)\s+)+")
_BELOW = re.compile(r"-0x([0-9a-f]+)\(%(rsp|rbp)")


def _decode_x86(address: int, text: str) -> Instruction:
    """One line of x86-64, AT&T syntax.

    >>> _decode_x86(0, "sub    $0x58,%rsp").push_bytes
    88
    >>> _decode_x86(0, "movzbl -0x75(%rsp),%eax").red_zone_bytes
    117
    >>> _decode_x86(0, "sub    $0xffffffffffffff80,%rsp").push_bytes
    -128
    """
    mnemonic, operands = _split(_X86_PREFIX.sub("", text))
    flow, target = _x86_flow(mnemonic, operands, text)
    push_bytes, moves_stack = _x86_stack(mnemonic, operands)
    found = _BELOW.search(operands)
    below = {found[2]: int(found[1], 16)} if found and not push_bytes else {}
    return Instruction(
        address,
        _X86_PREFIX.sub("", text),
        flow,
        target,
        callback=_x86_callback(mnemonic, operands),
        push_bytes=push_bytes,
        red_zone_bytes=below.get("rsp", 0),
        frame_bytes=below.get("rbp", 0),
        sets_frame=mnemonic == "mov" and operands == "%rsp,%rbp",
        moves_stack=moves_stack,
    )


def _x86_flow(mnemonic: str, operands: str, text: str) -> tuple[Flow, int | None]:
    if mnemonic.startswith("ret") or mnemonic in ("ud2", "hlt"):
        return Flow.END, None
    is_call, is_jump = mnemonic.startswith("call"), mnemonic.startswith("jmp")
    if (is_call or is_jump) and operands.startswith("*"):
        if "@" in operands:  # a library function through its slot in the table of addresses
            return (Flow.NEXT if is_call else Flow.END), None
        if is_jump and ("notrack" in text or re.search(r"\(,%\w+,8\)", operands)):
            return Flow.TABLE, None
        return (Flow.INDIRECT_CALL if is_call else Flow.INDIRECT_JUMP), None
    if is_call or is_jump:
        return (Flow.CALL if is_call else Flow.JUMP), _target(operands)
    if mnemonic.startswith(("j", "loop")):
        return Flow.BRANCH, _target(operands)
    return Flow.NEXT, None


def _x86_stack(mnemonic: str, operands: str) -> tuple[int, bool]:
    if mnemonic.startswith("push"):
        return 8, False
    if mnemonic.startswith("pop") and mnemonic != "popcnt":
        return -8, False
    if not operands.endswith(",%rsp") or mnemonic in ("cmp", "test", "cmpq"):
        return 0, False
    found = re.match(r"\$(0x[0-9a-f]+),%rsp$", operands)
    value = _signed64(int(found[1], 16)) if found else 0
    if mnemonic in ("sub", "add") and found:
        return (value if mnemonic == "sub" else -value), False
    if mnemonic == "and" and found:
        return -value - 8, False  # realigned: the stack pointer was a multiple of 8
    if mnemonic == "lea" and (offset := re.match(r"(-?)0x([0-9a-f]+)\(%rsp\),%rsp$", operands)):
        return int(offset[2], 16) * (1 if offset[1] else -1), False
    # lea and mov from another register undo a realignment or restore a frame.
    return 0, mnemonic not in ("lea", "mov")


def _x86_callback(mnemonic: str, operands: str) -> int | None:
    if mnemonic == "lea" and (found := re.search(r"# ([0-9a-f]+) <[^+>]+>$", operands)):
        return int(found[1], 16)
    if mnemonic == "mov" and (found := re.match(r"\$0x([0-9a-f]+),", operands)):
        return int(found[1], 16)
    return None


def _signed64(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _target(operands: str) -> int | None:
    found = _TARGET.search(operands)
    return int(found[1], 16) if found else None


def _split(text: str) -> tuple[str, str]:
    mnemonic, _, operands = text.strip().partition("\t")
    if not operands:
        mnemonic, _, operands = text.strip().partition(" ")
    return mnemonic.strip(), operands.strip()


MACHINES = {
    "EM_ARM": Machine(_decode_thumb, call_bytes=0, usage_is_exact=False),
    "EM_X86_64": Machine(_decode_x86, call_bytes=8, usage_is_exact=True),
}

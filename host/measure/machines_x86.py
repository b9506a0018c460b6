# SPDX-License-Identifier: Apache-2.0
"""x86-64 code of a host port, for the stack bound."""

from __future__ import annotations

import re
from dataclasses import replace

from mcutrain.host.measure.elf import Image
from mcutrain.host.measure.machine import Code, Flow, Instruction, Machine, split, target_of

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
    mnemonic, operands = split(_X86_PREFIX.sub("", text))
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
        return (Flow.CALL if is_call else Flow.JUMP), target_of(operands)
    if mnemonic.startswith(("j", "loop")):
        return Flow.BRANCH, target_of(operands)
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


_REGISTER_JUMP = re.compile(r"jmp\S*\s+\*?(%\w+)$")


def _resolve_x86(jump: Instruction, before: Code, image: Image) -> Instruction:
    """gcc's switch in position-independent code adds an offset to the address of a table."""
    if found := _REGISTER_JUMP.match(jump.text):
        added = rf"add\s.*,{re.escape(found[1])}$"
        if any(re.match(added, here.text) for here in before[-2:]):
            return replace(jump, flow=Flow.TABLE)
    return jump


X86_64 = Machine(_decode_x86, _resolve_x86, call_bytes=8, usage_is_exact=True)

# SPDX-License-Identifier: Apache-2.0
"""What the stack bound must know of an instruction set, and what the decoders of all share.

Only instructions that move the stack pointer or leave the straight line matter; all others are
Flow.NEXT and move nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from mcutrain.host.measure.elf import Image
from mcutrain.host.measure.linker_map import MapRow


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
class Start:
    """Where control enters a program that has its chip to itself."""

    initial_stack: int
    reset: int
    handlers: frozenset[int]  # of interrupts and faults
    frame_bytes: int  # what the core itself saves on the stack before a handler runs


Code = Sequence[Instruction]


@dataclass(frozen=True)
class Machine:
    """An instruction set. Its code is bounded from ``start`` on, with its libraries; without, as
    on a host, from main() on, and of the libraries nothing is read."""

    decode: Callable[[int, str], Instruction]
    # Settles what a line does not say alone, from the LOOK_BACK instructions before it.
    resolve: Callable[[Instruction, Code, Image], Instruction]
    call_bytes: int  # what a call itself pushes
    usage_is_exact: bool  # -fstack-usage is an upper bound; on Arm it leaves out variadic saves
    start: Callable[[Image, Sequence[MapRow], Code], Start] | None = None


LOOK_BACK = 16
_TARGET = re.compile(r"\b([0-9a-f]+) <")


def target_of(operands: str) -> int | None:
    """The address that a branch names, as objdump writes it.

    >>> hex(target_of("a0,a1,2040012c <main+0x8>"))
    '0x2040012c'
    """
    found = _TARGET.search(operands)
    return int(found[1], 16) if found else None


def split(text: str) -> tuple[str, str]:
    """Mnemonic and operands."""
    mnemonic, _, operands = text.strip().partition("\t")
    if not operands:
        mnemonic, _, operands = text.strip().partition(" ")
    return mnemonic.strip(), operands.strip()

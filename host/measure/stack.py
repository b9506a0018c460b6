# SPDX-License-Identifier: Apache-2.0
"""The greatest stack a linked program can use, from its disassembly and -fstack-usage.

The depth of the stack pointer is followed through every instruction a function can reach, and a
call adds what its callee needs at the depth of that very call. A tail call therefore costs what
is left of the frame, mostly nothing. Where the stack pointer moves by a register, the compiler's
number (.su) is taken instead. Recursion, calls through pointers and frames without a bound are
errors, so a total that is returned is a bound: it may be too large, never too small, as long as
interrupts do not nest (all at one priority) and a fault handler does not return.

On a host port only functions of our own objects count. A call into the C library counts as the
return address it pushes; a function of ours whose address is taken counts as called there, since
the library may do so.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from mcutrain.host.measure.disassembly import MACHINES, disassemble
from mcutrain.host.measure.elf import Image
from mcutrain.host.measure.linker_map import MapRow
from mcutrain.host.measure.machine import Flow, Instruction, Machine
from mcutrain.trainer.errors import Error

EXCEPTION_FRAME = "(exception frame)"  # in a chain, before the handler: 0 bytes on RISC-V
MAX_ROUNDS = 64

Chain = tuple[tuple[str, int], ...]  # functions from the caller down, with the bytes of each


@dataclass(frozen=True)
class StackReport:
    """The bound, and the chain of calls that makes it; the bytes of the chain add up to it.

    ``initial`` is the stack pointer at the start, of a program that has its chip to itself.
    """

    total_bytes: int
    path: Chain
    initial: int | None


@dataclass(frozen=True)
class Usage:
    """One line of a .su file."""

    nbytes: int
    qualifier: str  # static, dynamic, or dynamic,bounded
    is_shared: bool  # by several clones: their maximum


@dataclass(frozen=True)
class Function:
    """A function, or a piece of assembly code without a symbol, up to the next one."""

    name: str
    start: int
    end: int
    is_own: bool
    usage: Usage | None


def worst_case_stack(
    image: Image,
    rows: Sequence[MapRow],
    objects: Mapping[str, Path],
    toolchain_prefix: str,
    indirect_calls: Mapping[str, Sequence[str]] | None = None,
) -> StackReport:
    """Bound the stack of a program.

    ``objects`` gives the file of each origin in ``rows`` that is our own; its .su file lies
    beside it. ``indirect_calls`` names, for a function that calls through a pointer, all that it
    may call. Raises Error naming the function for recursion, another call through a pointer, or a
    frame without a bound.
    """
    machine = MACHINES.get(image.machine)
    if machine is None:
        raise Error(
            f"{image.path}: the stack of {image.machine} code cannot be bounded; "
            f"supported are {', '.join(MACHINES)}"
        )
    functions = _functions(image, rows, objects)
    code = disassemble(image, machine, toolchain_prefix)
    program = _Program(machine, code, functions, indirect_calls or {})
    if machine.start is None:
        return _report(program.worst(program.address_of("main")), None)
    start = machine.start(image, rows, code)
    thread = program.worst(start.reset)
    interrupts = [program.worst(address) for address in start.handlers]
    if not interrupts:
        return _report(thread, start.initial_stack)
    frame = (EXCEPTION_FRAME, start.frame_bytes)
    return _report((*thread, frame, *max(interrupts, key=total_bytes)), start.initial_stack)


def total_bytes(chain: Chain) -> int:
    return sum(nbytes for _, nbytes in chain)


def _report(chain: Chain, initial: int | None) -> StackReport:
    return StackReport(total_bytes(chain), chain, initial)


def read_usage(path: Path) -> dict[str, Usage]:
    """Frames of one object by function; empty without a file, as for assembly code.

    Clones of a function that share a name share the greatest frame.
    """
    frames: dict[str, Usage] = {}
    if not path.is_file():
        return frames
    for line in path.read_text(encoding="utf-8").splitlines():
        place, nbytes, qualifier = line.split("\t")
        usage = Usage(int(nbytes), qualifier, is_shared=False)
        name = _usage_name(place.rsplit(":", 1)[1])
        if name in frames:
            usage = _worse(usage, frames[name])
        frames[name] = usage
    return frames


def _worse(one: Usage, other: Usage) -> Usage:
    dynamic = "dynamic" in (one.qualifier, other.qualifier)
    qualifier = "dynamic" if dynamic else one.qualifier
    return Usage(max(one.nbytes, other.nbytes), qualifier, is_shared=True)


def _usage_name(symbol: str) -> str:
    """The name gcc writes into a .su file, without the numbers of clones, which older ones write
    there too, and cold parts.

    >>> _usage_name("push_row.constprop.0.isra.1"), _usage_name("push_row.part.0.cold")
    ('push_row.constprop.isra', 'push_row.part')
    """
    return re.sub(r"\.(?:\d+|cold)\b", "", symbol)


def _functions(image: Image, rows: Sequence[MapRow], objects: Mapping[str, Path]) -> list[Function]:
    """Functions in order of address: one per symbol, and one per nameless piece of code."""
    names: dict[int, list[str]] = {}
    for symbol in image.symbols:
        if symbol.is_function:
            names.setdefault(symbol.address, []).append(symbol.name)
    usages = {origin: read_usage(path.with_suffix(".su")) for origin, path in objects.items()}
    found: list[Function] = []
    for row in sorted(rows, key=lambda row: row.address):
        inside = [address for address in names if row.address < address < row.end]
        starts = [row.address, *sorted(inside)]
        for start, end in zip(starts, [*starts[1:], row.end], strict=True):
            called = names.get(start, [row.symbol or row.input_section])
            frames = usages.get(row.origin, {})
            known = [frames[n] for n in map(_usage_name, called) if n in frames]
            usage = known[0] if known else None
            found.append(Function(called[0], start, end, row.origin in objects, usage))
    return found


@dataclass(eq=False)
class _Program:
    """Code and functions, with the bounds found so far."""

    machine: Machine
    instructions: Sequence[Instruction]
    functions: Sequence[Function]
    indirect_calls: Mapping[str, Sequence[str]]
    index: dict[int, int] = field(init=False)
    starts: list[int] = field(init=False)
    entries: frozenset[int | None] = field(init=False)
    bounds: dict[int, Chain] = field(default_factory=dict)
    active: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.index = {instruction.address: at for at, instruction in enumerate(self.instructions)}
        self.starts = [function.start for function in self.functions]
        self.entries = frozenset(self.starts)

    @property
    def is_whole(self) -> bool:
        """Library code is there too, and is followed."""
        return self.machine.start is not None

    def address_of(self, name: str) -> int:
        for function in self.functions:
            if function.name == name and function.start in self.index:
                return function.start
        raise Error(f"{name}: no such function in the linked program")

    def function_at(self, address: int) -> Function | None:
        at = bisect_right(self.starts, address) - 1
        if at < 0 or address >= self.functions[at].end:
            return None
        function = self.functions[at]
        return function if function.is_own or self.is_whole else None

    def worst(self, entry: int) -> Chain:
        """The chain of calls from an address on that needs most, its return address included."""
        if entry in self.bounds:
            return self.bounds[entry]
        if entry in self.active:
            chain = [self.name(address) for address in self.active[self.active.index(entry) :]]
            raise Error(
                f"{self.name(entry)} calls itself ({' > '.join([*chain, self.name(entry)])}): "
                f"its stack has no bound; replace the recursion by a loop"
            )
        self.active.append(entry)
        best = max(self._chains(entry), key=total_bytes)
        self.active.pop()
        self.bounds[entry] = best
        return best

    def name(self, address: int) -> str:
        function = self.function_at(address)
        return function.name if function else f"0x{address:x}"

    def _chains(self, entry: int) -> Iterator[Chain]:
        depths = _Walk(self, entry).run()
        peak = 0
        framed = {self.name(at): depth for at, depth in depths.items() if self.at(at).sets_frame}
        for address, depth in depths.items():
            here, name = self.at(address), self.name(address)
            after = self.depth_after(here, depth)
            # Up to 128 bytes below the stack pointer may be used without moving it (x86-64 ABI).
            below_frame = framed[name] + here.frame_bytes if name in framed else 0
            yield ((name, max(depth + here.red_zone_bytes, below_frame, after)),)
            if self.function_at(address) is self.function_at(entry):
                peak = max(peak, after)
            for target in self._callees(here):
                if self.function_at(target) is not None:
                    yield ((name, depth), *self.worst(target))
                elif here.callback is None:
                    yield ((name, depth + self.machine.call_bytes),)
        self._check_usage(entry, peak)

    def at(self, address: int) -> Instruction:
        return self.instructions[self.index[address]]

    def _callees(self, here: Instruction) -> list[int]:
        is_call = here.flow is Flow.CALL and not self.is_far_jump(here)
        called = [here.target] if is_call and here.target is not None else []
        if here.callback in self.index and here.callback in self.entries:
            called.append(here.callback)
        if here.flow in (Flow.INDIRECT_CALL, Flow.INDIRECT_JUMP):
            name = self.name(here.address)
            if name not in self.indirect_calls:
                raise Error(
                    f"{name} calls through a pointer ({here.text} at 0x{here.address:x}): its "
                    f"stack has no bound; call directly, or list what it may call"
                )
            called += [self.address_of(callee) for callee in self.indirect_calls[name]]
        return called

    def depth_after(self, here: Instruction, depth: int) -> int:
        """Depth behind an instruction, given the depth before it."""
        function = self.function_at(here.address)
        usage = function.usage if function else None
        if function and usage and usage.qualifier == "dynamic":
            raise Error(
                f"{function.name} has a frame of variable size: its stack has no bound; "
                f"use an array of fixed size"
            )
        after = max(0, depth + here.push_bytes)
        if here.moves_stack and usage:
            after = max(after, usage.nbytes)
        elif here.moves_stack and depth > self.machine.call_bytes:
            raise Error(
                f"{self.name(here.address)} moves the stack pointer by a register ({here.text} "
                f"at 0x{here.address:x}) and has no .su file: its stack has no bound"
            )
        if usage and self.machine.usage_is_exact and after > depth:
            after = min(after, max(depth, usage.nbytes))
        return after

    def _check_usage(self, entry: int, peak: int) -> None:
        """Two independent readings of one frame: a smaller one here means code not understood."""
        function = self.function_at(entry)
        if function is None or function.start != entry or function.name.endswith(".cold"):
            return
        usage = function.usage
        if usage and not usage.is_shared and peak < usage.nbytes:
            raise Error(
                f"{function.name}: its code moves the stack by {peak} bytes, the compiler says "
                f"{usage.nbytes}; rebuild, so that the .su files fit the ELF"
            )

    def is_far_jump(self, here: Instruction) -> bool:
        """ARMv6-M has no long branch but BL, so gcc uses it inside a function."""
        function = self.function_at(here.address)
        if here.flow is not Flow.CALL or here.target is None or function is None:
            return False
        return function.usage is not None and function.start < here.target < function.end


@dataclass(eq=False)
class _Walk:
    """Greatest depth before each instruction that an entry reaches without a call."""

    program: _Program
    entry: int
    depths: dict[int, int] = field(default_factory=dict)
    rounds: dict[int, int] = field(default_factory=dict)
    work: list[int] = field(default_factory=list)

    def run(self) -> dict[int, int]:
        self._reach(self.entry, self.program.machine.call_bytes)
        switches: list[int] = []
        while self.work:
            address = self.work.pop()
            here = self.program.at(address)
            after = self.program.depth_after(here, self.depths[address])
            for following in self._following(here):
                self._reach(following, after)
            if here.flow is Flow.TABLE:
                switches.append(address)
            if not self.work:
                self._reach_cases(switches)
        return self.depths

    def _reach(self, address: int, depth: int) -> None:
        if depth <= self.depths.get(address, -1):
            return
        self.depths[address] = depth
        self.rounds[address] = self.rounds.get(address, 0) + 1
        # Few paths meet at one instruction with different depths; many are a loop that pushes.
        if self.rounds[address] > MAX_ROUNDS:
            raise Error(f"{self.program.name(address)} pushes in a loop: its stack has no bound")
        self.work.append(address)

    def _following(self, here: Instruction) -> list[int]:
        following = []
        is_far_jump = self.program.is_far_jump(here)
        if here.target is not None and (is_far_jump or here.flow in (Flow.BRANCH, Flow.JUMP)):
            if here.target in self.program.index and self.program.function_at(here.target):
                following.append(here.target)
            elif self.program.is_whole:
                raise Error(
                    f"{self.program.name(here.address)} jumps to 0x{here.target:x}, "
                    f"which is not code"
                )
        goes_on = here.flow in (Flow.NEXT, Flow.BRANCH, Flow.CALL, Flow.INDIRECT_CALL)
        if goes_on and not is_far_jump:
            following += self._next(here)
        return following

    def _next(self, here: Instruction) -> list[int]:
        """The next instruction; none behind a call that does not return, nor in data."""
        program = self.program
        at = program.index[here.address] + 1
        if at == len(program.instructions) or program.instructions[at].flow is Flow.DATA:
            return []
        following = program.instructions[at].address
        function, behind = program.function_at(here.address), program.function_at(following)
        if behind is None or (behind is not function and behind.is_own):
            return []
        # Assembly code may run on into the next label; a call at the end of one may not return.
        return [] if behind is not function and here.flow is Flow.CALL else [following]

    def _reach_cases(self, switches: Sequence[int]) -> None:
        """Start the first case that nothing else reached, at the depth of its switch.

        The cases of a switch are the blocks of its function that no other instruction leads to.
        """
        program = self.program
        for switch in switches:
            function = program.function_at(switch)
            assert function is not None
            first = program.index[switch]
            while first > 0 and program.instructions[first - 1].address >= function.start:
                first -= 1
            for before, block in pairwise(program.instructions[first:]):
                if block.address >= function.end:
                    break
                opens = before.flow in (Flow.JUMP, Flow.END, Flow.TABLE, Flow.DATA)
                if opens and block.flow is not Flow.DATA and block.address not in self.depths:
                    self._reach(block.address, self.depths[switch])
                    return

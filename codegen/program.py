# SPDX-License-Identifier: Apache-2.0
"""What the C of a plan will hold: constants, parameter structs, calls, each named once.

Printed by ``emit``, counted by ``manifest``: sizes are known without a compiler.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias, Union

import numpy as np

from mcutrain.trainer.graph.call import KernelCall, Table
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.graph.tensor import Array, DType, Role, Tensor
from mcutrain.trainer.planner.channel_region import ChannelRegion
from mcutrain.trainer.planner.memory import ARENA
from mcutrain.trainer.planner.row_region import RowRegion
from mcutrain.trainer.planner.sequence import Sequence
from mcutrain.trainer.training_plan import TrainingPlan


@dataclass(frozen=True)
class Constant:
    """A static const array of the generated file."""

    name: str
    kind: str  # frozen, initial, table or latent
    data: Array

    @property
    def nbytes(self) -> int:
        return int(self.data.nbytes)

    @property
    def is_copied(self) -> bool:
        """Whether its bytes are copied before they are read, and no pointer leads to it."""
        return self.kind in ("initial", "latent")

    @property
    def ctype(self) -> str:
        return DType.of(self.data).c


@dataclass(frozen=True)
class Params:
    """A static const parameter struct: int32 fields only, so four bytes each on any target."""

    name: str
    struct: str
    fields: dict[str, int]

    @property
    def nbytes(self) -> int:
        return 4 * len(self.fields)


@dataclass(frozen=True)
class Call:
    """One numbered kernel call of the step, or the call of one row of a region's ``stage``."""

    node: Node
    call: KernelCall
    params: Params | None
    tables: dict[Table, str]

    @property
    def kernels(self) -> str:
        return self.call.kernel


@dataclass(frozen=True)
class RegionCall:
    """One numbered call of the step that runs a region, with the calls of its rows."""

    node: Node
    stages: tuple[Call, ...]

    @property
    def region(self) -> RowRegion:
        assert isinstance(self.node.op, RowRegion)
        return self.node.op

    @property
    def kernels(self) -> str:
        """What is called, for the manifest."""
        return "+".join(stage.call.kernel for stage in self.stages)


@dataclass(frozen=True)
class GroupCall:
    """One numbered call of the step that runs a region by groups of channels: what comes before
    the first group, what each of them calls, what comes behind the last."""

    node: Node
    begin: tuple[Call, ...]
    parts: tuple[Call, ...]
    end: tuple[Call, ...]

    @property
    def region(self) -> ChannelRegion:
        assert isinstance(self.node.op, ChannelRegion)
        return self.node.op

    @property
    def stages(self) -> tuple[Call, ...]:
        return (*self.begin, *self.parts, *self.end)

    @property
    def kernels(self) -> str:
        """What is called for each group, for the manifest."""
        return "+".join(part.call.kernel for part in self.parts)


@dataclass(frozen=True)
class SequenceCall:
    """One numbered call of the step that runs nodes for each input of a sequence, with their
    calls."""

    node: Node
    stages: tuple[Call, ...]

    @property
    def sequence(self) -> Sequence:
        assert isinstance(self.node.op, Sequence)
        return self.node.op

    @property
    def kernels(self) -> str:
        """What is called for each input, for the manifest."""
        return "+".join(stage.call.kernel for stage in self.stages)


AnyCall: TypeAlias = Union[Call, RegionCall, GroupCall, SequenceCall]  # noqa: UP007


@dataclass
class Program:
    """Everything the generated file holds. Equal tables and equal structs are shared."""

    plan: TrainingPlan
    frozen: dict[Tensor, Constant] = field(default_factory=dict)
    initial: dict[Tensor, Constant] = field(default_factory=dict)
    tables: dict[tuple[str, bytes], Constant] = field(default_factory=dict)
    latents: list[Constant] = field(default_factory=list)
    params: dict[tuple[str, tuple[tuple[str, int], ...]], Params] = field(default_factory=dict)
    calls: list[AnyCall] = field(default_factory=list)

    @property
    def constants(self) -> list[Constant]:
        shared = self.tables.values()
        return [*self.frozen.values(), *self.initial.values(), *shared, *self.latents]

    @property
    def constant_bytes(self) -> int:
        """Bytes of flash of all arrays and structs."""
        return sum(c.nbytes for c in self.constants) + sum(p.nbytes for p in self.params.values())

    @property
    def pointed_bytes(self) -> int:
        """Of these, the bytes that pointers lead to: a chip whose pointers reach no flash has them
        in RAM too."""
        return self.constant_bytes - sum(c.nbytes for c in self.constants if c.is_copied)

    @property
    def forward_calls(self) -> int:
        inference = set(self.plan.inference)
        return sum(call.node in inference for call in self.calls)

    @property
    def first_call(self) -> int:
        """Where a step begins: behind the call that has run when its sample has come."""
        return int(self.plan.arriving is not None)

    @property
    def prefix_calls(self) -> int:
        """The calls before the latent; 0 if the plan has none."""
        return sum(call.node in self.plan.latents.prefix for call in self.calls)

    def arena(self, memory: str = ARENA) -> str:
        """The array that is the arena's part in a memory."""
        name = f"{self.plan.name}_arena"
        return name if memory == ARENA else f"{name}_{memory}"

    @property
    def units(self) -> list[str]:
        return sorted({call.call.unit for call in self.kernel_calls})

    @property
    def headers(self) -> list[str]:
        """The headers of kernels that the generated file includes, without their ending."""
        return sorted({*self.units, "state_check", *(["window"] if self.regions else [])})

    @property
    def kernel_calls(self) -> list[Call]:
        """All calls of kernels, those of rows too."""
        found = ((call,) if isinstance(call, Call) else call.stages for call in self.calls)
        return [call for calls in found for call in calls]

    @property
    def regions(self) -> list[RegionCall]:
        return [call for call in self.calls if isinstance(call, RegionCall)]

    @property
    def sequences(self) -> list[SequenceCall]:
        return [call for call in self.calls if isinstance(call, SequenceCall)]

    @property
    def groups(self) -> list[GroupCall]:
        return [call for call in self.calls if isinstance(call, GroupCall)]


def lay_out(plan: TrainingPlan) -> Program:
    """Name every constant and every call of ``plan``."""
    program = Program(plan)
    for tensor in plan.graph.tensors:
        if tensor.role is Role.CONST and tensor.data is not None:
            name = f"{plan.name}_{tensor.name}"
            program.frozen[tensor] = Constant(name, "frozen", tensor.data)
    for tensor in plan.learning.state:
        if tensor.initial is not None:
            name = f"{plan.name}_{tensor.name}_initial"
            program.initial[tensor] = Constant(name, "initial", tensor.initial)
    for node in plan.graph.nodes:
        if isinstance(node.op, RowRegion):
            rows = zip(node.op.nodes, node.op.pipeline.calls, strict=True)
            program.calls.append(RegionCall(node, tuple(add_call(program, *row) for row in rows)))
        elif isinstance(node.op, ChannelRegion):
            program.calls.append(add_group(program, node, node.op))
        elif isinstance(node.op, Sequence):
            program.calls.append(add_sequence(program, node, node.op))
        elif (call := node.op.lower(node)) is not None:
            program.calls.append(add_call(program, node, call))
    read = {arg for call in program.kernel_calls for arg in call.call.tensors}
    program.frozen = {t: constant for t, constant in program.frozen.items() if t in read}
    if plan.latents.flash is not None:
        parts = {"latents": plan.latents.flash.latents, "labels": plan.latents.flash.labels}
        for name, data in parts.items():
            program.latents.append(Constant(f"{plan.name}_flash_{name}", "latent", data))
    return program


def add_group(program: Program, node: Node, region: ChannelRegion) -> GroupCall:
    begin, parts, end = list[Call](), list[Call](), list[Call]()
    for inner, calls in zip(region.nodes, region.calls, strict=True):
        parts.append(add_call(program, inner, calls.part))
        if calls.begin is not None:
            begin.append(add_call(program, inner, calls.begin, "_begin"))
        if calls.end is not None:
            end.append(add_call(program, inner, calls.end, "_end"))
    return GroupCall(node, tuple(begin), tuple(parts), tuple(end))


def add_sequence(program: Program, node: Node, sequence: Sequence) -> SequenceCall:
    for state in sequence.states:
        if not state.is_uniform:
            name = f"{program.plan.name}_{state.tensor.name}_initial"
            program.initial[state.tensor] = Constant(name, "initial", state.initial)
    calls = ((inner, inner.op.lower(inner)) for inner in sequence.nodes)
    stages = (add_call(program, inner, call) for inner, call in calls if call is not None)
    return SequenceCall(node, tuple(stages))


def add_call(program: Program, node: Node, call: KernelCall, suffix: str = "") -> Call:
    prefix = f"{program.plan.name}_{node.name}{suffix}"
    tables = {}
    for table in call.args:
        if isinstance(table, Table):
            data = np.ascontiguousarray(table.data)
            key = (data.dtype.str, data.tobytes())
            constant = Constant(f"{prefix}_{table.name}", "table", data)
            tables[table] = program.tables.setdefault(key, constant).name
    params = None
    if call.params:
        key_ = (call.struct, tuple(call.params.items()))
        params = program.params.setdefault(
            key_, Params(f"{prefix}_params", call.struct, call.params)
        )
    return Call(node, call, params, tables)

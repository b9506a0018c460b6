# SPDX-License-Identifier: Apache-2.0
"""What a step executes: the nodes that have kernels, what each is for, and its kernel calls."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from mcutrain.trainer.graph.call import KernelCall
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.planner.channel_region import ChannelRegion
from mcutrain.trainer.planner.row_region import RowRegion
from mcutrain.trainer.planner.sequence import Sequence
from mcutrain.trainer.training_plan import TrainingPlan


class Part(Enum):
    """What a node is in a step."""

    FORWARD = "forward"
    BACKWARD = "backward"
    UPDATE = "update"


@dataclass(frozen=True)
class Executed:
    """A node that runs by itself or in a region, and its calls, each with how often it is made in a
    step: once, for each row, or for each group of channels."""

    node: Node
    part: Part
    calls: tuple[tuple[KernelCall, int], ...]

    @property
    def kernels(self) -> tuple[str, ...]:
        """The names of its kernels, each once."""
        return tuple(dict.fromkeys(call.kernel for call, _ in self.calls))

    @property
    def macs(self) -> int:
        return self.node.op.macs(self.node)


def executed(plan: TrainingPlan) -> list[Executed]:
    """All of them, in their order. What a plan computes twice is backward the second time."""
    inference, histories = set(plan.inference), set(plan.learning.histories)
    found = list[Executed]()
    for outer in plan.graph.nodes:
        for node, calls in calls_of(outer):
            changed = {node.inputs[k] for k in node.op.mutates} - histories
            part = Part.UPDATE if changed else Part.BACKWARD
            part = Part.FORWARD if outer in inference else part
            found.append(Executed(node, part, calls))
    return found


def calls_of(outer: Node) -> Iterator[tuple[Node, tuple[tuple[KernelCall, int], ...]]]:
    """A node of the graph with its calls, or those of the region that it is."""
    op = outer.op
    if isinstance(op, RowRegion):
        stages = zip(op.nodes, op.pipeline.calls, op.pipeline.stages, strict=True)
        for node, call, stage in stages:
            yield node, ((call, stage.rows),)
    elif isinstance(op, ChannelRegion):
        groups = -(-op.channels // op.size)
        for node, calls in zip(op.nodes, op.calls, strict=True):
            made = ((calls.begin, 1), (calls.part, groups), (calls.end, 1))
            yield node, tuple((each, times) for each, times in made if each is not None)
    elif isinstance(op, Sequence):
        for node in op.nodes:
            if (each := node.op.lower(node)) is not None:
                yield node, ((each, op.steps),)
    elif (whole := op.lower(outer)) is not None:
        yield outer, ((whole, 1),)

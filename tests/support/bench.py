# SPDX-License-Identifier: Apache-2.0
"""Rows of op_cases.py as one plan: one node each, so that one library holds them all."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeAlias

import numpy as np

from mcutrain.trainer.chip import GENERIC
from mcutrain.trainer.graph.graph import Graph, storage
from mcutrain.trainer.graph.op import Layout, Node, in_layout
from mcutrain.trainer.graph.tensor import Array, DType, QuantParams, Role, Tensor, TensorType
from mcutrain.trainer.model import Model
from mcutrain.trainer.ops.companion import Companions
from mcutrain.trainer.ops.sgd import CountStep, LearningRate, sgd_state
from mcutrain.trainer.ops.softmax_cross_entropy import SoftmaxCrossEntropy
from mcutrain.trainer.options import DEFAULT_OPTIONS, Scheme
from mcutrain.trainer.planner.memory import MemoryPlan, Slot, place_state
from mcutrain.trainer.training_plan import Latents, Learning, StepTask, TrainingPlan
from tests.support.native import NativeModel
from tests.support.op_cases import Case

Frozen: TypeAlias = Mapping[int, Array]  # the values of inputs that are constants


def node_of(
    graph: Graph, case: Case, index: int = 7, frozen: Frozen = MappingProxyType({})
) -> Node:
    """Append the row to ``graph``; what its operator changes in place is STATE."""
    name = re.sub(r"\W", "_", case.name)
    roles = [Role.STATE if k in case.op.mutates else Role.INPUT for k in range(len(case.feeds))]
    inputs = [
        Tensor(f"{name}_in{k}", feed.type, role)
        for k, (feed, role) in enumerate(zip(case.feeds, roles, strict=True))
    ]
    for k, data in frozen.items():
        inputs[k] = Tensor(f"{name}_in{k}", case.feeds[k].type, Role.CONST, data)
    graph.add(case.op, *inputs, name=name, index=index)
    return graph.nodes[-1]


def draw_inputs(case: Case, seed: int, round_: int) -> list[Array]:
    rng = np.random.RandomState(seed)
    values: list[Array] = []
    for feed in case.feeds:
        values.append(feed.draw(rng, round_, values))
    return values


def bench_plan(
    cases: list[Case],
    frozen: Mapping[str, Frozen] = MappingProxyType({}),
    layout: Layout = Layout.PACKED,
) -> tuple[TrainingPlan, dict[str, Node]]:
    """A plan whose step runs every row, and the rows' nodes by name. Rows with frozen inputs take
    weights in this layout, if their operators have them.

    Every tensor lives from before the first call to after the last, so that a kernel
    which writes outside its outputs is seen in its neighbours.
    """
    graph = Graph()
    nodes = {
        case.name: node_of(graph, case, index, frozen.get(case.name, {}))
        for index, case in enumerate(cases)
    }
    for name in frozen:
        nodes[name].op = in_layout(nodes[name], layout) or nodes[name].op
    return plan_of("bench", graph), nodes


def assert_rows_are_equal(
    device: NativeModel, rows: list[Case], nodes: dict[str, Node], rounds: int
) -> None:
    """The kernels of a ``bench_plan`` against the references of their operators."""
    for round_ in range(rounds):
        for region in device.regions.values():
            region[:] = 0x5A
        inputs = {case.name: draw_inputs(case, round_, round_) for case in rows}
        for name, values in inputs.items():
            for k, tensor in enumerate(nodes[name].inputs):
                if tensor.data is None:
                    device[tensor][...] = values[k]
                else:
                    values[k] = tensor.data
        device.announce(device.plan.task.input)
        assert device.call("step", 0) & 0xFF == 0
        for case in rows:
            node = nodes[case.name]
            expected = node.op.reference(node, *inputs[case.name])
            for tensor, value in zip(node.outputs, expected, strict=True):
                np.testing.assert_array_equal(device[tensor], value, case.name)


def forward_plan(model: Model) -> TrainingPlan:
    """A plan whose step runs all of a model's nodes as the file has them, each output in a place
    of its own."""
    return plan_of(model.name, Graph(list(model.graph.nodes)))


def plan_of(name: str, graph: Graph) -> TrainingPlan:
    """The plan that runs the nodes of ``graph`` and then, as every step has one, a loss."""
    sgd = sgd_state(LearningRate(128, 13))
    source = Tensor("bench_in", TensorType((1, 3), DType.S8, QuantParams((0.1,))), Role.INPUT)
    label = Tensor("true_label", TensorType((1,), DType.U32), Role.INPUT)
    graph.add(SoftmaxCrossEntropy(), source, label, name="whole", index=0)
    loss = graph.nodes[-1]
    graph.add(CountStep(), sgd, name="count_step", index=0)
    state = [t for t in graph.tensors if t.role is Role.STATE]
    memory = MemoryPlan(separate_slots(graph), *place_state(state))
    return TrainingPlan(
        name,
        DEFAULT_OPTIONS,
        GENERIC,
        Scheme("bench"),
        bytes(8),
        graph,
        [],
        StepTask(source, label, source, None, loss, None),
        Learning(state, Companions(()), [], sgd),
        memory,
        Latents(None, ()),
    )


def separate_slots(graph: Graph) -> dict[Tensor | Node, Slot]:
    """A place of its own for each tensor in the arena and each node's scratch memory."""
    owner = storage(graph)
    slots: dict[Tensor | Node, Slot] = {}
    wanted: list[tuple[Tensor | Node, int]] = [
        (t, t.type.nbytes)
        for t in graph.tensors
        if t.role in (Role.INPUT, Role.ACTIVATION) and owner[t] is t
    ]
    wanted += [(node, node.op.scratch_bytes(node)) for node in graph.nodes]
    end = 0
    for item, nbytes in wanted:
        slots[item] = Slot(end, -(-nbytes // 4) * 4, -1, len(graph.nodes))
        end += slots[item].size
    moved = {t: source for t, source in owner.items() if t is not source}
    return slots | {t: slots[source] for t, source in moved.items()}


def run_nodes(nodes: list[Node], values: dict[Tensor, Array]) -> dict[Tensor, Array]:
    """All values after the references of ``nodes`` ran over ``values``."""
    found = dict(values)
    for node in nodes:
        outputs = node.op.reference(node, *(found[t] for t in node.inputs))
        found |= dict(zip(node.outputs, outputs, strict=True))
    return found

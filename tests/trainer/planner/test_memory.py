# SPDX-License-Identifier: Apache-2.0
"""Static placement: a step that runs inside its arena computes what it would with room to spare."""

from __future__ import annotations

from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcutrain.codegen.manifest import manifest
from mcutrain.codegen.program import lay_out
from mcutrain.trainer.graph.call import KernelCall
from mcutrain.trainer.graph.graph import Graph, storage
from mcutrain.trainer.graph.op import Node, Op
from mcutrain.trainer.graph.tensor import ALIGN, Array, DType, QuantParams, Role, Tensor, TensorType
from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.ops.add import Add
from mcutrain.trainer.ops.reshape import Reshape
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.planner.lifetimes import aligned, shared_pairs
from mcutrain.trainer.planner.memory import MemoryPlan, bytes_covered, plan_memory
from mcutrain.trainer.tflite.reader import parse
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.bench import run_nodes
from tests.support.small_models import residual_model

QUANT = QuantParams((0.1,), 0)
UPDATES = ["head", "last:2", "bias", "full"]


class AddWithScratch(Add):
    """An Add that asks for working memory, as gradients do."""

    def scratch_bytes(self, node: Node) -> int:
        return 3 * node.inputs[0].type.size

    def lower(self, node: Node) -> KernelCall:
        raise NotImplementedError


@st.composite
def graphs(draw: st.DrawFn) -> tuple[Graph, Tensor, set[Tensor]]:
    """(a graph of adds and reshapes of odd sizes, its input, tensors to keep)."""
    graph = Graph()
    source = Tensor("x", TensorType((1, draw(st.integers(1, 40))), DType.S8, QUANT), Role.INPUT)
    tensors = [source]
    for k in range(draw(st.integers(1, 12))):
        a = draw(st.sampled_from(tensors))
        op: Op = draw(
            st.sampled_from([Add(QUANT), AddWithScratch(QUANT), Reshape((a.type.size, 1))])
        )
        same = [t for t in tensors if t.type.shape == a.type.shape]
        inputs = (a,) if isinstance(op, Reshape) else (a, draw(st.sampled_from(same)))
        tensors += graph.add(op, *inputs, name=f"t{k}", index=k)
    return graph, source, draw(st.sets(st.sampled_from(tensors)))


class Arena:
    """Bytes in which tensors are read and written where a MemoryPlan puts them."""

    def __init__(self, memory: MemoryPlan) -> None:
        self.memory = memory
        self.data = np.random.RandomState(0).randint(0, 256, memory.arena_bytes).astype(np.uint8)

    def view(self, item: Tensor | Node, nbytes: int) -> Array:
        slot = self.memory.slots[item]
        assert nbytes <= slot.size
        return self.data[slot.offset : slot.offset + nbytes]

    def read(self, tensor: Tensor) -> Array:
        raw = self.view(tensor, tensor.type.nbytes).copy()
        return raw.view(tensor.type.dtype.np).reshape(tensor.type.shape)

    def write(self, tensor: Tensor, value: Array) -> None:
        self.view(tensor, tensor.type.nbytes)[:] = (
            np.ascontiguousarray(value).view(np.uint8).ravel()
        )

    def run(self, node: Node, values: dict[Tensor, Array]) -> None:
        """One call: scratch memory, and outputs that do not lie over an input, are spoilt before
        the inputs are read; the others are spoilt after."""
        over = {out for out, _ in shared_pairs(node, {t: t for t in node.inputs})}
        if nbytes := node.op.scratch_bytes(node):
            self.view(node, nbytes)[:] = 0xA5
        for tensor in node.outputs:
            if tensor in self.memory.slots and not node.op.alias and tensor not in over:
                self.view(tensor, tensor.type.nbytes)[:] = 0x5A
        inputs = [self.read(t) if t in self.memory.slots else values[t] for t in node.inputs]
        for tensor in over & set(self.memory.slots):
            self.view(tensor, tensor.type.nbytes)[:] = 0x5A
        outputs = node.op.reference(node, *inputs)
        for tensor, value in zip(node.outputs, outputs, strict=True):
            if tensor in self.memory.slots:
                self.write(tensor, value)
            else:
                values[tensor] = value


@pytest.mark.slow
@settings(max_examples=150)
@given(graphs())
def test_values_survive_as_long_as_they_are_needed(
    drawn: tuple[Graph, Tensor, set[Tensor]],
) -> None:
    graph, source, keep = drawn
    keep &= set(graph.tensors)
    memory = plan_memory(graph, [], keep)
    sample = np.arange(source.type.size, dtype=np.int8).reshape(source.type.shape)
    expected = run_nodes(graph.nodes, {source: sample})
    arena = Arena(memory)
    if source in memory.slots:
        arena.write(source, sample)
    for node in graph.nodes:
        arena.run(node, {})
        np.testing.assert_array_equal(arena.read(node.output), expected[node.output])

    for tensor in keep:
        np.testing.assert_array_equal(arena.read(tensor), expected[tensor])


@settings(max_examples=100)
@given(graphs())
def test_no_two_live_slots_overlap(drawn: tuple[Graph, Tensor, set[Tensor]]) -> None:
    graph, _, keep = drawn
    memory = plan_memory(graph, [], keep)
    check_slots(graph, memory, keep)


def check_slots(graph: Graph, memory: MemoryPlan, keep: set[Tensor]) -> None:
    """No two slots that hold something at the same call overlap, and aliases are one."""
    source = {n.output: n.inputs[0] for n in graph.nodes if n.op.alias}

    def owner(item: Tensor | Node) -> Tensor | Node:
        while isinstance(item, Tensor) and item in source:
            item = source[item]
        return item

    calls: dict[Tensor | Node, list[int]] = {}
    for k, node in enumerate(graph.nodes):
        for item in (node, *node.inputs, *node.outputs, *node.op.rings(node)):
            calls.setdefault(owner(item), []).append(k)
    for item, used in calls.items():
        if isinstance(item, Tensor):
            used += [-1] * (item.role is Role.INPUT)
            used += [len(graph.nodes)] * any(owner(t) is item for t in keep)
    pairs = {
        (owner(out), owner(source)): distance
        for node in graph.nodes
        for (out, source), distance in shared_pairs(node, storage(graph)).items()
    }
    for (a, slot_a), (b, slot_b) in combinations(memory.slots.items(), 2):
        in_a, in_b = calls[owner(a)], calls[owner(b)]
        if owner(a) is owner(b):
            assert (slot_a.offset, slot_a.size) == (slot_b.offset, slot_b.size), f"{a}, {b}"
        elif max(in_a) >= min(in_b) and max(in_b) >= min(in_a):
            apart = slot_a.end <= slot_b.offset or slot_b.end <= slot_a.offset
            assert apart or any(
                max(calls[source]) == min(calls[out])
                and memory.slots[out].offset + distance <= memory.slots[source].offset
                for (out, source), distance in pairs.items()
                if {out, source} == {owner(a), owner(b)}
            ), f"{a}, {b}"
    assert all(
        slot.offset % ALIGN == 0 and slot.size % ALIGN == 0 for slot in memory.slots.values()
    )


@pytest.mark.parametrize("update", UPDATES)
def test_a_step_inside_its_arena_has_the_references_bits(update: str) -> None:
    plan = make_plan(parse(residual_model(), "small"), PlanOptions(update))
    check_slots(plan.graph, plan.memory, {plan.record})
    reference, rng = Interpreter(plan, seed=1), np.random.RandomState(0)
    values = {t: t.data for t in plan.graph.tensors if t.data is not None} | reference.state
    for label in range(3):
        sample = rng.randint(-128, 128, plan.task.input.type.shape).astype(np.int8)
        arena = Arena(plan.memory)
        arena.write(plan.task.input, sample)
        arena.write(plan.task.target, np.array([label], np.uint32))
        for node in plan.graph.nodes:
            arena.run(node, values)
        reference.step(sample, label)

        assert arena.read(plan.record).any()
        for tensor in plan.learning.state:
            np.testing.assert_array_equal(values[tensor], reference.state[tensor], tensor.name)


@pytest.mark.parametrize("update", UPDATES)
def test_the_manifest_says_what_was_planned(update: str) -> None:
    plan = make_plan(parse(residual_model(), "small"), PlanOptions(update))
    document = manifest(lay_out(plan), bytes(8))
    ends = {"arena": 0, "state": 0}
    for tensor in document["tensors"]:
        itemsize = DType(tensor["dtype"]).nbytes
        nbytes = int(np.prod(tensor["shape"])) * itemsize
        end = tensor["offset"] + aligned(nbytes, ALIGN)
        ends[tensor["region"]] = max(ends[tensor["region"]], end)

    assert document["arena_bytes"] == plan.memory.arena_bytes >= ends["arena"]
    assert document["state_bytes"] == plan.memory.state_bytes == ends["state"]
    assert {t["name"] for t in document["tensors"]} == {
        t.name for t in plan.graph.tensors if t.role is not Role.CONST
    }


def test_state_tensors_do_not_overlap() -> None:
    plan = make_plan(parse(residual_model(), "small"), PlanOptions("full"))
    spans = sorted((offset, offset + t.type.nbytes) for t, offset in plan.memory.state.items())

    assert all(end <= start for (_, end), (start, _) in pairwise(spans))
    assert all(start % ALIGN == 0 for start, _ in spans)


def test_learning_less_never_needs_more_memory() -> None:
    model = parse(residual_model(), "small")
    plans: list[TrainingPlan] = [
        make_plan(model, PlanOptions(update)) for update in ("head", "last:2", "full")
    ]

    assert plans[0].memory.arena_bytes <= plans[1].memory.arena_bytes <= plans[2].memory.arena_bytes
    assert plans[0].memory.state_bytes < plans[1].memory.state_bytes < plans[2].memory.state_bytes


def test_a_real_model_fits_what_it_must(models: Path) -> None:
    """No activation can be smaller than the greatest that a call reads beside what it writes."""
    plan = make_plan(
        parse((models / "mlperf-tiny/kws_ref_model.tflite").read_bytes(), "kws"),
        PlanOptions("full"),
    )
    check_slots(plan.graph, plan.memory, {plan.record})
    steps = range(len(plan.graph.nodes))
    live = [
        bytes_covered(s for s in set(plan.memory.slots.values()) if s.first <= k <= s.last)
        for k in steps
    ]

    assert max(live) <= plan.memory.arena_bytes <= 1.02 * max(live)
    assert plan.memory.lower_bound <= plan.memory.arena_bytes <= 1.02 * plan.memory.lower_bound

# SPDX-License-Identifier: Apache-2.0
"""Differentiation: which errors exist, where they add up, and when updates run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mcutrain.trainer.graph.graph import Graph, prune
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.graph.tensor import DType, QuantParams, Role, Tensor, TensorType, constant
from mcutrain.trainer.ops.average_pool2d import AveragePool2DGrad, AveragePool2DPassError
from mcutrain.trainer.ops.clamp_mask import ClampMask
from mcutrain.trainer.ops.error import MaskError, SumErrors
from mcutrain.trainer.ops.sgd import FRACTION, INPUT_SHIFT, BiasUpdate, CountStep
from mcutrain.trainer.ops.softmax import Softmax
from mcutrain.trainer.ops.weighted import dead_channels
from mcutrain.trainer.ops.weighted_gradients import WeightedGradInput, WeightedUpdate
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.planner.memory import storage
from mcutrain.trainer.tflite.reader import parse
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.small_models import residual_model

PARTIAL = "bias_last = 2\n[weights]\n0 = 0.7\ndw_w = 0.5\n2 = 0.25\n"
SCHEMES = ["head", "last:1", "last:2", "last:3", "bias", "full", "partial"]
ERRORS = (WeightedGradInput, MaskError, AveragePool2DGrad, AveragePool2DPassError)
UPDATES = (WeightedUpdate, BiasUpdate)


def plan_of(scheme: str, folder: Path) -> TrainingPlan:
    if scheme == "partial":
        (folder / "partial.toml").write_text(PARTIAL)
        scheme = str(folder / "partial.toml")
    return make_plan(parse(residual_model(), "small"), PlanOptions(scheme))


@pytest.fixture(autouse=True)
def as_on_the_tape(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plans whose graph is as autodiff made it: in no other order, without regions."""
    for step in ("plan.ordered", "planner.parts.with_regions", "planner.parts.with_groups"):
        monkeypatch.setattr(f"mcutrain.trainer.{step}", lambda graph, *_: graph)


@pytest.fixture(params=SCHEMES)
def plan(request: pytest.FixtureRequest, tmp_path: Path) -> TrainingPlan:
    return plan_of(request.param, tmp_path)


def masked_by(plan: TrainingPlan, error_node: Node) -> Tensor:
    """The forward tensor whose error the node computes: the one that its mask is made of."""
    is_raw = bool(error_node.op.mutates)
    mask = error_node.inputs[-2] if is_raw else error_node.inputs[-1]
    made = plan.graph.producer(mask)
    assert made is not None and isinstance(made.op, ClampMask)
    return made.inputs[0]


def learned_before(plan: TrainingPlan, tensor: Tensor) -> bool:
    """Whether a learned tensor lies before ``tensor``: by walking back, not by the tape's sets."""
    producer = next((n for n in plan.forward if n.output is tensor), None)
    if producer is None:
        return False
    return any(
        t.role is Role.PARAM or learned_before(plan, t)
        for t in producer.inputs
        if t.role is not Role.CONST
    )


def test_only_what_depends_on_something_learned_gets_an_error(plan: TrainingPlan) -> None:
    for node in plan.graph.nodes:
        if isinstance(node.op, ERRORS):
            assert learned_before(plan, masked_by(plan, node)), node
            assert masked_by(plan, node).role is not Role.INPUT


def test_everything_learned_is_updated_once(plan: TrainingPlan) -> None:
    updates = [n for n in plan.graph.nodes if isinstance(n.op, UPDATES)]

    assert sorted(n.inputs[0].name for n in updates) == sorted(t.name for t in plan.learned)


def test_head_computes_no_error_at_all(tmp_path: Path) -> None:
    plan = plan_of("head", tmp_path)
    kinds = [type(n.op).__name__ for n in plan.graph.nodes[len(plan.inference) :]]

    assert kinds == ["SoftmaxCrossEntropy", "Conv2DUpdate", "BiasUpdate", "CountStep"]
    assert plan.learning.histories == []


def test_a_mask_is_made_once_and_where_it_lets_its_tensor_go(plan: TrainingPlan) -> None:
    """Behind its tensor's producer; before its first reader if the tensor lives on anyway."""
    nodes, owner = plan.graph.nodes, storage(plan.graph)
    masks = [n for n in nodes if isinstance(n.op, ClampMask)]
    assert len({n.inputs[0] for n in masks}) == len(masks)
    others = [(k, n) for k, n in enumerate(nodes) if n not in masks]
    for node in masks:
        (x,), at = node.inputs, nodes.index(node)
        first = nodes.index(next(plan.graph.readers(node.output)))
        last_read = max(k for k, n in others if owner[x] in {owner[t] for t in n.inputs})

        if last_read > first:
            assert first - at == 1, node
        else:
            assert nodes[at - 1] is plan.graph.producer(x), node
        assert node.op == ClampMask(x.limits)


def test_masks_alone_stand_among_the_nodes_of_an_inference(plan: TrainingPlan) -> None:
    added = [n for n in plan.inference if not isinstance(n.op, ClampMask)]

    assert added == [*plan.forward, plan.graph.producer(plan.task.predicted)]
    assert plan.graph.nodes[len(plan.inference)] is plan.task.loss


def test_no_error_reads_a_tensor_for_its_mask(plan: TrainingPlan) -> None:
    """What the backward pass reads of the forward pass: weights, what updates save, masks."""
    activations = {n.output for n in plan.forward}
    for node in plan.graph.nodes[len(plan.inference) + 1 :]:
        if not isinstance(node.op, (*UPDATES, ClampMask)):
            assert activations.isdisjoint(node.inputs), node


def test_weights_are_read_before_they_are_written(plan: TrainingPlan) -> None:
    nodes = plan.graph.nodes
    for update in (n for n in nodes if isinstance(n.op, UPDATES)):
        at = nodes.index(update)

        assert all(update.inputs[0] not in n.inputs for n in nodes[at + 1 :]), update


def test_errors_are_summed_where_a_tensor_has_several_readers(tmp_path: Path) -> None:
    plan = plan_of("full", tmp_path)
    sums = [n for n in plan.graph.nodes if isinstance(n.op, SumErrors)]
    stem = next(n.output for n in plan.forward if n.output.label == "stem")

    assert [masked_by(plan, n) for n in sums] == [stem]
    (node,) = sums
    assert isinstance(node.op, SumErrors)
    assert node.op.readers == 2
    assert len({t.name for t in node.inputs[:4]}) == 4
    assert node.index == 0  # the producer's
    readers = {type(plan.graph.producer(t).op) for t in node.inputs[:4:2]}  # type: ignore[union-attr]
    assert len(readers) == 2


def test_a_tensor_with_one_reader_that_needs_it_has_no_sum(tmp_path: Path) -> None:
    """With the branch frozen, nothing is learned before the stem."""
    plan = plan_of("last:2", tmp_path)

    assert not [n for n in plan.graph.nodes if isinstance(n.op, SumErrors)]


def test_histories_are_listed_by_operator_backward_and_edges_before_their_sum(
    tmp_path: Path,
) -> None:
    plan = plan_of("full", tmp_path)
    names = [t.name for t in plan.learning.histories]

    assert names[-1] == "conv_2d_0_d_history"
    assert names[-2].startswith("depthwise_conv_2d_1_d_")
    assert len(set(names)) == len(names)
    order = [
        n.index for n in plan.graph.nodes if any(t in plan.learning.histories for t in n.inputs)
    ]
    assert order == sorted(order, reverse=True)


def test_every_tensor_has_a_name_of_its_own(plan: TrainingPlan) -> None:
    names = [t.name for t in plan.graph.tensors]

    assert len(names) == len(set(names))
    assert all(name.isidentifier() for name in names)


def test_a_step_ends_with_its_count_and_has_no_softmax(plan: TrainingPlan) -> None:
    assert isinstance(plan.graph.nodes[-1].op, CountStep)
    assert not any(isinstance(n.op, Softmax) for n in plan.graph.nodes)


def test_no_gradient_of_a_weight_is_ever_a_tensor(plan: TrainingPlan) -> None:
    """Weight gradients are applied at once: an update writes nothing but what it changes."""
    for node in plan.graph.nodes:
        if isinstance(node.op, UPDATES):
            assert set(node.outputs) <= set(node.inputs)
            assert node.op.scratch_bytes(node) <= 4 * node.inputs[0].type.shape[-1]


def test_prune_keeps_what_is_needed_and_nothing_else() -> None:
    model = parse(residual_model(), "small")
    graph = model.graph
    pruned = prune(graph, {model.logits})
    flat = next(n.output for n in graph.nodes if n.output.label == "pool")

    assert pruned.nodes == graph.nodes[:-1]
    assert [n.index for n in prune(graph, {flat}).nodes] == [0, 1, 2, 3, 4]
    assert prune(Graph(graph.nodes), set()).nodes == []


def test_a_channel_is_dead_only_beyond_its_bounds() -> None:
    """Below 2**-12 of the greatest scale, or beyond 2**30 in the bias; at them it learns."""
    scales = (0.5, 2.0**-13, 2.0**-13 - 2.0**-30, 0.25, 0.25, 0.25, 0.25)
    type_ = TensorType((7, 1, 1, 2), DType.S8, QuantParams(scales, 0, 0))
    b = np.array([0, 0, 0, 2**30, 2**30 + 1, -(2**30), -(2**31)], np.int32)

    assert dead_channels(type_, 0, (constant("b", b),)) == (2, 4, 6)
    assert dead_channels(type_, 0, ()) == (2,)


def test_the_state_lists_weights_biases_histories_and_the_rate(plan: TrainingPlan) -> None:
    """By operator in the forward order, each weight before its fraction; then the input shifts;
    histories backward."""
    params = [t for node in plan.forward for t in node.inputs if t.role is Role.PARAM]
    fractions, shifts = map(plan.learning.companions.of, (FRACTION, INPUT_SHIFT))
    weights = [t for t in params if t in fractions]
    biases = [t for t in params if t not in fractions]
    pairs = [t for w in weights for t in (w, fractions[w])]
    expected = [*pairs, *biases, *(shifts[w] for w in weights), *plan.learning.histories]

    assert plan.learning.state == [*expected, plan.learning.sgd]
    assert plan.digested == [*weights, *biases, *plan.learning.histories]
    assert list(plan.memory.state) == plan.learning.state
    offsets = [plan.memory.state[t] for t in plan.learning.state]
    assert offsets == sorted(offsets)

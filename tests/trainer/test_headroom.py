# SPDX-License-Identifier: Apache-2.0
"""A head whose weights can grow beyond those of the file."""

from __future__ import annotations

import numpy as np
import pytest

from mcutrain.trainer.errors import SchemeError
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.headroom import OF_VALUES, with_room
from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.model import Model
from mcutrain.trainer.ops.weighted import Weighted
from mcutrain.trainer.options import SQUARED_ERROR, PlanOptions, Scheme
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import parse
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.exports import assert_micro_equals, exported, sample_of
from tests.support.small_models import residual_model

HEAD = PlanOptions("head", loss=SQUARED_ERROR)


@pytest.fixture(scope="module")
def file() -> bytes:
    return residual_model()


@pytest.fixture
def model(file: bytes) -> Model:
    return parse(file, "small")


def head_of(model: Model) -> Node:
    return model.weighted[-1]


def reals(node: Node) -> Array:
    """The weights in reals, filter by filter."""
    w = node.inputs[1]
    assert w.data is not None and w.type.quant is not None
    scales = np.array(w.type.quant.scales).reshape(-1, *[1] * (w.data.ndim - 1))
    return np.asarray(w.data * scales)


def greatest(node: Node) -> int:
    assert node.inputs[1].data is not None
    return int(np.abs(node.inputs[1].data.astype(int)).max())


def planned_head(plan: TrainingPlan) -> Node:
    return [node for node in plan.forward if isinstance(node.op, Weighted)][-1]


@pytest.mark.parametrize("times", [2, 4, 8])
def test_the_weights_are_the_same_within_half_a_quantum(model: Model, times: int) -> None:
    roomy = head_of(with_room(model, times))
    old, new = reals(head_of(model)), reals(roomy)
    assert roomy.inputs[1].type.quant is not None
    quantum = np.array(roomy.inputs[1].type.quant.scales).reshape(-1, *[1] * (old.ndim - 1))
    assert np.all(np.abs(new - old) <= quantum / 2)
    assert greatest(roomy) <= 128 // times < greatest(head_of(model))


def test_room_that_is_there_is_not_made_again(model: Model) -> None:
    once = with_room(model, 4)
    twice = with_room(once, 4)
    assert np.array_equal(reals(head_of(once)), reals(head_of(twice)))
    assert head_of(once).inputs[1].type == head_of(twice).inputs[1].type


@pytest.mark.parametrize(
    ("options", "times"),
    [
        (HEAD, OF_VALUES),
        (PlanOptions("last:2", loss=SQUARED_ERROR), 1),
        (PlanOptions("full", loss=SQUARED_ERROR), 1),
        (PlanOptions("head"), 1),
        (PlanOptions("head", headroom=2), 2),
        (PlanOptions("last:2", loss=SQUARED_ERROR, headroom=8), 8),
        (PlanOptions("head", loss=SQUARED_ERROR, headroom=1), 1),
    ],
)
def test_a_head_that_learns_values_alone_has_room(
    model: Model, options: PlanOptions, times: int
) -> None:
    head = planned_head(make_plan(model, options))
    assert head.inputs[1].type.quant == head_of(with_room(model, times)).inputs[1].type.quant


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (PlanOptions("head", headroom=3), "--headroom 3: take one of 1, 2, 4, 8"),
        (PlanOptions(Scheme("without", {0: 1.0}), headroom=2), "does not learn as a whole"),
        (PlanOptions(Scheme("half", {3: 0.5}), headroom=2), "does not learn as a whole"),
    ],
)
def test_room_that_cannot_be_is_refused(model: Model, options: PlanOptions, said: str) -> None:
    with pytest.raises(SchemeError, match=said):
        make_plan(model, options)


def test_tflite_micro_computes_what_learned_with_room(file: bytes, model: Model) -> None:
    plan = make_plan(model, HEAD)
    trained = Interpreter(plan, seed=3)
    before = greatest(planned_head(plan))
    for k in range(20):
        trained.step(sample_of(plan, k), np.full(plan.task.logits.type.shape, 100, np.int8))
    after = max(int(np.abs(trained.state[t].astype(int)).max()) for t in plan.learned[:1])
    assert after > before
    assert_micro_equals(exported(file, trained), trained)

# SPDX-License-Identifier: Apache-2.0
"""What a model's form costs when it is trained: bounded logits, what is left out, tied weights."""

from __future__ import annotations

import numpy as np
import pytest

from mcutrain.trainer.export import export_model
from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.making.options import FullyConnectedOptions, ReshapeOptions
from mcutrain.trainer.making.writer import WriterOp, write_model
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import parse
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.micro import Micro
from tests.support.small_models import activation, bias, weights

SCORES = {"LOGISTIC": (1 / 256, -128), "TANH": (1 / 128, 0)}


def network(kind: str = "", outputs: int = 4, scale: float = 0.1, reshaped: bool = False) -> bytes:
    """Two layers with the same weights tensor, and a head, with ``kind`` behind it if given."""
    rng = np.random.default_rng(4)
    tensors = [
        activation("x", (1, 7), 0.05, -3), weights("w", (7, 7), 0, rng),
        activation("a", (1, 7), 0.06, 4), activation("c", (1, 7), 0.07, 5),
        weights("v", (outputs, 7), 0, rng), bias("b", outputs, rng),
        activation("logits", (1, outputs), scale, 0),
    ]  # fmt: skip
    ops = [
        WriterOp("FULLY_CONNECTED", (x, w, *more), (y,), FullyConnectedOptions())
        for x, w, y, *more in (("x", "w", "a"), ("a", "w", "c"), ("c", "v", "logits", "b"))
    ]
    last = "logits"
    if kind:
        tensors.append(activation("p", (1, outputs), *SCORES[kind]))
        ops.append(WriterOp(kind, ("logits",), ("p",)))
        last = "p"
    if reshaped:
        tensors.append(activation("q", (outputs,), *SCORES[kind]))
        ops.append(WriterOp("RESHAPE", ("p",), ("q",), ReshapeOptions((outputs,))))
        last = "q"
    return write_model(tensors, ops, ["x"], [last])


def plan_of(data: bytes, update: str = "head", **options: object) -> TrainingPlan:
    return make_plan(parse(data, "m"), PlanOptions(update, **options))  # type: ignore[arg-type]


def kinds(data: bytes, update: str = "head", **options: object) -> list[str]:
    return [note.kind for note in plan_of(data, update, **options).notes]


def test_nothing_is_said_of_a_head_of_logits() -> None:
    assert kinds(network()) == []


@pytest.mark.parametrize("classes", [None, 3])
@pytest.mark.parametrize("reshaped", [False, True])
@pytest.mark.parametrize("kind", SCORES)
def test_a_head_that_ends_in_scores_is_trained_from_its_logits(
    kind: str, reshaped: bool, classes: int | None
) -> None:
    data = network(kind, reshaped=reshaped)
    trained = Interpreter(plan_of(data, classes=classes), 1)
    samples = np.random.default_rng(0).integers(-128, 128, (12, 1, 7)).astype(np.int8)
    for k, sample in enumerate(samples):
        trained.step(sample, k % 3)
    stored = {"update": "head", "loss": "cross-entropy"}
    new = export_model(data, trained.plan, trained.state, stored)

    assert trained.plan.task.logits.label == "logits"
    assert kinds(data) == ["activation left out"]
    for sample in samples:
        logits = Micro(new).run(sample)[2]
        np.testing.assert_array_equal(logits.ravel(), trained.infer(sample))


def test_one_logistic_output_needs_no_word() -> None:
    assert kinds(network("LOGISTIC", outputs=1)) == []


def test_values_are_trained_as_the_file_gives_them() -> None:
    plan = plan_of(network("LOGISTIC"), loss="mse")

    assert plan.task.logits.label == "p" and plan.notes == ()


def test_logits_of_a_small_range_are_told_with_the_loss_that_they_leave() -> None:
    (note,) = plan_of(network(scale=1 / 256)).notes

    assert note.kind == "bounded logits" and note.figure == pytest.approx(
        np.log(1 + 3 / np.e), 0.01
    )
    assert "'logits' (FULLY_CONNECTED) reach from -0.5 to 0.496 only" in note.text
    (binary,) = plan_of(network(outputs=1, scale=1 / 256)).notes
    assert binary.figure == pytest.approx(np.log1p(np.exp(-0.496)), 0.01)
    assert kinds(network(scale=1 / 256), classes=4) == []


def test_weights_that_layers_share_are_told_if_one_learns() -> None:
    (note,) = plan_of(network(), "full").notes

    assert note.kind == "untied weights" and note.figure == 2
    assert note.text.startswith("fully_connected_0, fully_connected_1 share their weights")
    assert kinds(network(), "last:2") == ["untied weights"]
    assert kinds(network(), "bias") == []

# SPDX-License-Identifier: Apache-2.0
"""Models of uint8: what they compute, what of them learns, what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mcutrain.trainer.calibration import calibrate
from mcutrain.trainer.errors import ModelError, SchemeError, UnsupportedOpError
from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.making.writer import WriterOp
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import load, parse
from tests.support.command import Run
from tests.support.native import NativeModel
from tests.support.steps import assert_steps_are_equal, changed
from tests.support.unsigned_model import SHAPE, UnsignedModel

MODELS = {
    "beyond": UnsignedModel(),
    "plain": UnsignedModel(zeros=(128, 128, 128)),
    "halves": UnsignedModel(zeros=(200, 128, 30), inner=(0.05, 3)),
}
CORAL = "zoo/coral_mobilenet_v1_025_128_uint8.tflite"


@pytest.mark.rows
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_outputs_are_those_of_uint8(model: UnsignedModel) -> None:
    read = parse(model.file(), "old")
    assert read.is_unsigned and read.input.type.zero_point == model.x[1] - 128
    rng = np.random.default_rng(7)
    found = set()
    for _ in range(20):
        pixels = rng.integers(0, 256, SHAPE).astype(np.uint8)
        values = {read.input: (pixels ^ 0x80).view(np.int8)}
        for node in read.graph.nodes:
            given = [values.get(t, t.data) for t in node.inputs]
            (values[node.output],) = node.op.reference(node, *given)  # type: ignore[arg-type]
        logits = values[read.logits].reshape(-1)
        np.testing.assert_array_equal((logits.view(np.uint8) ^ 0x80), model.logits_of(pixels))
        found.update(logits.tolist())
    assert len(found) > 20


@pytest.mark.parametrize("name", ["beyond", "plain"])
def test_a_new_head_on_uint8_layers_trains_bit_exactly(name: str, tmp_path: Path) -> None:
    plan = make_plan(parse(MODELS[name].file(), "old"), PlanOptions("head", 4))
    reference = assert_steps_are_equal(plan, tmp_path, 8)

    assert changed(plan, reference) == {t.name for t in plan.learned}


def test_weights_that_fit_int8_learn(tmp_path: Path) -> None:
    plan = make_plan(parse(MODELS["plain"].file(), "old"), PlanOptions("full"))
    assert_steps_are_equal(plan, tmp_path, 8)

    assert len(plan.learned) == 6


def test_a_bias_behind_weights_in_two_parts_learns(tmp_path: Path) -> None:
    """The error goes back through a convolution of which some weights are beyond int8."""
    model = parse(replace(MODELS["beyond"], zeros=(128, 128, 94)).file(), "old")
    (tmp_path / "s.toml").write_text("biases = [0, 2]\nhead = false\n[weights]\n1 = 1.0\n")
    plan = make_plan(model, PlanOptions(str(tmp_path / "s.toml")))
    reference = assert_steps_are_equal(plan, tmp_path, 8)

    assert changed(plan, reference) == {t.name for t in plan.learned}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (PlanOptions("head"), "give --classes N for a new head"),
        (PlanOptions("full", 3), "layer 0 (conv_2d_0) learn, but some of its uint8 weights"),
        (PlanOptions("head", spare_classes=1), "cannot get outputs beside the old ones"),
    ],
)
def test_weights_beyond_int8_do_not_learn(options: PlanOptions, message: str) -> None:
    with pytest.raises((SchemeError, ModelError)) as refused:
        make_plan(parse(MODELS["beyond"].file(), "old"), options)
    assert message in str(refused.value)


def test_nothing_learns_before_depthwise_weights_in_two_parts(tmp_path: Path) -> None:
    model = parse(replace(MODELS["beyond"], zeros=(128, 60, 128)).file(), "old")
    (tmp_path / "s.toml").write_text("head = true\n[weights]\n0 = 1.0\n")
    with pytest.raises(ModelError, match="nothing before this layer can learn"):
        make_plan(model, PlanOptions(str(tmp_path / "s.toml")))


def test_what_uint8_computes_otherwise_is_refused() -> None:
    end = (WriterOp("LOGISTIC", ("logits",), ("out",), version=1),)
    with pytest.raises(UnsupportedOpError, match="of a model of uint8, where CONV_2D"):
        parse(MODELS["plain"].file(end), "old")


def test_weights_of_255_above_their_zero_point_are_refused() -> None:
    with pytest.raises(UnsupportedOpError, match="reach 255 above their zero point"):
        parse(replace(MODELS["beyond"], zeros=(0, 128, 128)).file(), "old")


def test_a_uint8_model_is_not_calibrated() -> None:
    with pytest.raises(ModelError, match="the model is of uint8, whose ranges stay"):
        calibrate(MODELS["plain"].file(), np.zeros((2, 72), np.int8))


def test_a_trained_uint8_model_is_saved_and_not_exported(run: Run, tmp_path: Path) -> None:
    path, data = tmp_path / "old.tflite", tmp_path / "d.npz"
    path.write_bytes(MODELS["beyond"].file())
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (12, *SHAPE[1:])).astype(np.uint8), np.arange(12) % 3
    np.savez(data, x_train=x, y_train=y, x_test=x, y_test=y)
    options = ("--data", data, "--classes", 3, "--lr", 0.01, "--no-guard", "--epochs", 1)
    assert run("train", path, *options, "--save", tmp_path / "s.npz").status == 0
    refused = run("export", path, "--state", tmp_path / "s.npz", "--output", tmp_path / "o.tflite")

    assert refused.status != 0 and "is a model of uint8, which has no place" in refused.err


@pytest.mark.exhaustive  # written models have each of its layers
def test_mobilenet_of_tensorflow_1_learns_with_a_new_head(models: Path, tmp_path: Path) -> None:
    """Its outputs were compared with those of LiteRT's reference kernels, tensor by tensor."""
    plan = make_plan(load(models / CORAL), PlanOptions("head", 3))
    reference, device = Interpreter(plan), NativeModel(plan, tmp_path)
    device.reset(0)
    x = np.random.default_rng(1).integers(-128, 128, plan.task.input.type.size).astype(np.int8)
    assert reference.step(x, 1) == device.step(x, 1)
    assert reference.digest() == device.digest()

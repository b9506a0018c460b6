# SPDX-License-Identifier: Apache-2.0
"""Heads and losses: new, kept and spare outputs, binary, squared error, a tail alone."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from mcutrain.trainer.errors import ModelError, SchemeError
from mcutrain.trainer.graph.graph import Graph
from mcutrain.trainer.graph.tensor import Array, DType, QuantParams, Role, Tensor, TensorType
from mcutrain.trainer.interpreter import Interpreter, StepRecord, target_of_input
from mcutrain.trainer.model import Model
from mcutrain.trainer.ops.mean_squared_error import MeanSquaredError
from mcutrain.trainer.ops.sgd import FRACTION
from mcutrain.trainer.ops.softmax_cross_entropy import SoftmaxCrossEntropy
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import load, parse
from tests.support.autoencoder import autoencoder
from tests.support.native import NativeModel
from tests.support.random_models import samples
from tests.support.small_models import CLASSES, SHAPE, residual_model
from tests.support.steps import assert_steps_are_equal, changed


@pytest.fixture(scope="module")
def model() -> Model:
    return parse(residual_model(), "small")


def inputs(count: int, seed: int = 3) -> list[Array]:
    return samples(SHAPE, count, seed)[3:]


@pytest.mark.parametrize("classes", [1, 2, 3, 5, 20, 100])
def test_a_new_head_of_any_size_trains_bit_exactly(
    model: Model, classes: int, tmp_path: Path
) -> None:
    plan = make_plan(model, PlanOptions("last:2", classes))
    reference = assert_steps_are_equal(plan, tmp_path, 10)

    assert plan.task.logits.type.size == classes
    assert plan.classes == max(2, classes)
    assert changed(plan, reference) == {t.name for t in plan.learned}


def test_a_head_with_spare_classes_trains_bit_exactly(model: Model, tmp_path: Path) -> None:
    assert_steps_are_equal(
        make_plan(model, PlanOptions("last:2", 3, spare_classes=2)), tmp_path, 10
    )


@pytest.mark.parametrize("update", ["last:2", "full"])
def test_squared_error_trains_bit_exactly(model: Model, update: str, tmp_path: Path) -> None:
    plan = make_plan(model, PlanOptions(update, loss="mse"))
    reference = assert_steps_are_equal(plan, tmp_path, 12)

    assert changed(plan, reference) == {t.name for t in plan.learned}


def test_an_autoencoder_trains_bit_exactly(tmp_path: Path) -> None:
    plan = make_plan(parse(autoencoder(), "auto"), PlanOptions("full", loss="reconstruction"))
    reference = assert_steps_are_equal(plan, tmp_path, 12)

    assert plan.task.target is None and plan.classes == 0
    assert changed(plan, reference) == {t.name for t in plan.learned}


@pytest.mark.slow
def test_an_autoencoder_learns_its_input() -> None:
    plan = make_plan(parse(autoencoder(), "auto"), PlanOptions("full", loss="reconstruction"))
    reference = Interpreter(plan)
    x = np.random.default_rng(1).integers(-60, 60, (1, 12)).astype(np.int8)
    losses = [reference.step(x).real(plan) for _ in range(300)]

    assert losses[-1] < losses[0] / 20
    assert losses[-1] < 4 * plan.task.logits.type.scale**2  # two quanta


def test_the_target_of_a_reconstruction_is_the_input_in_reals() -> None:
    plan = make_plan(parse(autoencoder(), "auto"), PlanOptions("full", loss="reconstruction"))
    x = np.arange(-100, 140, 20).astype(np.int8)
    wanted = plan.task.input.type.scale * (x.astype(float) - plan.task.input.type.zero_point)
    y = plan.task.logits.type
    found = y.scale * (target_of_input(plan, x).reshape(-1).astype(float) - y.zero_point)
    inside = np.abs(wanted) < y.scale * 110

    assert np.abs(found - wanted)[inside].max() <= y.scale / 2 * (1 + 1e-6)
    assert inside.sum() > 6


@pytest.mark.parametrize("loss", ["cross-entropy", "mse"])
def test_a_record_is_the_loss_in_real_units(model: Model, loss: str) -> None:
    """The integers of a step against float64 on the logits."""
    plan = make_plan(model, PlanOptions("head", loss=loss))
    reference = Interpreter(plan)
    for k, sample in enumerate(inputs(6)):
        q = reference.infer(sample).astype(np.float64)
        real = plan.task.logits.type.scale * (q - plan.task.logits.type.zero_point)
        if loss == "mse":
            target = np.arange(CLASSES).astype(np.int8) * 20 - 50
            wanted = plan.task.logits.type.scale * (
                target - float(plan.task.logits.type.zero_point)
            )
            expected = float(((real - wanted) ** 2).mean())
            assert reference.step(sample, target).real(plan) == pytest.approx(expected, rel=1e-9)
        else:
            expected = math.log(np.exp(real).sum()) - real[k % CLASSES]
            # Each of the exponentials is rounded to 2**-15.
            found = reference.step(sample, k % CLASSES).real(plan)
            assert abs(found - expected) <= CLASSES * 2.0**-16 * 1.01


def run_loss(op: SoftmaxCrossEntropy | MeanSquaredError, y: Tensor, target: Tensor,
             values: tuple[Array, ...]) -> tuple[Array, ...]:  # fmt: skip
    graph = Graph()
    graph.add(op, y, target, name="loss", index=0)
    return op.reference(graph.nodes[0], *values)


@pytest.mark.parametrize("scale", [0.01, 0.125, 1.0])
def test_the_error_of_a_lone_logit_is_the_sigmoids(scale: float) -> None:
    """dL/dx = sigmoid(x) - y, within a rounding of 2**-16 and of 2**-12."""
    type_ = TensorType((1, 1), DType.S8, QuantParams((scale,), 7))
    y, label = Tensor("y", type_, Role.INPUT), Tensor("t", TensorType((1,), DType.U32), Role.INPUT)
    for q in range(-128, 128, 5):
        for wanted in (0, 1):
            values = (np.array([[q]], np.int8), np.array([wanted], np.uint32))
            error, exponent, record = run_loss(SoftmaxCrossEntropy(), y, label, values)
            x = scale * (q - 7)
            expected = 1 / (1 + math.exp(-x)) - wanted
            loss = math.log1p(math.exp(-x if wanted else x))

            # 2047 stands for 1 at the clamp; p's own error is below 2**-14.
            assert abs(error[0, 0] * 2.0 ** int(exponent[0]) - expected) <= 2.0**-11
            assert abs(SoftmaxCrossEntropy().real(record, type_) - loss) <= 2.0**-15


@pytest.mark.parametrize("outputs", [1, 3, 640])
def test_the_error_of_a_squared_error_is_its_derivative(outputs: int) -> None:
    """dL/dy = 2 (y - t) / N within the byte's 2**-8 and half a unit."""
    type_ = TensorType((1, outputs), DType.S8, QuantParams((0.037,), -5))
    y, target = Tensor("y", type_, Role.INPUT), Tensor("t", type_, Role.INPUT)
    rng = np.random.RandomState(outputs)
    values = tuple(rng.randint(-128, 128, type_.shape).astype(np.int8) for _ in range(2))
    error, exponent, _ = run_loss(MeanSquaredError(), y, target, values)
    difference = values[0].astype(float) - values[1]
    expected = 2 * 0.037 * difference / outputs
    unit = 2.0 ** int(exponent[0])

    assert (np.abs(error * unit - expected) <= np.abs(expected) * 2.0**-8 + unit / 2).all()
    assert np.abs(error).max() > 200  # the check is sharp


def test_a_binary_head_learns_two_patterns(model: Model) -> None:
    plan = make_plan(model, PlanOptions("last:2", 1))
    reference = Interpreter(plan)
    patterns = inputs(2)
    for k in range(80):
        reference.step(patterns[k % 2], k % 2)

    assert [reference.predict(x) for x in patterns] == [0, 1]
    with pytest.raises(ValueError, match="label 2 is not one of 2"):
        reference.step(patterns[0], 2)


def test_spare_classes_wait_until_they_are_taken_into_use(model: Model, tmp_path: Path) -> None:
    plan = make_plan(model, PlanOptions("head", 2, spare_classes=2))
    reference, device = Interpreter(plan), NativeModel(plan, tmp_path)
    weights = next(t for t in plan.learned if t in plan.learning.companions.of(FRACTION))
    patterns = inputs(3)
    for k in range(40):
        reference.step(patterns[k % 2], k % 2)
        device.step(patterns[k % 2], k % 2)

    assert plan.classes == 4 and reference.classes == device.call("classes") == 2
    assert not reference.state[weights][2:].any() and reference.state[weights][:2].any()
    assert max(reference.predict(x) for x in patterns) == 1
    with pytest.raises(ValueError, match="label 2"):
        reference.step(patterns[2], 2)
    device.write_input(patterns[2])
    assert device.call("step", 2) & 0xFF == 0xFE  # MCT_ERR_LABEL

    reference.set_classes(3)
    assert device.call("set_classes", 3) == 0
    for k in range(120):
        assert device.step(patterns[k % 3], k % 3) == reference.step(patterns[k % 3], k % 3)
    assert [reference.predict(x) for x in patterns] == [0, 1, 2]
    assert reference.digest() == device.digest()


@pytest.mark.parametrize("wanted", [0, 1, 5, 2**32 - 1])
def test_more_classes_than_outputs_are_refused(model: Model, wanted: int, tmp_path: Path) -> None:
    plan = make_plan(model, PlanOptions("head", 2, spare_classes=2))

    assert NativeModel(plan, tmp_path).call("set_classes", wanted) & 0xFF == 0xFC
    with pytest.raises(ValueError, match="the head has 4 outputs"):
        Interpreter(plan).set_classes(wanted)


def test_an_old_head_gets_spare_rows_and_keeps_its_own(model: Model) -> None:
    plan = make_plan(model, PlanOptions("head", spare_classes=3))
    old, new = Interpreter(make_plan(model, PlanOptions("head"))), Interpreter(plan)
    for sample in inputs(5):
        logits = new.infer(sample)
        np.testing.assert_array_equal(logits[:CLASSES], old.infer(sample))
        assert (logits[CLASSES:] == plan.task.logits.type.zero_point).all()
        assert new.predict(sample) == old.predict(sample)


def test_a_tail_alone_trains_to_the_bits_of_the_whole(model: Model, tmp_path: Path) -> None:
    whole = make_plan(model, PlanOptions("head"))
    tail = make_plan(model, PlanOptions("head", start="sum"))
    entry = next(n.output for n in whole.forward if n.output.label == "sum")
    reference, rest = Interpreter(whole), Interpreter(tail)
    for k, sample in enumerate(inputs(8)):
        value = reference.outputs(sample)[entry]

        assert rest.step(value, k % CLASSES) == reference.step(sample, k % CLASSES)
        assert rest.digest() == reference.digest()
    assert tail.task.input.type == entry.type
    assert tail.forward_macs < whole.forward_macs
    assert_steps_are_equal(tail, tmp_path, 6)


def test_what_cannot_be_cut_is_refused(model: Model) -> None:
    with pytest.raises(ModelError, match=r"no activation 'sun'; like it: sum"):
        make_plan(model, PlanOptions("head", start="sun"))
    with pytest.raises(ModelError, match="'stem', which is computed before it"):
        make_plan(model, PlanOptions("head", start="dw"))
    with pytest.raises(ModelError, match="no layer behind 'logits'"):
        make_plan(model, PlanOptions("head", start="logits"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"loss": "hinge"},
            "unknown loss 'hinge': give cross-entropy, pixel",
        ),
        ({"loss": "reconstruction"}, "189 values in, 4 out"),
        ({"loss": "mse", "spare_classes": 1}, "spare classes need the loss cross-entropy"),
        ({"classes": 1, "spare_classes": 1}, "two classes at least"),
        ({"classes": 65535, "spare_classes": 1}, "1 to 65535 classes, not 65536"),
        ({"spare_classes": 70000}, "4 classes leave room for 1 to 65531"),
        ({"class_names": tuple("abcde")}, "5 class names are given, 4 are needed"),
        ({"class_names": tuple("abc")}, "3 class names are given, 4 are needed"),
        ({"class_names": tuple("abc"), "spare_classes": 2}, "3 class names are given, 4 to 6 are"),
        ({"class_names": tuple("abca")}, "the class name 'a' is given twice"),
        ({"loss": "mse", "class_names": ("a",)}, "1 class names are given, 0 are needed"),
    ],
)
def test_what_cannot_be_trained_for_is_refused(
    model: Model, options: dict[str, object], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        make_plan(model, PlanOptions("head", **options))  # type: ignore[arg-type]


def test_spare_outputs_must_learn(model: Model, tmp_path: Path) -> None:
    path = tmp_path / "frozen.toml"
    path.write_text("head = false\nbias_last = 2\n")
    with pytest.raises(SchemeError, match="new outputs of the head"):
        make_plan(model, PlanOptions(str(path), spare_classes=1))


def test_a_different_loss_is_a_different_arithmetic(model: Model) -> None:
    asked = [
        PlanOptions("head"),
        PlanOptions("head", loss="mse"),
        PlanOptions("head", spare_classes=1),
    ]
    plans = [make_plan(model, options) for options in asked]

    assert len({plan.numerics_hash for plan in plans}) == 3
    assert (
        make_plan(model, PlanOptions("head", class_names=tuple("abcd"))).numerics_hash
        == plans[0].numerics_hash
    )
    assert StepRecord(1 << 15, 0, 0).real(plans[0]) == 0.0


def machine(rng: np.random.RandomState, count: int) -> Array:
    """(count, 640) int8: six tones at random loudness, and noise."""
    tones = np.random.RandomState(7).normal(0, 12, (6, 640))
    heard = rng.normal(0, 1, (count, 6)) @ tones + rng.normal(0, 4, (count, 640))
    return np.clip(np.round(heard), -128, 127).astype(np.int8)


@pytest.mark.slow
def test_an_anomaly_detector_learns_a_new_normal_machine(models: Path) -> None:
    """ad01 reconstructs what it has not heard in training better, and noise no better."""
    model = load(models / "mlperf-tiny" / "ad01_int8.tflite")
    reference = Interpreter(make_plan(model, PlanOptions("last:2", loss="reconstruction")))
    plan, rng = reference.plan, np.random.RandomState(0)
    unheard, noise = machine(rng, 40), rng.randint(-60, 60, (40, 640)).astype(np.int8)

    def error(samples: Array) -> float:
        wanted = [target_of_input(plan, x).astype(int).ravel() for x in samples]
        found = [reference.infer(x).astype(int) for x in samples]
        return float(np.mean((np.array(wanted) - found) ** 2)) * plan.task.logits.type.scale**2

    before = error(unheard), error(noise)
    for sample in machine(rng, 300):
        reference.step(sample)
    after = error(unheard), error(noise)

    assert after[0] < 0.85 * before[0]
    assert after[1] / after[0] > 1.05 * before[1] / before[0]  # an anomaly stands out more

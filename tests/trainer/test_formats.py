# SPDX-License-Identifier: Apache-2.0
"""Training in other formats: 8-bit errors, weights without a fraction, steps that add up."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mcutrain.host.cost import format_bytes, format_prices
from mcutrain.host.request import Request, read_options
from mcutrain.trainer.errors import ModelError, SchemeError
from mcutrain.trainer.formats import PLAIN, Formats
from mcutrain.trainer.graph.tensor import Array, DType, Role, Tensor
from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.ops.error import E8, E12
from mcutrain.trainer.ops.sgd import (
    BIAS_MAX,
    FRACTION,
    INPUT_SHIFT,
    STEP_MAX,
    SUM,
    LearningRate,
    Rates,
    step_weights,
)
from mcutrain.trainer.ops.weighted import Weighted
from mcutrain.trainer.ops.weighted_gradients import WeightedUpdate
from mcutrain.trainer.options import DEFAULT_OPTIONS, PlanOptions, Scheme
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import parse
from mcutrain.trainer.training_plan import TrainingPlan
from mcutrain.trainer.training_state import TrainingState, resumed
from tests.support.autoencoder import autoencoder
from tests.support.awkward_model import awkward_model
from tests.support.bench import run_nodes
from tests.support.exports import (
    PARTIAL,
    assert_states_equal,
    exported,
    going_on,
    sample_of,
    train,
)
from tests.support.gated_model import gated_model
from tests.support.gradient_net import SOUND, input_tolerance, layer_net, through
from tests.support.marks import exhaustive
from tests.support.native import NativeModel
from tests.support.random_models import MAKERS, random_model
from tests.support.small_models import CLASSES, residual_model
from tests.support.steps import assert_steps_are_equal, changed
from tests.support.structural_model import structural_model

ALL = [Formats(*v) for v in itertools.product(("e12", "e8"), ("int8.8", "int8"), (1, 3))]
ALL += [Formats("e12", "int8.8", 1, "inputs"), Formats("e8", "int8", 3, "inputs")]
DEFAULT_FORMATS = Formats.of(DEFAULT_OPTIONS)
OTHERS = [f for f in ALL if f != PLAIN]
SMALL = Formats("e8", "int8", 3)


def name_of(formats: Formats) -> str:
    return f"{formats.errors}-{formats.weights}-{formats.accumulate}-{formats.precondition}"


def small_plan(formats: Formats, update: str | Scheme = "full", **options: Any) -> TrainingPlan:
    return make_plan(
        parse(residual_model(), "small"), formats.within(PlanOptions(update, **options))
    )


# Each format with one of the two, and in make test-all with both.
COMBINED = [(formats, ("full", "partial")[(k + j) % 2]) for j in (0, 1)
            for k, formats in enumerate(OTHERS)]  # fmt: skip
WITH_ONE = [
    pytest.param(*each, id=f"{each[1]}-{name_of(each[0])}", marks=marks)
    for k, each in enumerate(COMBINED)
    for marks in [[pytest.mark.exhaustive] if k >= len(OTHERS) else []]
]


@pytest.mark.parametrize(("formats", "update"), WITH_ONE)
def test_every_combination_trains_bit_exactly(
    formats: Formats, update: str, tmp_path: Path
) -> None:
    plan = small_plan(formats, PARTIAL if update == "partial" else update)
    reference = assert_steps_are_equal(plan, tmp_path, 20)

    assert changed(plan, reference) == {t.name for t in plan.learned}
    assert all(t.type.dtype is formats.error.dtype for t in plan.errors)
    assert bool(plan.learning.companions.of(FRACTION)) == formats.has_fraction
    assert len(plan.learning.companions.of(SUM)) == (len(plan.learned) if formats.has_sums else 0)


NETS = {"awkward": awkward_model, "gated": gated_model, "structural": structural_model}


IN_FORMATS = [Formats("e8"), SMALL, Formats("e12", "int8", 2)]
# Each network in one format, and in make test-all in all.
NETS_IN = [(net, IN_FORMATS[(k + j) % 3]) for j in range(3) for k, net in enumerate(NETS)]


@pytest.mark.parametrize(
    ("net", "formats"),
    [
        pytest.param(*each, id=f"{name_of(each[1])}-{each[0]}", marks=marks)
        for k, each in enumerate(NETS_IN)
        for marks in [[pytest.mark.exhaustive] if k >= len(NETS) else []]
    ],
)
def test_networks_of_every_operator_train_bit_exactly(
    net: str, formats: Formats, tmp_path: Path
) -> None:
    made = NETS[net]()
    model = parse(made, net) if isinstance(made, bytes) else made
    plan = make_plan(model, formats.within(PlanOptions("full")))

    assert_steps_are_equal(plan, tmp_path, 14)


@pytest.mark.parametrize("kind", MAKERS)
def test_random_models_train_bit_exactly(kind: str, tmp_path: Path) -> None:
    """As far as they can learn; each kind in a format of its own."""
    number = list(MAKERS).index(kind)
    formats = OTHERS[number % len(OTHERS)]
    for seed in range(number, number + 20):
        try:
            model = parse(random_model(kind, seed), "random")
            plan = make_plan(model, formats.within(PlanOptions("full", loss="mse")))
        except (ModelError, SchemeError):
            continue
        assert_steps_are_equal(plan, tmp_path, 8)
        return
    pytest.skip(f"no {kind} that learns")


@pytest.mark.parametrize("loss", ["mse", "reconstruction"])
def test_other_losses_train_bit_exactly(loss: str, tmp_path: Path) -> None:
    plan = make_plan(
        parse(autoencoder(), "auto"), Formats("e8").within(PlanOptions("full", loss=loss))
    )
    reference = assert_steps_are_equal(plan, tmp_path, 12)

    assert changed(plan, reference) == {t.name for t in plan.learned}


@pytest.mark.slow
def test_spare_classes_train_bit_exactly(tmp_path: Path) -> None:
    plan = small_plan(SMALL, "last:2", classes=3, spare_classes=2)

    assert_steps_are_equal(plan, tmp_path, 12)


# Accumulation.


def weight(state: dict[Tensor, Array], plan: TrainingPlan, learned: Tensor) -> Array:
    """M of a weight, or the bias."""
    value = state[learned].astype(np.int64)
    fraction = plan.learning.companions.of(FRACTION).get(learned)
    return value if fraction is None else 256 * value + state[fraction]


@pytest.mark.parametrize("weights", ["int8.8", "int8"])
@pytest.mark.parametrize("errors", ["e12", "e8"])
def test_sums_are_those_of_single_steps(errors: str, weights: str) -> None:
    """A plan without sums takes each step from the same weights; what it changes is summed."""
    samples, rate = 3, LearningRate(200, 12 if weights == "int8.8" else 11)
    plan = small_plan(Formats(errors, weights, samples))
    single = small_plan(Formats(errors, weights))
    summed, one = Interpreter(plan, 4), Interpreter(single, 4)
    same = {a: b for a in plan.learning.state for b in single.learning.state if a.name == b.name}
    limit = 127 * 256 if weights == "int8.8" else 127
    for round_ in range(3):
        before = {t: weight(summed.state, plan, t) for t in plan.learned}
        total = {t: np.zeros(t.type.shape, np.int64) for t in plan.learned}
        for k in range(samples * round_, samples * (round_ + 1)):
            one.state |= {b: summed.state[a].copy() for a, b in same.items()}
            for trained in (summed, one):
                trained.set_learning_rate(rate)
                trained.step(sample_of(plan, k), k % CLASSES)
            for t in plan.learned:
                step = weight(one.state, single, same[t]) - before[t]
                # At their ends the single steps are cut off; the sums are not.
                inside = np.abs(before[t] + step) < (limit if t.type.dtype is DType.S8 else 2**30)
                total[t] = np.where(inside, total[t] + step, np.iinfo(np.int64).max // 8)
                if k % samples < samples - 1:
                    known = total[t] < 2**40
                    np.testing.assert_array_equal(
                        summed.state[plan.learning.companions.of(SUM)[t]][known], total[t][known]
                    )
                    np.testing.assert_array_equal(weight(summed.state, plan, t), before[t])
        moved = 0
        for t in plan.learned:
            known = total[t] < 2**40
            end = limit if t.type.dtype is DType.S8 else BIAS_MAX
            expected = np.clip(before[t] + total[t], -end, end)
            np.testing.assert_array_equal(weight(summed.state, plan, t)[known], expected[known])
            assert not summed.state[plan.learning.companions.of(SUM)[t]].any()
            moved += int((total[t][known] != 0).sum())
        assert moved > 20


def test_accumulation_of_one_is_none() -> None:
    plan, default = (
        small_plan(replace(DEFAULT_FORMATS, accumulate=1)),
        make_plan(parse(residual_model(), "small"), PlanOptions("full")),
    )
    first, second = train(Interpreter(plan, 1), 0, 8), train(Interpreter(default, 1), 0, 8)

    assert_states_equal(first, second)
    assert plan.numerics_hash == default.numerics_hash


def test_at_a_rate_of_nothing_the_sums_wait() -> None:
    plan = small_plan(Formats(accumulate=2), "head")
    trained = train(Interpreter(plan, 1), 0, 1)
    before = {
        t: trained.state[t].copy()
        for t in (*plan.learned, *plan.learning.companions.of(SUM).values())
    }
    trained.set_learning_rate(LearningRate(0, 0))
    train(trained, 1, 2)

    assert all((trained.state[t] == value).all() for t, value in before.items())
    assert any(before[t].any() for t in plan.learning.companions.of(SUM).values())


def test_an_initial_weight_of_128_stays_until_its_sum_is_not_zero() -> None:
    w = (np.array([-128, -128, 5], np.int8), np.zeros(3, np.int8))
    u = np.array([0, 1, 0])

    new, frac = step_weights(w, u, u != 0)
    assert new.tolist() == [-128, -127, 5]
    assert frac.tolist() == [0, 0, 0]


def test_steps_without_a_fraction_are_whole_quanta() -> None:
    (new,) = step_weights((np.array([-128, 126, 3], np.int8),), np.array([1, -STEP_MAX, 1]),
                          np.array([True, True, False]))  # fmt: skip

    assert new.tolist() == [-127, 127, 3]
    assert Rates.of([0.5], ()).multiplier.tolist() == [128]


# Rounding without bias.


@pytest.mark.parametrize("layer", SOUND[::3], ids=lambda layer: layer.name)
def test_the_mean_of_8_bit_errors_is_the_derivative(layer: Any) -> None:
    """Stochastic rounding: over seeds its mean is the derivative, and not the nearest number."""
    net, node = layer_net(layer, errors=E8)
    expected = through(node, net.reals(), net.x, net.g) * net.open
    seeds, unit = 400, net.error_of("y_d_x")[1]
    total = np.zeros(expected.shape)
    backward = net.graph.nodes[len(net.nodes) :]
    gradient = next(n for n in backward if n.outputs[0].name == "y_d_x")
    for seed in range(seeds):
        net.values[net.tape.sgd] = np.array([seed, 3, 0, 0], np.uint32)
        values = {**net.after, **net.values}
        total += run_nodes([gradient], values)[gradient.output] * unit
    # REQ's own rounding has a standard deviation of half a unit at most; five of the mean's.
    # Where 128 is clamped to 127, up to a unit is lost.
    clamped = np.where(np.abs(expected) > 126 * unit, unit, 0)
    tolerance = input_tolerance(net, node, net.g, 0.0) + 2.5 * unit / np.sqrt(seeds) + clamped

    assert (np.abs(total / seeds - expected) <= tolerance).all()


@pytest.mark.parametrize("net", ["awkward", "gated"])
def test_each_tensor_has_a_dither_of_its_own(net: str) -> None:
    """The nodes of SPEC 1.1: no two rounded tensors share one."""
    made = NETS[net]()
    model = parse(made, net) if isinstance(made, bytes) else made
    plan = make_plan(model, Formats("e8").within(PlanOptions("full")))
    found = [
        node.op.dither_node(node)  # type: ignore[attr-defined]
        for node in plan.operations
        if hasattr(node.op, "dither_node")
    ]

    assert len(found) == len(set(found)) == len(plan.learning.histories) > 4
    assert {n % 4 for n in found} <= {2, 3}
    assert any(n >= 2**31 for n in found)


def test_8_bit_errors_depend_on_the_seed_and_12_bit_ones_do_not() -> None:
    def errors(formats: Formats, seed: int) -> list[bytes]:
        plan = small_plan(formats)
        trained = Interpreter(plan, seed)
        trained.set_learning_rate(LearningRate(0, 0))
        for _ in range(4):
            *_, (_, values) = trained.trace(sample_of(plan, 3), 1)
        return [values[t].tobytes() for t in plan.errors]

    assert errors(Formats("e8"), 1) == errors(Formats("e8"), 1)
    assert errors(Formats("e8"), 1) != errors(Formats("e8"), 2)
    assert errors(Formats("e12"), 1) == errors(Formats("e12"), 2)


@pytest.mark.parametrize("format_", [E12, E8], ids=lambda f: f.name)
def test_bounds_are_the_greatest_that_fit_32_bits(format_: Any) -> None:
    assert format_.max_band <= format_.max_products
    assert format_.max_products * format_.greatest * 255 <= 2**31 - 1
    assert format_.max_fan_out * format_.greatest * 128 <= 2**31 - 1
    assert (format_.max_fan_out + 1) * format_.greatest * 128 > 2**31 - 1
    assert format_.max_errors * format_.greatest <= 2**31 - 1


# Going on.


@pytest.mark.parametrize("formats", OTHERS, ids=name_of)
@pytest.mark.parametrize("steps", [exhaustive(steps, [9, 11]) for steps in (9, 10, 11)])
def test_training_goes_on_in_the_midst_of_an_accumulation(formats: Formats, steps: int) -> None:
    data = residual_model()
    whole = train(Interpreter(small_plan(formats), seed=11), 0, 20)
    half = train(Interpreter(small_plan(formats), seed=11), 0, steps)
    continued = going_on(exported(data, half), formats=formats)

    assert_states_equal(continued, half)
    assert_states_equal(train(continued, steps, 20), whole)


def test_a_device_goes_on_in_the_midst_of_an_accumulation(tmp_path: Path) -> None:
    half = train(Interpreter(small_plan(SMALL), seed=3), 0, 7)
    continued = going_on(exported(residual_model(), half), formats=SMALL)
    device = NativeModel(continued.plan, tmp_path)
    device.reset(3)

    assert device.digest() == half.digest()
    for k in range(7, 12):
        sample = sample_of(continued.plan, k)
        assert device.step(sample, k % 4) == continued.step(sample, k % 4)
    assert device.digest() == continued.digest()


def test_a_state_of_another_format_is_refused() -> None:
    trained = train(Interpreter(small_plan(SMALL), 1), 0, 2)
    model = parse(exported(residual_model(), trained), "m")
    stored = TrainingState.unpack(model.training_state or b"")

    with pytest.raises(ModelError, match="resume with the scheme"):
        resumed(make_plan(model, Formats("e8", "int8").within(PlanOptions("full"))), stored)
    sums = next(k for k, a in enumerate(stored.arrays) if a.dtype == np.int32)
    wide = np.full_like(stored.arrays[sums], BIAS_MAX + 1)
    spoilt = (*stored.arrays[:sums], wide, *stored.arrays[sums + 1 :])
    with pytest.raises(ModelError, match="sum"):
        resumed(make_plan(model, SMALL.within(PlanOptions("full"))), replace(stored, arrays=spoilt))


@pytest.mark.parametrize(
    "values", [("e16",), ("E12",), ("e8", "int4"), ("e8", "int8", 0), ("e8", "int8", 65537),
               ("e8", "int8", True), (["e8"],), ("e8", None), ("e8", "int8", 1.0)],
)  # fmt: skip
def test_formats_that_there_are_not_are_refused(values: tuple[Any, ...]) -> None:
    with pytest.raises(SchemeError, match="give"):
        Formats(*values)


def test_stored_options_name_the_formats() -> None:
    request = Request.of(Path("m"), errors="e8", accumulate=4)

    assert Formats.of(read_options(request.stored(), Path("m")).options) == Formats(
        "e8", "int8.8", 4, "inputs"
    )
    assert request.options.arguments() == ["--errors e8", "--accumulate 4"]
    assert Formats.of(read_options({}).options) == PLAIN  # of a file before there were any
    for spoilt in ({"errors": "e9"}, {"weights": ["int8"]}, {"accumulate": "4"}, {"errors": None}):
        with pytest.raises(ModelError, match="options are damaged"):
            read_options({**request.stored(), **spoilt})


def test_an_exported_file_goes_on_in_its_formats(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(residual_model())
    request = Request.of(path, "full").in_formats(SMALL)
    half = train(Interpreter(request.plan(), 5), 0, 4)
    path.write_bytes(exported(residual_model(), half, **request.stored()))
    continued = Interpreter(Request(path).plan(), 5)

    assert continued.plan.formats == SMALL
    assert_states_equal(continued, half)
    with pytest.raises(ModelError, match="--errors was e8, not e12: leave it out"):
        Request.of(path, errors="e12").plan()
    with pytest.raises(ModelError, match="--precondition was off, not inputs: leave it out"):
        Request.of(path, precondition="auto").plan()
    assert Request.of(path, "full", errors="e12").plan().formats == DEFAULT_FORMATS


@pytest.mark.parametrize(
    ("loss", "expected"),
    [("cross-entropy", "inputs"), ("pixelwise-cross-entropy", "inputs"), ("mse", "inputs"),
     ("reconstruction", "off")],
)  # fmt: skip
def test_what_auto_stands_for_goes_by_the_loss_and_is_stored(loss: str, expected: str) -> None:
    request = Request.of(Path("m"), loss=loss)

    assert Formats.of(request.options).precondition == expected
    assert request.stored()["precondition"] == expected
    assert request.options.arguments() == ([f"--loss {loss}"] if loss != "cross-entropy" else [])
    asked = Request.of(Path("m"), loss=loss, precondition="off")
    assert Formats.of(asked.options).precondition == asked.stored()["precondition"] == "off"


def test_prices_are_those_of_the_plans_with_the_other_formats(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(residual_model())
    request = Request.of(path, "full", weights="int8")
    plan = request.plan()
    prices = {p["option"]: p for p in format_prices(request, plan)}
    narrow = request.but(errors="e8").plan().memory
    weights = sum(t.type.nbytes for t in plan.learned if t.type.dtype is DType.S8)

    assert prices["errors"]["value"] == "e8"
    assert prices["errors"]["arena_bytes"] == narrow.arena_bytes - plan.memory.arena_bytes < 0
    assert prices["errors"]["learned_bytes"] == prices["weights"]["arena_bytes"] == 0
    assert prices["weights"]["learned_bytes"] == weights
    summed = request.but(accumulate=2).plan()
    total = sum(t.type.nbytes for t in summed.learning.companions.of(SUM).values())
    assert prices["accumulate"]["learned_bytes"] == total == format_bytes(summed)["sums"]
    shifts = plan.learning.companions.of(INPUT_SHIFT).values()
    assert prices["precondition"]["value"] == "off"
    assert -prices["precondition"]["learned_bytes"] >= sum(t.type.nbytes for t in shifts) > 0
    assert format_bytes(plan)["fractions"] == 0
    assert format_bytes(plan)["errors"] >= max(t.type.nbytes for t in plan.errors)


def test_formats_count_in_the_numerics_hash() -> None:
    hashes = {small_plan(formats).numerics_hash for formats in ALL}

    assert len(hashes) == len(ALL)


def test_updates_of_the_default_formats_have_fractions() -> None:
    plan = small_plan(DEFAULT_FORMATS)
    updates = [n for n in plan.operations if isinstance(n.op, WeightedUpdate)]

    assert len(updates) == sum(isinstance(n.op, Weighted) for n in plan.forward)
    assert all(len(n.outputs) == 2 and n.outputs[0].role is Role.PARAM for n in updates)

# SPDX-License-Identifier: Apache-2.0
"""Ranges that fit a user's samples: the same network in reals, finer or wider steps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mcutrain.host.checking.check import check_model
from mcutrain.trainer.calibration import WIDENINGS, calibrate, groups
from mcutrain.trainer.errors import ModelError
from mcutrain.trainer.graph.op import Node, OutputScale
from mcutrain.trainer.graph.tensor import Array, QuantParams
from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.model import Model
from mcutrain.trainer.ops.weighted import DEAD_BIAS
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.patch import TflitePatch
from mcutrain.trainer.tflite.reader import parse
from tests.support.command import Run
from tests.support.exports import exported, train
from tests.support.marks import sampled
from tests.support.random_blocks import random_blocks
from tests.support.random_trunks import random_trunk
from tests.support.small_models import SHAPE, residual_model, write_dataset

POOLED = ("pool", "flat")  # in the range of "sum"


def drawn(count: int, spread: int, shape: tuple[int, ...] = SHAPE) -> Array:
    """int8 samples of ``spread`` quanta around 0."""
    rng = np.random.default_rng(spread)
    return rng.integers(-spread, spread, (count, int(np.prod(shape)))).astype(np.int8)


def reals(model: Model, sample: Array) -> dict[str, Array]:
    """Each activation in real units, by its name."""
    values = {model.input: sample.reshape(model.input.type.shape)}
    found = {}
    for node in model.graph.nodes:
        inputs = [values[t] if t.data is None else t.data for t in node.inputs]
        values[node.output] = node.op.reference(node, *inputs)[0]
        out = node.output.type
        found[node.output.label] = (values[node.output] - float(out.zero_point)) * out.scale
    return found


def nodes(model: Model) -> dict[str, Node]:
    return {node.output.label: node for node in model.graph.nodes}


def test_ranges_are_what_the_samples_reach() -> None:
    data, x = residual_model(), drawn(40, 12)
    found = calibrate(data, x)
    old, new = parse(data, "old"), parse(found.data, "new")
    reached = [reals(new, sample) for sample in x]

    for name in ("stem", "dw", "pw", "sum"):
        quant = nodes(new)[name].output.type
        values = np.concatenate([r[name].ravel() for r in reached])
        ends = [(end - quant.zero_point) * quant.scale for end in (-128, 127)]
        assert ends[0] - quant.scale <= min(values.min(), 0)
        assert max(values.max(), 0) <= ends[1] + quant.scale
        # Within the room that holds 0 exactly, all of it is used.
        slack = 5 * quant.scale
        assert ends[1] - max(values.max(), 0) < slack
        assert min(values.min(), 0) - ends[0] < slack
    assert found.changes["stem"][1].scale < found.changes["stem"][0].scale / 2
    assert nodes(new)["pool"].output.type.quant == nodes(new)["sum"].output.type.quant
    assert nodes(new)["logits"].output.type.quant == nodes(old)["logits"].output.type.quant
    assert new.input.type == old.input.type


def test_the_network_is_the_same_in_reals() -> None:
    """Weights and biases mean what they meant: activations differ by rounding alone."""
    data, x = residual_model(), drawn(40, 12)
    old, new = parse(data, "old"), parse(calibrate(data, x).data, "new")
    for sample in x[:10]:
        before, after = reals(old, sample), reals(new, sample)
        for name in ("stem", "dw", "pw", "sum", "logits"):
            unit = nodes(old)[name].output.type.scale
            assert np.sqrt(np.mean(np.square(before[name] - after[name]))) <= 2.5 * unit
    for k, (was, now) in enumerate(zip(old.weighted, new.weighted, strict=True)):
        np.testing.assert_array_equal(was.inputs[1].data, now.inputs[1].data)
        if k in (1, 2):  # their input has another scale
            b_old = was.inputs[2].data * float(was.inputs[0].type.scale)
            b_new = now.inputs[2].data * float(now.inputs[0].type.scale)
            np.testing.assert_allclose(b_old, b_new, atol=now.inputs[0].type.scale / 2)


@pytest.mark.slow
def test_what_saturates_is_widened_until_it_does_not() -> None:
    """Ranges of faint samples hold bright ones only after they were found wider."""
    narrow = calibrate(residual_model(), drawn(40, 4)).data
    bright, passes = drawn(40, 120), list[tuple[int, int]]()
    again = calibrate(narrow, bright, lambda *done: passes.append(done))
    directly = calibrate(residual_model(), bright)

    cut = nodes(parse(narrow, "narrow"))["stem"].output.type
    wide = nodes(parse(again.data, "again"))["stem"].output.type
    assert wide.scale > 3 * cut.scale
    for name, (_, new) in directly.changes.items():
        assert again.changes[name][1].scale == pytest.approx(new.scale, rel=0.05)
    assert 1 < len(passes) <= WIDENINGS + 1
    assert passes[-1][0] == len(passes)


def test_a_fused_limit_is_not_taken_for_a_range_that_is_too_narrow() -> None:
    """RELU6 keeps its 6, however often it is reached."""
    found = calibrate(residual_model(), drawn(40, 127))
    dw = nodes(parse(found.data, "new"))["dw"].output.type
    assert (127 - dw.zero_point) * dw.scale <= 6.1


def clamped_by_ranges() -> bytes:
    """The model without its RELU and RELU6, whose ranges clamp to the same."""
    data = residual_model()
    patch = TflitePatch(data)
    for node in parse(data, "m").graph.nodes:
        patch.drop_activation(node.index)
    return patch.finish()


@pytest.mark.slow
def test_a_range_clamps_where_a_model_has_no_activation_functions() -> None:
    data, x = clamped_by_ranges(), drawn(40, 12)
    old = parse(data, "old")
    faint, bright = (parse(calibrate(data, drawn(40, k)).data, "new") for k in (12, 127))
    for new in (faint, bright):
        assert nodes(new)["stem"].output.type.zero_point == -128
        assert nodes(new)["dw"].output.type.zero_point == -128
        assert 255 * nodes(new)["dw"].output.type.scale <= 6.01
    for sample in x[:10]:
        before, after = reals(old, sample)["logits"], reals(faint, sample)["logits"]
        unit = nodes(old)["logits"].output.type.scale
        assert np.sqrt(np.mean(np.square(before - after))) <= 3 * unit


def declared(name: str, quant: QuantParams) -> bytes:
    """The model with another declaration of one activation."""
    patch = TflitePatch(residual_model())
    at = nodes(parse(residual_model(), "m"))[name].index
    (index,) = patch.outputs[at]
    patch.change_tensor(index, replace(patch.tensor(index), quant=quant))
    return patch.finish()


@pytest.mark.parametrize("zero", [-128, -127, 127])
def test_a_range_that_ends_at_zero_is_widened_beyond_it(zero: int) -> None:
    """No end says of a sum that may be negative that it is a ReLU's."""
    x = drawn(40, 60)
    wanted = calibrate(residual_model(), x).changes["pw"][1]
    found = calibrate(declared("pw", QuantParams((0.05,), zero)), x).changes["pw"][1]
    assert found.scale == pytest.approx(wanted.scale, rel=0.05)
    assert found.zero_point == pytest.approx(wanted.zero_point, abs=6)


@pytest.mark.parametrize("layer", [0, 1])
def test_a_layer_that_is_always_zero_keeps_its_range(layer: int) -> None:
    """Biases behind it must not grow beyond what int32 holds, nor what learns."""
    dead = TflitePatch(residual_model())
    index = dead.own_input(layer, 2)
    dead.set_data(index, np.full(8, -(2**20), "<i4").tobytes())
    data, x = dead.finish(), drawn(20, 40)
    old, new = parse(data, "old"), parse(calibrate(data, x).data, "new")

    name = ("stem", "dw")[layer]
    assert nodes(new)[name].output.type == nodes(old)[name].output.type
    assert [n.op.dead for n in new.weighted] == [n.op.dead for n in old.weighted]  # type: ignore[attr-defined]
    for sample in x[:5]:
        unit = old.logits.type.scale
        before, after = reals(old, sample)["logits"], reals(new, sample)["logits"]
        assert np.abs(before - after).max() <= 3 * unit


def test_a_range_is_no_finer_than_the_biases_behind_it_allow() -> None:
    patch = TflitePatch(residual_model())
    index = patch.own_input(2, 2)  # of "pw", which reads "dw"
    patch.set_data(index, np.full(8, 2**29, "<i4").tobytes())
    data = patch.finish()
    old, new = parse(data, "old"), parse(calibrate(data, drawn(20, 3)).data, "new")

    b = new.weighted[2].inputs[2].data
    assert b is not None and 2**29 < np.abs(b).max() <= DEAD_BIAS
    real = [2.0**29 * float(old.weighted[2].inputs[0].type.scale)]
    np.testing.assert_allclose(b * float(new.weighted[2].inputs[0].type.scale), real * 8, rtol=1e-6)


@pytest.mark.parametrize("seed", sampled(range(12), 5))
@pytest.mark.parametrize("make", [lambda s: random_blocks(s)[0], random_trunk])
def test_random_networks_stay_sound(make: object, seed: int) -> None:
    data = make(seed)  # type: ignore[operator]
    data = data[0] if isinstance(data, tuple) else data
    old = parse(data, "old")
    found = calibrate(data, drawn(4, 30, old.input.type.shape))
    new = parse(found.data, "new")

    of = groups(new)
    for node in new.graph.nodes:
        if node.op.output_scale is OutputScale.SAME:
            quant = node.output.type.quant
            assert all(t.type.quant == quant for t in node.inputs if t.type.quant is not None)
        assert of[node.output] in of
    assert new.logits.type == old.logits.type
    assert new.input.type == old.input.type


@pytest.mark.parametrize("spread", [3, 40, 127])
def test_tflite_micro_computes_the_same_bits(spread: int, tmp_path: Path) -> None:
    pytest.importorskip("tflite_micro.python.tflite_micro.runtime")
    path = tmp_path / "new.tflite"
    path.write_bytes(calibrate(residual_model(), drawn(20, spread)).data)
    assert check_model(path)["mismatches"] == 0


def test_a_trained_model_is_not_calibrated() -> None:
    data = residual_model()
    trained = train(Interpreter(make_plan(parse(data, "m"), PlanOptions("head"))), 0, 3)
    with pytest.raises(ModelError, match="before it is trained"):
        calibrate(exported(data, trained), drawn(2, 5))


def test_the_command_writes_the_model_and_tells_the_ranges(run: Run, tmp_path: Path) -> None:
    model, output = tmp_path / "m.tflite", tmp_path / "n.tflite"
    model.write_bytes(residual_model())
    data = write_dataset(tmp_path / "data.npz")
    told = run("calibrate", str(model), "--data", str(data), "-o", str(output), "--json").json
    assert told["samples"] == 32
    assert {t["name"] for t in told["tensors"]} >= {"stem", "sum", *POOLED}
    stem = nodes(parse(output.read_bytes(), "new"))["stem"].output.type
    ends = next(t["after"] for t in told["tensors"] if t["name"] == "stem")
    assert ends == [(end - stem.zero_point) * stem.scale for end in (-128, 127)]

    refused = run("calibrate", str(model), "--data", str(data), "-o", str(model))
    assert refused.status == 1 and "is the model itself" in refused.err
    assert model.read_bytes() == residual_model()
    np.savez(tmp_path / "none.npz", x_test=np.zeros((1, 9, 7, 3), np.float32))
    refused = run("calibrate", str(model), "--data", str(tmp_path / "none.npz"), "-o", str(output))
    assert refused.status == 1 and "has no array x_train" in refused.err

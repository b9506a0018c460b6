# SPDX-License-Identifier: Apache-2.0
"""Training goes on from an exported file as if it had never stopped."""

from __future__ import annotations

import random
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mcutrain.trainer.errors import ModelError, SchemeError
from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.metadata import MAX_METADATA
from mcutrain.trainer.tflite.patch import TflitePatch
from mcutrain.trainer.tflite.reader import parse
from mcutrain.trainer.training_state import TrainingState, resumed
from tests.support.damage import mutate
from tests.support.exports import (
    PARTIAL,
    SCHEMES,
    assert_micro_equals,
    assert_states_equal,
    exported,
    going_on,
    sample_of,
    train,
)
from tests.support.native import NativeModel
from tests.support.small_models import residual_model


@pytest.mark.parametrize("name", SCHEMES)
@pytest.mark.parametrize("classes", [None, 3])
def test_training_goes_on_as_if_it_had_never_stopped(name: str, classes: int | None) -> None:
    data = residual_model()
    plan = make_plan(parse(data, "m"), PlanOptions(SCHEMES[name], classes))
    whole = train(Interpreter(plan, seed=11), 0, 40)
    half = train(
        Interpreter(make_plan(parse(data, "m"), PlanOptions(SCHEMES[name], classes)), 11), 0, 20
    )
    new = exported(data, half)
    continued = going_on(new)

    assert continued.steps == 20
    assert_states_equal(continued, half)
    assert_states_equal(train(continued, 20, 40), whole)
    # What is exported after going on is the export of the whole run, and does not grow.
    assert len(exported(new, continued)) == len(new)
    assert_micro_equals(exported(new, continued), whole)


@pytest.mark.parametrize("update", ["head", "last:2"])
def test_a_real_model_goes_on(update: str, models: Path) -> None:
    data = (models / "mlperf-tiny/kws_ref_model.tflite").read_bytes()
    whole = train(Interpreter(make_plan(parse(data, "m"), PlanOptions(update)), seed=2), 0, 8)
    half = train(Interpreter(make_plan(parse(data, "m"), PlanOptions(update)), seed=2), 0, 4)

    assert_states_equal(train(going_on(exported(data, half)), 4, 8), whole)


def test_a_device_goes_on(tmp_path: Path) -> None:
    data = residual_model()
    half = train(Interpreter(make_plan(parse(data, "m"), PlanOptions(PARTIAL)), seed=3), 0, 12)
    continued = going_on(exported(data, half))
    device = NativeModel(continued.plan, tmp_path)
    device.reset(3)

    assert device.digest() == half.digest()
    for k in range(12, 16):
        sample = sample_of(continued.plan, k)
        assert device.step(sample, k % 4) == continued.step(sample, k % 4)
    assert device.digest() == continued.digest()


def test_the_channels_that_learned_go_on_learning() -> None:
    """Training that makes other channels the greatest does not change which ones learn."""
    data = residual_model()
    trained = Interpreter(make_plan(parse(data, "m"), PlanOptions(PARTIAL)), seed=1)
    layer = next(n for n in trained.plan.forward if n.name == "conv_2d_2")
    learned = layer.op.split_inputs(layer)[2]  # type: ignore[attr-defined]
    trained.state[learned] = np.zeros_like(trained.state[learned])
    continued = going_on(exported(data, trained))
    again = next(n for n in continued.plan.forward if n.name == "conv_2d_2")

    assert again.op == layer.op
    by_norm = make_plan(parse(exported(data, trained), "m"), PlanOptions(PARTIAL))
    assert next(n for n in by_norm.forward if n.name == "conv_2d_2").op != layer.op


@pytest.mark.parametrize("channels", [(3, 2), (1, 1), (8,), (-1, 2)])
def test_channels_that_a_layer_has_not_are_refused(channels: tuple[int, ...]) -> None:
    scheme = replace(PARTIAL, channels={2: channels})

    with pytest.raises(SchemeError, match=r"layer 2 \(conv_2d_2\) that are not ascending"):
        make_plan(parse(residual_model(), "m"), PlanOptions(scheme))


def test_options_come_back() -> None:
    data = residual_model()
    trained = Interpreter(make_plan(parse(data, "m"), PlanOptions("head")), 8)
    new = exported(data, trained, loss="cross-entropy", names=["a", "ä"])
    stored = TrainingState.unpack(parse(new, "m").training_state or b"")

    assert stored.options == {"loss": "cross-entropy", "names": ["a", "ä"]}
    assert (stored.seed, stored.steps, stored.scheme.name) == (8, 0, "head")


def test_a_state_of_other_weights_or_another_scheme_is_refused() -> None:
    data = residual_model()
    trained = train(Interpreter(make_plan(parse(data, "m"), PlanOptions("full")), 8), 0, 5)
    model = parse(exported(data, trained), "m")
    stored = TrainingState.unpack(model.training_state or b"")

    with pytest.raises(ModelError, match="not that of the model's weights"):
        resumed(make_plan(parse(data, "m"), PlanOptions("full")), stored)
    with pytest.raises(ModelError, match="resume with the scheme"):
        resumed(make_plan(model, PlanOptions("head")), stored)
    for spoilt in ([1, 2, 3, 4], [1, 2, 128, 256]):
        arrays = (*stored.arrays[:-1], np.array(spoilt, np.uint32))
        with pytest.raises(ModelError, match="out of range"):
            resumed(make_plan(model, PlanOptions("full")), replace(stored, arrays=arrays))


@pytest.mark.slow
def test_damaged_training_state_is_a_model_error() -> None:
    trained = Interpreter(make_plan(parse(residual_model(), "m"), PlanOptions(PARTIAL)))
    raw = TrainingState.of(trained.plan, trained.state, {"a": [1, {"b": 2}]}).pack()
    assert TrainingState.unpack(raw).pack() == raw
    rng = random.Random(1)
    for k in range(0, len(raw), 7):
        with pytest.raises(ModelError):
            TrainingState.unpack(raw[:k])
    for _ in range(400):
        # With a CRC that fits, so that the checks behind it are reached.
        spoilt = mutate(raw[:-4] + bytes(4), rng)[:-4]
        spoilt += struct.pack("<I", zlib.crc32(spoilt))
        try:
            stored = TrainingState.unpack(spoilt)
            resumed(make_plan(parse(residual_model(), "m"), PlanOptions(PARTIAL)), stored)
        except ModelError:
            pass


@pytest.mark.slow
def test_too_much_metadata_is_refused() -> None:
    patch = TflitePatch(residual_model())
    for k in range(MAX_METADATA + 1):
        patch.set_metadata(f"{k}", b"x")

    with pytest.raises(ModelError, match="4097 metadata entries"):
        parse(patch.finish(), "m")

# SPDX-License-Identifier: Apache-2.0
"""Samples of models that keep state: one input, or several that follow each other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mcutrain.host.boards import chip_of
from mcutrain.host.building.firmware import build
from mcutrain.host.building.target import Target
from mcutrain.host.prediction.samples import random_samples
from mcutrain.host.training.runners import simulated
from mcutrain.host.training.verify import Verifier
from mcutrain.trainer.calibration import calibrate
from mcutrain.trainer.chip import GENERIC, Chip
from mcutrain.trainer.errors import ModelError, SchemeError
from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.ops.sgd import LearningRate
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import parse
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.micro import Micro
from tests.support.native import NativeModel, status
from tests.support.random_models import random_model
from tests.support.random_recurrent import RECURRENT, two_layers_around_svdf
from tests.support.simulated_boards import board_param
from tests.support.small_models import residual_model
from tests.support.steps import assert_steps_are_equal

STEPS = 4  # inputs of a sample
TWO_STAGES = 6  # the seed of a model with a second state behind a layer


def plan_of(kind: str, seed: int, steps: int = STEPS, chip: Chip = GENERIC) -> TrainingPlan:
    model = parse(random_model(kind, seed), "stream")
    return make_plan(model, PlanOptions("head", sequence_length=steps), chip)


def sample_of(plan: TrainingPlan, seed: int) -> np.ndarray:
    shape = plan.task.input.type.shape
    return np.random.RandomState(seed).randint(-128, 128, shape).astype(np.int8)


def logits_of(micro: Micro, plan: TrainingPlan) -> np.ndarray:
    return micro.tensor(plan.task.logits.file_index).ravel()


@pytest.mark.parametrize("kind", RECURRENT)
@pytest.mark.parametrize("steps", [1, STEPS])
def test_a_sample_is_inferences_of_a_fresh_tflite_micro(kind: str, steps: int) -> None:
    for seed in range(2):
        plan, micro = plan_of(kind, seed, steps), Micro(random_model(kind, seed))
        reference = Interpreter(plan)
        for again in range(2):  # no sample leaves anything to the next
            sample = sample_of(plan, again)
            micro.begin()
            for frame in sample.reshape(steps, -1):
                micro.go_on(frame.reshape(parse(random_model(kind, seed), "m").input.type.shape))

            np.testing.assert_array_equal(reference.infer(sample), logits_of(micro, plan))


@pytest.mark.slow
@pytest.mark.parametrize("kind", RECURRENT)
def test_generated_c_trains_and_streams_with_the_same_bits(kind: str, tmp_path: Path) -> None:
    plan = plan_of(kind, 3)
    assert_steps_are_equal(plan, tmp_path, 3)
    micro, device = Micro(random_model(kind, 3)), NativeModel(plan, tmp_path)
    device.call("reset", 1)
    rng = np.random.RandomState(2)
    shape = parse(random_model(kind, 3), "m").input.type.shape
    micro.begin()
    for k in range(9):
        frame = rng.randint(-128, 128, shape).astype(np.int8)
        micro.go_on(frame)
        assert device.push("push", 0, frame.ravel()) == 0
        assert status(device.call("infer_next")) == 0
        found = device[plan.task.logits].ravel()
        np.testing.assert_array_equal(found, logits_of(micro, plan), f"input {k}")


@pytest.mark.slow
def test_a_stream_goes_on_from_a_sample_and_begins_anew(tmp_path: Path) -> None:
    plan = plan_of("READ_VARIABLE", 1)
    device, reference = NativeModel(plan, tmp_path), Interpreter(plan)
    device.call("reset", 1)
    longer = sample_of(plan_of("READ_VARIABLE", 1, STEPS + 1), 5).reshape(STEPS + 1, -1)
    device.push("push", 0, longer[:STEPS].ravel().copy())
    assert status(device.call("infer")) == 0
    device.push("push", 0, longer[STEPS].copy())
    assert status(device.call("infer_next")) == 0
    expected = Interpreter(plan_of("READ_VARIABLE", 1, STEPS + 1)).infer(longer)
    np.testing.assert_array_equal(device[plan.task.logits].ravel(), expected)

    assert status(device.call("begin_sequence")) == 0
    for frame in longer[:STEPS]:
        device.push("push", 0, frame.copy())
        assert status(device.call("infer_next")) == 0
    expected = reference.infer(longer[:STEPS])
    np.testing.assert_array_equal(device[plan.task.logits].ravel(), expected)

    assert status(device.call("infer_next")) != 0  # no input has come
    device.push("push", 0, longer[:2].ravel().copy())
    assert status(device.call("infer_next")) != 0  # two have
    device.push("push", 0, longer[:STEPS].ravel().copy())
    assert status(device.call("begin", 0)) == 0
    assert status(device.call("begin_sequence")) == status(device.call("infer_next")) != 0  # busy


@pytest.mark.slow
def test_a_model_without_state_has_no_sequence(tmp_path: Path) -> None:
    model = parse(residual_model(), "small")
    device = NativeModel(make_plan(model), tmp_path)
    device.call("reset", 1)
    assert status(device.call("begin_sequence")) == status(device.call("infer_next")) != 0

    with pytest.raises(ModelError, match="keeps nothing from input to input: a sample is one"):
        make_plan(model, PlanOptions(sequence_length=2))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("board", "kind"),
    [board_param("mps2_an386", kind, is_long=kind != "READ_VARIABLE") for kind in RECURRENT],
)
def test_steps_on_a_cortex_m4_have_the_same_bits(board: str, kind: str) -> None:
    built = build(plan_of(kind, 3, chip=chip_of(board)), Target.parse(f"sim:{board}"))
    verifier = Verifier(built.plan, 1)
    with simulated(built) as runner:
        runner.reset(1)
        for each in (runner, verifier):
            each.set_learning_rate(LearningRate.from_real(2.0**-6))
        for sample, target in random_samples(built.plan, 3):
            loss, digest = runner.step(sample, target, True)
            assert verifier.step(sample, target, loss, digest)


def test_what_lies_before_a_layer_with_state_does_not_learn() -> None:
    model = parse(random_model("READ_VARIABLE", TWO_STAGES), "stream")
    names = [node.name for node in model.weighted]
    whole = make_plan(model, PlanOptions("full"))
    behind = make_plan(model, PlanOptions("full", sequence_length=2))

    assert names == [t.name.removesuffix("_w") for t in whole.learned]
    assert names[1:] == [t.name.removesuffix("_w") for t in behind.learned]


def test_a_layer_before_an_operator_without_a_gradient_is_refused_by_name() -> None:
    model = parse(two_layers_around_svdf(), "svdf")
    with pytest.raises(SchemeError) as refused:
        make_plan(model, PlanOptions("full"))

    assert "fully_connected_0 learn, and svdf_1 (SVDF) behind it has no gradient" in str(
        refused.value
    )
    assert "last:K with K up to 1" in str(refused.value)
    assert make_plan(model, PlanOptions("head")).learned


def test_the_arithmetic_is_another_with_another_sequence_or_first_value() -> None:
    hashes = {
        plan_of("READ_VARIABLE", seed, steps).numerics_hash
        for seed in (0, 1)
        for steps in (1, 2, 3)
    }

    assert len(hashes) == 6
    assert plan_of("SVDF", 0).numerics_hash == plan_of("SVDF", 0).numerics_hash


def test_a_part_behind_the_states_has_none_and_learns_the_same() -> None:
    model = parse(random_model("READ_VARIABLE", TWO_STAGES), "stream")
    last = model.weighted[-1].inputs[0].label
    behind = make_plan(model, PlanOptions("head", start=last))
    whole = plan_of("READ_VARIABLE", TWO_STAGES)
    sample = sample_of(whole, 3)
    latent = Interpreter(whole).latent_of(sample)

    assert whole.latents.tensor is not None
    np.testing.assert_array_equal(
        Interpreter(behind).infer(latent.reshape(-1)[: behind.task.input.type.size]),
        Interpreter(whole).infer(sample),
    )
    with pytest.raises(ModelError, match="keeps nothing"):
        make_plan(model, PlanOptions("head", start=last, sequence_length=2))


def test_calibration_leaves_a_model_with_state_alone() -> None:
    data = random_model("READ_VARIABLE", 1)
    samples = np.zeros((2, parse(data, "m").input.type.size), np.int8)
    with pytest.raises(ModelError, match="keeps state from input to input"):
        calibrate(data, samples)


def test_plans_of_one_model_have_nodes_of_their_own() -> None:
    model = parse(random_model("READ_VARIABLE", 1), "stream")
    options = PlanOptions(sequence_length=2)
    plain, on_dsp = (make_plan(model, options, chip) for chip in (GENERIC, chip_of("mps2_an386")))

    assert not plain.needs
    assert on_dsp.needs
    assert sum(node.op.macs(node) for node in plain.graph.nodes) == plain.step_macs


def test_one_input_of_a_stream_is_noted() -> None:
    noted = [note.text for note in plan_of("READ_VARIABLE", 1, steps=1).notes]

    assert any("--sequence-length N takes N that follow each other" in text for text in noted)
    for plan in (plan_of("READ_VARIABLE", 1), plan_of("UNIDIRECTIONAL_SEQUENCE_LSTM", 1, steps=1)):
        assert not any("--sequence-length" in note.text for note in plan.notes)

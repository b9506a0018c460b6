# SPDX-License-Identifier: Apache-2.0
"""A step from the latent has the bits of a step on the sample: reference, C, link, Cortex-M4."""

from __future__ import annotations

import ctypes
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from mcutrain.codegen.program import lay_out
from mcutrain.host.building.firmware import build
from mcutrain.host.building.source import build_hash
from mcutrain.host.building.target import Target
from mcutrain.host.cli.app import app
from mcutrain.host.cost import measured
from mcutrain.host.errors import DeviceError
from mcutrain.host.link.protocol import Message, Status
from mcutrain.host.training.dataset import Dataset
from mcutrain.host.training.latents import DEVICE, HOST, CachedRunner, place_of
from mcutrain.host.training.loop import train
from mcutrain.host.training.runners import ReferenceRunner, simulated, with_latents
from mcutrain.host.training.training_options import TrainingOptions
from mcutrain.trainer.errors import Error, ModelError
from mcutrain.trainer.graph.tensor import Array, Role
from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.model import Model
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.planner.row_region import RowRegion
from mcutrain.trainer.tflite.reader import load, parse
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.autoencoder import autoencoder
from tests.support.awkward_model import awkward_model
from tests.support.command import AT_A_RATE
from tests.support.latent_slots import with_slots
from tests.support.latent_steps import FromLatent, assert_latents_train_alike
from tests.support.marks import sampled
from tests.support.native import NativeModel
from tests.support.paths import MCUNET, MCUNET_49KB, WATCH
from tests.support.random_models import samples
from tests.support.random_networks import random_network
from tests.support.small_models import residual_model, write_dataset

MODEL = WATCH / "watch.tflite"
UPDATES = ("head", "last:2", "bias", "full")


def small(update: str = "head", **options: object) -> TrainingPlan:
    return make_plan(parse(residual_model(), "small"), PlanOptions(update, **options))  # type: ignore[arg-type]


def reconstructing() -> TrainingPlan:
    """An autoencoder whose last layer alone learns: its target is made of the input."""
    return make_plan(parse(autoencoder(), "auto"), PlanOptions("head", loss="reconstruction"))


@pytest.mark.parametrize(
    ("update", "latent", "prefix"),
    [("head", "reshape_5", 6), ("last:2", "conv_2d_0", 1), ("bias", None, 0), ("full", None, 0)],
)
def test_the_latent_is_the_last_tensor_that_all_else_follows_from(
    update: str, latent: str | None, prefix: int
) -> None:
    """With last:2 the residual add, behind the layer that learns, reads the stem."""
    plan = small(update)

    assert (plan.latents.tensor.name if plan.latents.tensor else None) == latent
    inside = [n.op.nodes if isinstance(n.op, RowRegion) else (n,) for n in plan.latents.prefix]
    assert [n for nodes in inside for n in nodes] == plan.forward[:prefix]


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("model", [parse(residual_model(), "small"), awkward_model()])
def test_nothing_before_the_latent_is_read_behind_it(model: Model, update: str) -> None:
    plan = make_plan(model, PlanOptions(update))
    behind = plan.graph.nodes[len(plan.latents.prefix) :]
    before = {plan.task.input, *(t for node in plan.latents.prefix for t in node.outputs)}
    read = {t for node in behind for t in node.inputs} & before

    assert read == {plan.latents.tensor} if plan.latents.tensor else plan.task.input in read
    changing = {t for node in plan.latents.prefix for t in node.inputs}
    assert not any(t.role in (Role.PARAM, Role.STATE) for t in changing)


def test_a_target_made_of_the_input_leaves_no_latent(tmp_path: Path) -> None:
    plan = reconstructing()
    device = NativeModel(plan, tmp_path)

    assert plan.latents.tensor is None and plan.latents.prefix == ()
    assert [device.call(f) for f in ("prefix", "infer_from_latent")] == [Status.RANGE] * 2
    assert [device.call(f"{f}_from_latent", 0) for f in ("begin", "step")] == [Status.RANGE] * 2
    with pytest.raises(ValueError, match="no layers to skip"):
        Interpreter(plan).latent_of(np.zeros(plan.task.input.type.shape, np.int8))


FROM_LATENTS: dict[str, Callable[[], TrainingPlan]] = {
    "head": lambda: small("head"),
    "residual": lambda: small("last:2"),
    "mse": lambda: small("head", loss="mse"),
    "spare": lambda: small("head", classes=2, spare_classes=3),
    "awkward": lambda: make_plan(awkward_model(), PlanOptions("last:2")),
    "8 bits": lambda: small("last:2", errors="e8", weights="int8"),
    "sum of 4": lambda: small("last:2", accumulate=4),
}


@pytest.mark.parametrize("kind", FROM_LATENTS)
def test_a_step_from_the_latent_has_the_bits_of_a_whole_one(kind: str, tmp_path: Path) -> None:
    assert_latents_train_alike(FROM_LATENTS[kind](), tmp_path, 12)


def test_part_of_a_layer_may_learn_behind_the_latent(tmp_path: Path) -> None:
    scheme = tmp_path / "part.toml"
    scheme.write_text("head = false\n[weights]\n2 = 0.4\n")

    assert_latents_train_alike(make_plan(awkward_model(), PlanOptions(str(scheme))), tmp_path, 8)


@pytest.mark.parametrize("seed", sampled(range(6), 2))
def test_random_networks_train_alike_from_latents(seed: int, tmp_path: Path) -> None:
    plan = make_plan(
        parse(random_network(seed), "net"), PlanOptions("head" if seed % 2 else "last:2")
    )

    assert plan.latents.tensor is not None
    assert_latents_train_alike(plan, tmp_path, 6)


@pytest.mark.parametrize("update", ["head", "last:2"])
def test_the_watch_trains_alike_from_latents(update: str, tmp_path: Path) -> None:
    assert_latents_train_alike(make_plan(load(MODEL), PlanOptions(update)), tmp_path, 8)


@pytest.mark.slow
@pytest.mark.parametrize("update", ["head", MCUNET_49KB])
def test_a_real_model_trains_alike_from_latents(update: str, models: Path, tmp_path: Path) -> None:
    spec = str(models / update) if update.endswith(".toml") else update

    assert_latents_train_alike(make_plan(load(models / MCUNET), PlanOptions(spec, 10)), tmp_path, 3)


def quiet(progress: object) -> None:
    pass


def random_data(plan: TrainingPlan, count: int) -> Dataset:
    drawn = samples(plan.task.input.type.shape, count, seed=6)[3:]
    x: Array = np.stack([sample.reshape(-1) for sample in drawn])
    y = (
        np.arange(count) * 5 % plan.classes
        if plan.takes_label
        else x[:, : plan.task.logits.type.size]
    )
    return Dataset(x, y, x[:2], y[:2])


@pytest.mark.board
@pytest.mark.parametrize("target", ["native", "sim:mps2_an386"])
@pytest.mark.parametrize("loss", ["cross-entropy", "mse"])
def test_a_device_trains_alike_from_latents(target: str, loss: str) -> None:
    """Whole runs: each sample is seen three times, its prefix runs once."""
    plan = small("last:2", loss=loss)
    data, options = random_data(plan, 5), TrainingOptions(epochs=3, seed=3, verify=True)
    expected = train(plan, data, ReferenceRunner(plan), options, quiet)
    with simulated(build(plan, Target.parse(target))) as inner:
        runner = with_latents(inner, HOST)
        result = train(plan, data, runner, options, quiet)

    assert result.difference is None, result.difference
    assert result.verified_steps == result.steps == 15
    assert (result.state, result.losses) == (expected.state, expected.losses)
    assert (result.before, result.after) == (expected.before, expected.after)
    assert isinstance(runner, CachedRunner) and plan.latents.tensor is not None
    saving = runner.saving
    assert (saving.computed, saving.reused) == (5, 15 - 5 + 2 * 2)
    assert saving.kept_bytes == 5 * plan.latents.tensor.type.nbytes


@pytest.mark.slow
@pytest.mark.board
@pytest.mark.parametrize(
    ("update", "place"),
    [
        pytest.param("head", HOST, marks=pytest.mark.exhaustive),
        pytest.param("last:2", HOST, marks=pytest.mark.exhaustive),
        ("head", DEVICE),
    ],
)
def test_the_watch_trains_alike_on_a_cortex_m4(update: str, place: str) -> None:
    """In the device's RAM there is room for three of four samples."""
    plan = with_slots(make_plan(load(MODEL), PlanOptions(update)), 3 if place == DEVICE else 0)
    data, options = random_data(plan, 4), TrainingOptions(epochs=2, verify=True)
    expected = train(plan, data, ReferenceRunner(plan), options, quiet)
    with simulated(build(plan, Target.parse("sim:mps2_an386"))) as inner:
        result = train(plan, data, with_latents(inner, place), options, quiet)

    assert result.difference is None, result.difference
    assert result.state == expected.state


def test_a_device_without_a_latent_refuses_one() -> None:
    plan = reconstructing()
    with simulated(build(plan, Target.parse("native"))) as runner:
        for message, fields, data in (
            (Message.LATENT, (0,), b""),
            (Message.LATENT, (0,), b"x"),
            (Message.PREFIX, (), b""),
        ):
            with pytest.raises(DeviceError) as refusal:
                runner.device._request(message, *fields, data=data)
            assert refusal.value.status == Status.RANGE


def test_a_latent_in_place_is_forgotten_by_a_reset() -> None:
    """A runner writes it again, whatever the device has done since."""
    plan = small("last:2")
    (sample, other) = samples(plan.task.input.type.shape, 2, seed=1)[-2:]
    label = np.array(1)
    with simulated(build(plan, Target.parse("native"))) as runner:
        reference = ReferenceRunner(plan)
        for disturb in (
            lambda r: r.reset(0),
            lambda r: r.load(r.state()),
            lambda r: r.predict(other),
            lambda r: r.step(other, label, False),
            lambda r: r.latent_of(other),
        ):
            found = []
            for trained in (runner, reference):
                trained.reset(0)
                latent = trained.latent_of(sample)
                disturb(trained)
                found.append(trained.step_from_latent(latent, label, True))

            assert found[0] == found[1]


@pytest.mark.parametrize("loss", ["cross-entropy", "mse"])
def test_kept_latents_train_alike(loss: str) -> None:
    plan = with_slots(small("last:2", loss=loss), 3)
    data, options = random_data(plan, 5), TrainingOptions(epochs=3, seed=3, verify=True)
    expected = train(plan, data, ReferenceRunner(plan), options, quiet)
    with simulated(build(plan, Target.parse("native"))) as inner:
        runner = with_latents(inner, DEVICE)
        result = train(plan, data, runner, options, quiet)

    assert result.difference is None, result.difference
    assert (result.state, result.losses) == (expected.state, expected.losses)
    assert isinstance(runner, CachedRunner)
    # Three of five samples, twice each; and one of the two test samples is the second, kept.
    assert runner.saving.computed == 3
    assert runner.saving.place == DEVICE


@pytest.mark.board
def test_slots_are_priced_and_only_then_linked() -> None:
    plan = small("last:2")
    target = Target.parse("sim:mps2_an386")
    bare, roomy = (measured(build(p, target)) for p in (plan, with_slots(plan, 7)))
    assert plan.latents.tensor is not None
    wanted = 7 * (plan.latents.tensor.type.nbytes + 2)

    assert bare["latent_slot_bytes"] is None
    assert roomy["latent_slot_bytes"] == wanted
    # What lies behind the slots is aligned again.
    assert wanted <= roomy["sram_bytes"] - bare["sram_bytes"] <= wanted + 8


def test_builds_with_other_slots_are_other_builds() -> None:
    hashes = {build_hash(lay_out(with_slots(small(), n)), "native") for n in range(4)}

    assert len(hashes) == 4


def test_slots_are_refused_where_there_is_nothing_to_keep(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no latent to keep"):
        with_slots(small("full"), 1)
    plan = small("head")
    device = NativeModel(plan, tmp_path)
    label = ctypes.c_uint32()

    assert device.call("keep_latent", 0, 0) == Status.RANGE
    assert device._function("recall_latent")(0, ctypes.byref(label)) == Status.RANGE


def test_slots_hold_what_was_kept_and_nothing_else(tmp_path: Path) -> None:
    plan = with_slots(small("head"), 2)
    device, label = NativeModel(plan, tmp_path), ctypes.c_uint32()
    tail = FromLatent(device)
    (first, second) = samples(plan.task.input.type.shape, 2, seed=8)[-2:]

    def recall(slot: int) -> int:
        return int(device._function("recall_latent")(ctypes.c_uint32(slot), ctypes.byref(label)))

    assert recall(0) == recall(2) == Status.RANGE
    latents = []
    for slot, sample in enumerate((first, second)):
        latents.append(tail.latent_of(sample))
        assert device.call("keep_latent", slot, 3 - slot) == Status.OK
    assert device.call("keep_latent", 2, 0) == Status.RANGE
    assert device.call("keep_latent", 0, 4) == Status.LABEL
    for slot in (1, 0):
        assert recall(slot) == Status.OK
        assert label.value == 3 - slot
        assert plan.latents.tensor is not None
        np.testing.assert_array_equal(device[plan.latents.tensor], latents[slot])
    device.write_input(first)
    assert device.begin(1) == Status.OK
    assert device.call("keep_latent", 0, 0) == recall(0) == Status.BUSY


@pytest.mark.parametrize(
    ("asked", "update", "slots", "text"),
    [
        ("attic", "head", 0, "unknown place 'attic' for latents: give off, host, device"),
        ("host", "full", 0, "--latents host: with the scheme 'full' nothing is frozen"),
        ("device", "head", 0, "give --latent-slots N"),
    ],
)
def test_places_that_there_are_not_are_refused(
    asked: str, update: str, slots: int, text: str
) -> None:
    with pytest.raises(Error, match=text):
        place_of(asked, with_slots(small(update), slots), True)


@pytest.mark.parametrize(
    ("update", "pays", "expected"),
    [("head", True, HOST), ("head", False, "off"), ("full", True, "off")],
)
def test_latents_are_kept_where_that_pays(update: str, pays: bool, expected: str) -> None:
    assert place_of(None, small(update), pays) == expected


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    """A model and a data set."""
    (tmp_path / "small.tflite").write_bytes(residual_model())
    return str(tmp_path / "small.tflite"), str(write_dataset(tmp_path / "data.npz"))


def trained(files: tuple[str, str], *args: str) -> dict[str, Any]:
    """What `mcutrain train` prints as JSON, and what it wrote to standard error if it failed."""
    command = ["train", files[0], *AT_A_RATE, "--data", files[1], "--no-guard", "--json", *args]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.exception
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_training_tells_what_latents_saved(files: tuple[str, str]) -> None:
    """32 training and 12 test samples: 5 epochs, and inferences before and after."""
    args = ("--update", "last:2", "--epochs", "5", "--target", "native", "--verify")
    found, plain = trained(files, *args), trained(files, *args, "--latents", "off")
    saved = found["latents"]

    assert plain["latents"] is None
    assert found["losses"] == plain["losses"] and found["bit_exact"]
    assert (saved["place"], saved["computed"]) == ("host", 32 + 12)
    assert saved["reused"] == 5 * 32 + 2 * 12 - saved["computed"]
    assert saved["saved_macs"] == saved["reused"] * 4320
    assert trained(files, "--epochs", "1")["latents"] is None


@pytest.mark.board
def test_instructions_are_counted_from_latents_too(files: tuple[str, str]) -> None:
    args = ("--target", "sim:mps2_an386", "--epochs", "2", "--steps", "40", "--count-instructions")
    whole, cut = trained(files, *args), trained(files, *args, "--latents", "host")
    step, prefix, rest = (
        found[key]["mean"]
        for found, key in (
            (whole, "instructions_per_step"),
            (cut, "prefix_instructions"),
            (cut, "instructions_per_step_from_latent"),
        )
    )

    assert whole["latents"] is None and "prefix_instructions" not in whole
    assert whole["losses"] == cut["losses"]
    # A prefix and a step behind it are entered and left twice, by a few instructions. Means are
    # over the samples that were computed and over all steps, so they differ by more than that.
    assert step == pytest.approx(prefix + rest, rel=0.01)
    saved = cut["latents"]
    assert saved["saved_instructions"] == round(prefix * saved["reused"])


@pytest.mark.board
@pytest.mark.exhaustive
def test_slots_that_were_asked_for_are_used_where_instructions_are_counted(
    files: tuple[str, str],
) -> None:
    args = ("--target", "sim:mps2_an386", "--epochs", "2", "--steps", "40", "--count-instructions")
    found = trained(files, *args, "--latent-slots", "9")
    latents = found["latents"]

    assert (latents["place"], latents["computed"]) == ("device", 9)
    assert latents["reused"] > 0 and latents["saved_instructions"] > 0
    rest, whole = found["instructions_per_step_from_latent"], found["instructions_per_step"]
    assert rest["mean"] < whole["mean"]
    off = trained(files, *args, "--latent-slots", "9", "--latents", "off")
    assert off["latents"] is None and off["losses"] == found["losses"]


def test_a_build_with_slots_trains_from_them(files: tuple[str, str]) -> None:
    args = ("--epochs", "2", "--target", "native", "--verify")
    found = trained(files, *args, "--latents", "device", "--latent-slots", "9")

    assert found["bit_exact"]
    assert (found["latents"]["place"], found["latents"]["computed"]) == ("device", 9)
    assert found["cost"]["latent_slot_bytes"] == 9 * (8 + 2)


def test_a_stream_is_trained_from_the_command_line(files: tuple[str, str]) -> None:
    args = ("--target", "native", "--verify", "--replay", "6", "--replay-ratio", "2")
    plain, kept = trained(files, *args), trained(files, *args, "--latents", "device")

    assert plain["steps"] == kept["steps"] == 32 * 3
    assert plain["bit_exact"] and kept["bit_exact"]
    assert plain["losses"] == kept["losses"]
    assert kept["cost"]["latent_slot_bytes"] == 6 * (8 + 2)


def test_a_reference_has_no_ram_to_keep_latents_in(files: tuple[str, str]) -> None:
    slots = ("--latents", "device", "--latent-slots", "2")
    command = ["train", files[0], *AT_A_RATE, "--data", files[1], *slots]
    done = CliRunner().invoke(app, command)

    assert isinstance(done.exception, Error)
    assert "--latents device needs a device" in str(done.exception)

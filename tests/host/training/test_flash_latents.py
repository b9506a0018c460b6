# SPDX-License-Identifier: Apache-2.0
"""Latents in flash: constants of the build, recalled as those in RAM, and as exact."""

from __future__ import annotations

import ctypes
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from mcutrain.codegen.emit import emit_source
from mcutrain.codegen.manifest import manifest
from mcutrain.codegen.program import lay_out
from mcutrain.host.boards import chip_of
from mcutrain.host.building.firmware import build
from mcutrain.host.building.source import build_hash
from mcutrain.host.building.target import Target
from mcutrain.host.cli.app import app
from mcutrain.host.cost import measured, planned
from mcutrain.host.errors import DeviceError
from mcutrain.host.link.protocol import Message, Status
from mcutrain.host.training.dataset import load_dataset
from mcutrain.host.training.flash_latents import with_flash_latents
from mcutrain.host.training.latents import DEVICE, CachedRunner, place_of
from mcutrain.host.training.loop import train
from mcutrain.host.training.replay import train_stream
from mcutrain.host.training.runners import ReferenceRunner, simulated, with_latents
from mcutrain.host.training.training_options import TrainingOptions
from mcutrain.trainer.errors import BudgetError, DataError, Error, ModelError
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.latent import FlashLatents
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.planner.memory import ARENA
from mcutrain.trainer.tflite.reader import parse
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.command import AT_A_RATE
from tests.support.latent_slots import with_slots
from tests.support.native import NativeModel
from tests.support.random_models import samples
from tests.support.small_models import SHAPE, residual_model

OLD = 4  # samples in flash


def small(update: str = "last:2", **options: object) -> TrainingPlan:
    return make_plan(parse(residual_model(), "small"), PlanOptions(update, **options))  # type: ignore[arg-type]


def drawn(count: int, seed: int = 6) -> Array:
    return np.stack([x.reshape(SHAPE[1:]) for x in samples(SHAPE, count, seed)[3:]])


def write(folder: Path, **arrays: object) -> Path:
    path = folder / "data.npz"
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


def old_data(folder: Path, count: int = OLD, plan: TrainingPlan | None = None) -> Path:
    """Old samples, and new ones of which the last two are old ones again."""
    x, y = drawn(count + 5), np.arange(count + 5) * 3 % 4
    if plan is not None and not plan.takes_label:
        y = x.reshape(len(x), -1)[:, : plan.task.logits.type.size]
    new = [*range(count, count + 5), count - 1, 0]
    return write(folder, x_old=x[:count], y_old=y[:count], x_train=x[new], y_train=y[new],
                 x_test=x[-2:], y_test=y[-2:])  # fmt: skip


def in_flash(
    folder: Path, slots: int = 2, count: int = OLD, plan: TrainingPlan | None = None
) -> TrainingPlan:
    plan = with_slots(plan or small(), slots)
    return with_flash_latents(plan, old_data(folder, count, plan))


def quiet(progress: object) -> None:
    pass


def recall(device: NativeModel, slot: int) -> tuple[int, int]:
    """Status and label."""
    label = ctypes.c_uint32(77)
    status = device._function("recall_latent")(ctypes.c_uint32(slot), ctypes.byref(label))
    return int(status), label.value


@pytest.mark.parametrize("slots", [0, 2])
def test_the_c_trains_from_flash_as_the_reference_from_samples(slots: int, tmp_path: Path) -> None:
    plan = in_flash(tmp_path, slots)
    assert plan.latents.flash is not None and plan.latents.tensor is not None
    reference, device = Interpreter(plan, seed=5), NativeModel(plan, tmp_path)
    device.reset(5)

    for index in (3, 0, 2, 1, 3):
        label = index * 3 % 4
        sample = plan.latents.flash.samples[index].reshape(plan.task.input.type.shape)
        device.regions[ARENA][:] = 0xA5
        assert recall(device, slots + index) == (Status.OK, label)
        np.testing.assert_array_equal(device[plan.latents.tensor], reference.latent_of(sample))
        expected = reference.step(sample, label)
        assert device.call("step_from_latent", label) == Status.OK
        loss = device.call("loss")
        assert (loss.sum, loss.distance) == (expected.sum, expected.distance)
        assert device.digest() == reference.digest()
    for tensor in plan.learning.state:
        np.testing.assert_array_equal(device[tensor], reference.state[tensor])


@pytest.mark.parametrize("slots", [0, 2])
def test_slots_in_flash_are_behind_those_in_ram_and_read_only(slots: int, tmp_path: Path) -> None:
    plan = in_flash(tmp_path, slots)
    device = NativeModel(plan, tmp_path)
    device.write_input(drawn(1))
    assert device.call("prefix") == Status.OK

    for slot in (slots, slots + OLD - 1, slots + OLD, 2**32 - 1):
        assert device.call("keep_latent", slot, 0) == Status.RANGE
    for slot in range(slots):
        assert recall(device, slot) == (Status.RANGE, 77)  # empty, so nothing is put in place
        assert device.call("keep_latent", slot, 3 - slot) == Status.OK
        assert recall(device, slot) == (Status.OK, 3 - slot)
    assert [recall(device, slots + k)[1] for k in range(OLD)] == [0, 3, 2, 1]
    for slot in (slots + OLD, slots + OLD + 1, 2**31, 2**32 - 1):
        assert recall(device, slot) == (Status.RANGE, 77)
    device.write_input(drawn(1))
    assert device.begin(1) == Status.OK
    assert recall(device, slots) == (Status.BUSY, 77)


@pytest.mark.board
@pytest.mark.parametrize(
    ("loss", "slots", "target"),
    [
        ("cross-entropy", 0, "native"),
        ("cross-entropy", 3, "sim:mps2_an386"),
        pytest.param("mse", 1, "native", marks=pytest.mark.exhaustive),
    ],
)
def test_a_device_trains_alike_from_flash(
    loss: str, slots: int, target: str, tmp_path: Path
) -> None:
    """Over the link, native and on a Cortex-M4; KEEP and RECALL beyond it are refused there."""
    plan = in_flash(tmp_path, slots, plan=small(loss=loss))
    data, options = (
        load_dataset(tmp_path / "data.npz", plan),
        TrainingOptions(epochs=2, verify=True),
    )
    assert data.x_old is not None and data.y_old is not None
    data = replace(data, x_train=np.concatenate([data.x_old, data.x_train]),
                   y_train=np.concatenate([data.y_old, data.y_train]))  # fmt: skip
    expected = train(plan, data, ReferenceRunner(plan), options, quiet)
    with simulated(build(plan, Target.parse(target))) as inner:
        runner = with_latents(inner, DEVICE)
        assert isinstance(runner, CachedRunner)
        result = train(plan, data, runner, options, quiet)
        assert runner.saving.computed == slots
        # Six of eleven samples are old ones, in both epochs; those in RAM in the second.
        assert runner.saving.reused >= 2 * 6 + slots
        inner.latent_of(data.x_train[0])
        for message, fields in (
            (Message.KEEP, (slots, 0)),
            (Message.KEEP, (slots + OLD, 0)),
            (Message.RECALL, (slots + OLD,)),
            (Message.RECALL, (2**32 - 1,)),
        ):
            with pytest.raises(DeviceError) as refusal:
                inner.device._request(message, *fields)
            assert refusal.value.status == Status.RANGE
        label = 3 if plan.takes_label else 0
        assert inner.device.recall_latent(slots + 1) == label

    assert result.difference is None, result.difference
    assert result.verified_steps == result.steps == 22
    assert (result.state, result.losses) == (expected.state, expected.losses)


def test_a_stream_takes_old_samples_from_flash(tmp_path: Path) -> None:
    plan = in_flash(tmp_path, 5)
    data, options = load_dataset(tmp_path / "data.npz", plan), TrainingOptions(seed=3, verify=True)
    expected, plain = train_stream(plan, data, ReferenceRunner(plan), 5, options, quiet)
    with simulated(build(plan, Target.parse("native"))) as inner:
        result, saving = train_stream(plan, data, inner, 5, options, quiet, place=DEVICE)

    assert result.difference is None, result.difference
    assert result.state == expected.state
    assert saving.computed <= plain.computed - OLD


@pytest.mark.board
@pytest.mark.parametrize(
    ("update", "count", "slots"),
    [
        pytest.param("last:2", 1, 0, marks=pytest.mark.exhaustive),
        ("head", 1, 2),
        pytest.param("last:2", OLD, 3, marks=pytest.mark.exhaustive),
    ],
)
def test_the_plan_prices_flash_as_the_linker_does(
    update: str, count: int, slots: int, tmp_path: Path
) -> None:
    """``measured`` compares the plan's constants with the linker map's."""
    plan = in_flash(tmp_path, slots, count, small(update))
    bare, full = planned(small(update)), measured(build(plan, Target.parse("sim:mps2_an386")))
    assert plan.latents.tensor is not None
    wanted = count * (plan.latents.tensor.type.nbytes + 2)

    assert bare["flash_latent_bytes"] is None
    assert full["flash_latent_bytes"] == wanted
    assert full["constant_bytes"] - bare["constant_bytes"] == wanted
    assert full["latent_slot_bytes"] == (slots * (plan.latents.tensor.type.nbytes + 2) or None)


@pytest.mark.board
@pytest.mark.exhaustive
def test_flash_is_no_ram(tmp_path: Path) -> None:
    target, plan = Target.parse("sim:mps2_an386"), small()
    bare, full = (measured(build(p, target)) for p in (plan, in_flash(tmp_path, 0)))

    assert full["sram_bytes"] - full["stack_bytes"] == bare["sram_bytes"] - bare["stack_bytes"]


def test_what_is_in_flash_makes_another_build_of_the_same_numerics(tmp_path: Path) -> None:
    plan = in_flash(tmp_path)
    flash = plan.latents.flash
    assert flash is not None
    other = FlashLatents(flash.samples, flash.latents, flash.labels[::-1].copy())
    plans = (with_slots(small(), 2), plan, plan.with_flash_latents(other))

    assert len({build_hash(lay_out(p), "native") for p in plans}) == 3
    assert len({p.numerics_hash for p in plans}) == 1
    assert [manifest(lay_out(p), bytes(8))["flash_latents"] for p in plans] == [0, OLD, OLD]
    bytes_of = plan.latents.tensor.type.nbytes if plan.latents.tensor else 0
    source = emit_source(lay_out(plan)).replace("MCT_IN_FLASH ", "")
    assert f"static const int8_t small_flash_latents[{OLD}][{bytes_of}] = {{" in source
    assert f"static const uint16_t small_flash_labels[{OLD}] = {{" in source


def test_training_samples_are_taken_where_there_are_no_old_ones(tmp_path: Path) -> None:
    x, y = drawn(3), np.array([2, 0, 1])
    plan = with_flash_latents(small(), write(tmp_path, x_train=x, y_train=y))

    assert plan.latents.flash is not None
    np.testing.assert_array_equal(plan.latents.flash.samples, x.reshape(3, -1))
    np.testing.assert_array_equal(plan.latents.flash.labels, y)


def test_old_samples_that_are_clipped_are_told_with_the_plan(tmp_path: Path) -> None:
    wide = drawn(3).astype(np.float32) * 1000
    plan = with_flash_latents(small(), write(tmp_path, x_old=wide, y_old=np.array([2, 0, 1])))

    assert [(note.about, note.kind) for note in plan.notes] == [("x_old", "clipped")]


@pytest.mark.parametrize(
    ("arrays", "text"),
    [
        ({}, "has no array x_train"),
        ({"x_old": drawn(2)}, "has no array y_old"),
        ({"x_old": drawn(2)[:0], "y_old": np.zeros(0, np.int64)}, "x_old is empty"),
        ({"x_old": drawn(2), "y_old": np.array([0, 4])}, "holds the label 4"),
        ({"x_old": drawn(2), "y_old": np.array([0, -1])}, "holds the label -1"),
        ({"x_old": drawn(2), "y_old": np.array([0])}, "has 2 samples, y_old 1 targets"),
        ({"x_old": drawn(2)[:, 1:], "y_old": np.array([0, 1])}, "has samples of shape"),
        ({"x_old": drawn(2) * np.float32("nan"), "y_old": np.array([0, 1])}, "NaN"),
        ({"x_old": drawn(2).astype(object), "y_old": np.array([0, 1])}, "not an .npz file"),
    ],
)
def test_files_that_do_not_fit_are_refused(
    arrays: dict[str, object], text: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=text):
        with_flash_latents(small(), write(tmp_path, **arrays))


@pytest.mark.parametrize("content", [b"", b"PK\3\4" + bytes(40), b"int8_t x[1];"])
def test_files_that_are_no_data_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bad.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"bad\.npz is not an \.npz file"):
        with_flash_latents(small(), path)
    with pytest.raises(DataError, match="cannot read"):
        with_flash_latents(small(), tmp_path / "none.npz")


def test_a_plan_without_a_latent_has_none_in_flash(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"--flash-latents .*: with the scheme 'full' nothing is"):
        with_flash_latents(small("full"), old_data(tmp_path))


def test_more_than_the_flash_holds_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plan = in_flash(tmp_path)
    needed = lay_out(plan).constant_bytes
    small = replace(chip_of("native"), flash_bytes=needed - 1)
    monkeypatch.setattr("mcutrain.host.building.target.chip_of", lambda name: small)

    with pytest.raises(BudgetError, match="fewer samples to --flash-latents") as refused:
        build(plan, Target.parse("native"))
    assert (refused.value.needed_bytes, refused.value.available_bytes) == (needed, needed - 1)


def test_a_device_with_latents_in_flash_alone_has_a_place_for_them(tmp_path: Path) -> None:
    assert place_of(DEVICE, in_flash(tmp_path, 0), False) == DEVICE
    with pytest.raises(Error, match="--flash-latents FILE"):
        place_of(DEVICE, small(), False)


def test_the_commands_take_latents_for_flash(tmp_path: Path) -> None:
    (tmp_path / "small.tflite").write_bytes(residual_model())
    model, data = str(tmp_path / "small.tflite"), str(old_data(tmp_path))
    flash = ["--update", "last:2", "--flash-latents", data, "--json"]

    def run(*command: str) -> dict[str, object]:
        done = CliRunner().invoke(app, [*command, *flash])
        assert done.exit_code == 0, done.exception
        found: dict[str, object] = json.loads(done.stdout)
        return found

    priced = run("plan", model)
    run("generate", model, "--output", str(tmp_path / "gen"))
    built = run("build", model)
    trained = run("train", model, *AT_A_RATE, "--data", data, "--target", "native",
                  "--latents", "device", "--verify", "--no-guard", "--balance", "off",
                  "--epochs", "2")  # fmt: skip

    document = json.loads((tmp_path / "gen" / "src" / "small.json").read_text())
    assert document["flash_latents"] == OLD
    assert document["constant_bytes"] == priced["constant_bytes"] == built["constant_bytes"]
    assert trained["bit_exact"]
    saved = trained["latents"]
    assert isinstance(saved, dict)
    # Two of seven training samples are old ones, in two epochs; nothing else is kept.
    assert (saved["computed"], saved["reused"]) == (0, 4)

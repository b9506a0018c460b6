# SPDX-License-Identifier: Apache-2.0
"""A plan that receives ahead: the next sample comes while a step runs, and no bit changes."""

from __future__ import annotations

import ctypes
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from mcutrain.codegen.emit import emit_source
from mcutrain.codegen.header import emit_header, emit_selection
from mcutrain.codegen.program import lay_out
from mcutrain.host.budget.fit import candidates, ram_bytes
from mcutrain.host.building.firmware import build
from mcutrain.host.building.source import build_hash
from mcutrain.host.building.target import Target
from mcutrain.host.cli.app import app
from mcutrain.host.cost import measured, planned, resident_rows
from mcutrain.host.kinds import ram_bytes as ram_by_kind
from mcutrain.host.link.device import Device
from mcutrain.host.link.protocol import Message, Status
from mcutrain.host.link.transport import SerialTransport
from mcutrain.host.request import Request
from mcutrain.host.search.budget import cost_of
from mcutrain.host.simulation.counts import read_counts
from mcutrain.host.simulation.simulator import simulate
from mcutrain.host.training.dataset import Dataset
from mcutrain.host.training.latents import HOST
from mcutrain.host.training.loop import train
from mcutrain.host.training.result import Result
from mcutrain.host.training.runners import DeviceRunner, ReferenceRunner, simulated, with_latents
from mcutrain.host.training.training_options import TrainingOptions
from mcutrain.trainer.errors import BudgetError, ModelError
from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import parse
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.command import AT_A_RATE
from tests.support.latent_slots import with_slots
from tests.support.native import NativeModel, push, status
from tests.support.noisy_line import NoisyLine
from tests.support.simulated_boards import board_param, one_board
from tests.support.small_models import residual_model, write_dataset

STEPS = 12


def plan_of(update: str = "head", **options: Any) -> TrainingPlan:
    return make_plan(
        parse(residual_model(), "small"), PlanOptions(update, **{"receive_ahead": True, **options})
    )


def drawn(plan: TrainingPlan, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Samples, and labels or targets."""
    rng = np.random.default_rng(1)
    x = rng.integers(-128, 128, (count, *plan.task.input.type.shape)).astype(np.int8)
    if plan.takes_label:
        return x, rng.integers(0, plan.classes, count)
    return x, rng.integers(-128, 128, (count, *plan.task.logits.type.shape)).astype(np.int8)


def ahead(folder: Path, update: str = "head", **options: Any) -> tuple[NativeModel, np.ndarray]:
    plan = plan_of(update, **options)
    return NativeModel(plan, folder), np.arange(plan.task.input.type.size).astype(np.int8)


@pytest.mark.parametrize("loss", ["cross-entropy", "mse"])
@pytest.mark.parametrize("update", ["head", "last:2", "full"])
def test_pieces_that_come_between_calls_train_bit_for_bit(
    update: str, loss: str, tmp_path: Path
) -> None:
    plan = plan_of(update, loss=loss)
    device, reference = NativeModel(plan, tmp_path), Interpreter(plan)
    x, y = drawn(plan, STEPS + 1)
    rng = np.random.default_rng(2)
    device.write_input(x[0])
    device.write_target(y[0])
    for k in range(STEPS):
        assert status(device.begin(int(y[k]) if plan.takes_label else 0)) == Status.OK
        following, at = x[k + 1].reshape(-1), 0
        device.write_target(y[k + 1])
        while not device.run(1):
            part = following[at : at + int(rng.integers(0, 60))]
            assert push(device, at, part) == Status.OK
            at += part.size
        assert push(device, at, following[at:]) == Status.OK
        reference.step(x[k], y[k])

        assert device.digest() == reference.digest()


def test_a_sample_serves_once_and_must_be_whole(tmp_path: Path) -> None:
    device, sample = ahead(tmp_path)
    for call in (("step", 0), ("begin", 0), ("infer",), ("prefix",)):
        assert status(device.call(*call)) == Status.SAMPLE
    assert push(device, 0, sample[:-1]) == Status.OK
    assert status(device.call("step", 0)) == Status.SAMPLE
    assert push(device, sample.size - 1, sample[-1:]) == Status.OK
    assert status(device.call("step", 99)) == Status.LABEL  # and the sample waits on
    assert status(device.call("infer")) == Status.OK
    assert status(device.call("step", 0)) == Status.SAMPLE


def test_parts_come_in_their_order_and_offset_0_begins_anew(tmp_path: Path) -> None:
    device, sample = ahead(tmp_path)
    assert push(device, 1, sample[:4]) == Status.RANGE
    assert push(device, 0, sample) == Status.OK
    assert push(device, 0, sample[::-1][:9]) == Status.OK
    assert status(device.call("step", 0)) == Status.SAMPLE
    assert push(device, 4, sample[:4]) == Status.RANGE
    assert push(device, 9, sample) == Status.RANGE
    assert push(device, 9, sample[::-1][9:]) == Status.OK
    expected = Interpreter(device.plan)
    assert status(device.call("step", 0)) == Status.OK
    expected.step(sample[::-1].reshape(device.plan.task.input.type.shape), 0)

    assert device.digest() == expected.digest()


def test_reset_drops_a_sample_and_ends_a_step(tmp_path: Path) -> None:
    device, sample = ahead(tmp_path)
    device.write_input(sample)
    assert status(device.begin(0)) == Status.OK
    device.write_input(sample)
    assert status(device.begin(0)) == Status.BUSY
    device.reset(0)
    assert status(device.begin(0)) == Status.SAMPLE


def test_a_sample_waits_while_a_step_begins_at_a_latent(tmp_path: Path) -> None:
    device, sample = ahead(tmp_path)
    plan, whole = device.plan, Interpreter(device.plan)
    shape = plan.task.input.type.shape
    device.write_input(sample)
    assert status(device.call("prefix")) == Status.OK
    device.write_input(sample[::-1])
    assert status(device.call("step_from_latent", 1)) == Status.OK
    assert status(device.call("step", 2)) == Status.OK
    whole.step(sample.reshape(shape), 1)
    whole.step(sample[::-1].reshape(shape), 2)

    assert device.digest() == whole.digest()


def test_a_sample_that_another_wrote_in_place_is_not_copied(tmp_path: Path) -> None:
    """As a DMA does: push then only says that it is whole."""
    device, sample = ahead(tmp_path)
    place = device._function("input")
    place.restype = ctypes.c_void_p
    address = place()
    ctypes.memmove(address, sample.ctypes.data, sample.size)
    in_place = np.ctypeslib.as_array((ctypes.c_int8 * sample.size).from_address(address))
    assert status(device.call("step", 0)) == Status.SAMPLE
    assert push(device, 0, in_place) == Status.OK
    assert status(device.call("step", 0)) == Status.OK
    reference = Interpreter(device.plan)
    reference.step(sample.reshape(device.plan.task.input.type.shape), 0)
    assert device.digest() == reference.digest()


def test_it_changes_the_layout_alone() -> None:
    plain, found = plan_of(receive_ahead=False), plan_of()
    one, other = lay_out(plain), lay_out(found)

    assert found.numerics_hash == plain.numerics_hash
    assert build_hash(one, "native") != build_hash(other, "native")
    assert found.memory.arena_bytes == plain.memory.arena_bytes
    texts = (emit_source(one), emit_header(one), emit_selection(plain, bytes(8)))
    assert not any("ahead" in text.lower() for text in texts)


# Training on the link.


def data_of(plan: TrainingPlan) -> Dataset:
    x, y = drawn(plan, STEPS + 4)
    return Dataset(x[:STEPS], y[:STEPS], x[STEPS:], y[STEPS:], x_val=x[-2:], y_val=y[-2:])


def requests_of(device: Device) -> list[str]:
    """The names of the requests from now on, as they are made."""
    made, request = list[str](), device._request

    def noting(message: Message, *fields: int, **others: Any) -> bytes:
        made.append(message.name)
        return request(message, *fields, **others)

    device._request = noting  # type: ignore[method-assign]
    return made


def options_of(**others: Any) -> TrainingOptions:
    return TrainingOptions(**{"epochs": 2, "rate": 2**-6, "seed": 3, "verify": True, **others})


def quiet(progress: object) -> None:
    pass


def assert_same(result: Result, plan: TrainingPlan, options: TrainingOptions) -> None:
    """The record of a run is that of the reference."""
    expected = train(plan, data_of(plan), ReferenceRunner(plan), options, quiet)
    assert result.difference is None, result.difference
    assert result.verified_steps == result.steps
    assert (result.losses, result.state) == (expected.losses, expected.state)
    assert (result.before, result.after) == (expected.before, expected.after)


@pytest.mark.slow
@pytest.mark.parametrize(("loss", "guard"), [("cross-entropy", True), ("mse", False)])
def test_training_sends_each_sample_during_the_step_before(loss: str, guard: bool) -> None:
    plan = plan_of("last:2", loss=loss)
    with simulated(build(plan, Target.parse("native"))) as runner:
        made = requests_of(runner.device)
        result = train(plan, data_of(plan), runner, options_of(guard=guard), quiet)

    assert_same(result, plan, options_of(guard=guard, verify=False))
    following = ["TARGET", "SAMPLE"] if loss == "mse" else ["SAMPLE"]
    text = " ".join(made)
    between = " ".join(["START", *following, "FINISH"])
    # The last step of an epoch is followed by none whose sample is known to be next.
    assert text.count(between) == text.count("START") == 2 * (STEPS - 1)
    assert text.count("STEP") == 2
    # Each sample is written once, and one for each inference.
    assert text.count("SAMPLE") == 2 * STEPS + text.count("INFER")


@pytest.mark.slow
@pytest.mark.parametrize("board", [board_param("mps2_an386")])
def test_a_board_trains_bit_for_bit_over_a_bad_link(board: str) -> None:
    plan = plan_of("last:2")
    built = build(plan, Target.parse(f"sim:{board}"))
    with simulate(board, built.elf) as port, SerialTransport(port) as transport:
        faulty = NoisyLine(transport, 5, per_block=0.08)
        device = Device.open(faulty, built.build_hash, None, 0.02, 0.02)
        result = train(plan, data_of(plan), DeviceRunner(device, plan), options_of(), quiet)

    assert_same(result, plan, options_of(verify=False))
    assert faulty.faults.total() > 5


class Counting(SerialTransport):
    """Counts the frames that are sent, repeats too."""

    sent = 0

    def write(self, data: bytes) -> None:
        self.sent += 1
        super().write(data)


@one_board
def test_a_board_loses_no_frame_of_a_good_link(board: str) -> None:
    """Not those that come during a kernel call, nor those that follow a reply at once."""
    plan = plan_of("last:2")
    built = build(plan, Target.parse(f"sim:{board}"))
    with simulate(board, built.elf) as port, Counting(port) as transport:
        # A repeat after a minute is one of a lost frame, and not of a busy machine.
        device = Device.open(transport, built.build_hash, None, 60.0, 60.0, adapts=False)
        device.digest()  # which a second hello may have cost its first bytes
        made, transport.sent = requests_of(device), 0
        result = train(plan, data_of(plan), DeviceRunner(device, plan), options_of(), quiet)

        assert transport.sent == len(made)
    assert_same(result, plan, options_of(verify=False))


@pytest.mark.slow
@pytest.mark.exhaustive
def test_a_sample_that_is_not_the_one_announced_is_written_again() -> None:
    plan = plan_of()
    x, y = drawn(plan, 4)
    reference = Interpreter(plan)
    with simulated(build(plan, Target.parse("native"))) as runner:
        runner.reset(0)
        runner.announce(x[1], y[1])
        runner.step(x[0], y[0], False)
        runner.step(x[2], y[2], False)
        runner.announce(x[3], y[3])
        runner.step(x[1], y[1], False)
        np.testing.assert_array_equal(runner.infer(x[0]), sequence(reference, x, y, (0, 2, 1)))
        _, digest = runner.step(x[3], y[3], True)
        reference.step(x[3], y[3])

        assert digest == reference.digest()


def sequence(reference: Interpreter, x: np.ndarray, y: np.ndarray, order: tuple[int, ...]) -> Any:
    """The logits of the first sample after steps in this order."""
    for k in order:
        reference.step(x[k], y[k])
    return reference.infer(x[0])


def test_from_latents_nothing_is_sent_ahead() -> None:
    plan = plan_of()
    with simulated(build(plan, Target.parse("native"))) as runner:
        made = requests_of(runner.device)
        wrapped = with_latents(runner, HOST)
        result = train(plan, data_of(plan), wrapped, options_of(), quiet)

    assert_same(result, plan, options_of(verify=False))
    assert "START" not in made


@pytest.mark.parametrize("board", [board_param("mps2_an386")])
def test_a_run_that_counts_instructions_runs_whole_steps(board: str, tmp_path: Path) -> None:
    plan, counts = plan_of(), tmp_path / "counts"
    with simulated(build(plan, Target.parse(f"sim:{board}")), counts) as runner:
        made = requests_of(runner.device)
        train(plan, data_of(plan), runner, options_of(epochs=1), quiet)

    assert "START" not in made
    assert len(read_counts(counts)["step"]) == STEPS


# What it costs.


@pytest.mark.slow
@one_board
def test_the_linker_map_has_the_bytes_that_the_plan_says(board: str) -> None:
    plan = plan_of("last:2", loss="mse")
    plain = plan_of("last:2", loss="mse", receive_ahead=False)
    target = Target.parse(f"sim:{board}")
    built = build(plan, target)
    cost, bare = measured(built), measured(build(plain, target))
    rows = [row for row in resident_rows(built) if row["class"] == "ahead"]
    wanted = plan.task.input.type.nbytes + plan.task.logits.type.nbytes

    assert cost["ahead_bytes"] == plan.ahead_bytes == wanted
    assert [(row["symbol"], row["nbytes"]) for row in rows] == [("small_ahead", wanted)]
    assert sum(ram_by_kind(plan, cost).values()) == cost["sram_bytes"]
    assert ram_by_kind(plan, cost)["next sample"] == wanted
    # The buffer and alignment; the stack is reserved in eights, and one may need less.
    assert wanted - 8 <= cost["sram_bytes"] - bare["sram_bytes"] < wanted + 40
    assert bare["ahead_bytes"] is None


def test_plan_prices_the_next_sample() -> None:
    labels, values = plan_of(), plan_of(loss="mse")
    assert planned(labels)["ahead_bytes"] == labels.task.input.type.nbytes
    assert values.ahead_bytes == values.task.input.type.nbytes + values.task.logits.type.nbytes
    assert planned(plan_of(receive_ahead=False))["ahead_bytes"] is None
    assert ram_bytes(labels) - ram_bytes(plan_of(receive_ahead=False)) == labels.ahead_bytes
    cost = cost_of(labels, False)
    assert cost.sram == ram_bytes(labels) == cost.arena + cost.learned + labels.ahead_bytes


@pytest.mark.parametrize("board", [board_param("stm32vldiscovery", is_long=True)])
def test_one_that_does_not_fit_is_told_with_its_next_sample(board: str) -> None:
    plan = with_slots(plan_of(), 660)
    with pytest.raises(BudgetError, match=f"latents 6,600, next sample {plan.ahead_bytes},"):
        build(plan, Target.parse(f"sim:{board}"))


def test_a_sample_cannot_also_arrive_by_rows(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"--stream-input and --receive-ahead do not go together"):
        plan_of(stream_input=True)
    asked = Request.of(tmp_path / "small.tflite", receive_ahead=True)
    assert all(not request.options.stream_input for _, request in candidates(asked))
    assert asked.options.arguments() == ["--receive-ahead"]


@pytest.mark.slow
def test_the_commands_take_it(tmp_path: Path) -> None:
    model = tmp_path / "small.tflite"
    model.write_bytes(residual_model())
    write_dataset(tmp_path / "data.npz")
    run = CliRunner().invoke
    found = run(app, ["plan", str(model), "--receive-ahead", "--json"])
    shown = run(app, ["plan", str(model), "--receive-ahead"])
    both = run(app, ["plan", str(model), "--receive-ahead", "--stream-input"])
    data = ["--data", str(tmp_path / "data.npz"), "--epochs", "2"]
    native = ("--target", "native", "--receive-ahead")
    trained = run(app, ["train", str(model), *AT_A_RATE, *data, *native, "--verify", "--json"])

    cost = json.loads(found.stdout)
    assert (cost["receive_ahead"], cost["ahead_bytes"]) == (True, 189)
    assert "next sample" in shown.stdout
    assert both.exit_code == 1
    assert "do not go together" in str(both.exception or both.output)
    outcome = json.loads(trained.stdout)
    assert (outcome["bit_exact"], outcome["latents"]) == (True, None)

# SPDX-License-Identifier: Apache-2.0
"""A fault in one kernel is found in the first step it touches, and named."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mcutrain.host.building.source import generate
from mcutrain.host.link.device import Device
from mcutrain.host.link.transport import SerialTransport
from mcutrain.host.simulation.simulator import simulate
from mcutrain.host.training.dataset import load_dataset
from mcutrain.host.training.loop import train
from mcutrain.host.training.rates import rates, sample_order
from mcutrain.host.training.runners import DeviceRunner, ReferenceRunner
from mcutrain.host.training.training_options import TrainingOptions
from mcutrain.host.training.verify import Verifier
from mcutrain.trainer.errors import Error
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.interpreter import StepRecord
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import parse
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.fake_model.build import build_patched
from tests.support.marks import exhaustive
from tests.support.small_models import residual_model, write_dataset

FAULTS = {
    "a rounding of the weight update": (
        "kernels/sgd.h", "before it stores them */\n#endif\n    *w = (int8_t)((m + 128) >> 8)",
        "before it stores them */\n#endif\n    *w = (int8_t)((m + 127) >> 8)", "Conv2DUpdate",
    ),
    "the bias's dither": (
        "kernels/sgd.c", "mct_dither(seed, (uint32_t)c)", "mct_dither(seed, (uint32_t)c + 1u)",
        "BiasUpdate",
    ),
    "a clamp of an input gradient": (
        "kernels/error.c", "*dx = (bits & 1u) != 0u", "*dx = (bits & 2u) != 0u",
        "MaskError",
    ),
    "the depthwise gradient's rows of taps": (
        "kernels/depthwise_errors.h", "found = {down.count,",
        "found = {down.count - (x == 2 && down.count > 1),", "DepthwiseConv2DGradInput",
    ),
    "the forward pass": (
        "kernels/add.c", "sum_of(&own, a[k], b[k])", "sum_of(&own, a[k], k == 17 ? ~b[k] : b[k])",
        "Add",
    ),
}  # fmt: skip

LONG = {"the bias's dither", "the forward pass"}

OPTIONS = TrainingOptions(epochs=4, rate=2**-5, verify=True)


@contextmanager
def faulty(elf: Path, plan: TrainingPlan) -> Iterator[DeviceRunner]:
    with simulate("native", elf) as port:
        device = Device.open(SerialTransport(port), None, plan.numerics_hash)
        yield DeviceRunner(device, plan)
        device.close()


@pytest.mark.slow
@pytest.mark.parametrize("ahead", [False, exhaustive(True, [True])])
@pytest.mark.parametrize("fault", [exhaustive(name, LONG) for name in FAULTS])
def test_a_fault_in_a_kernel_is_found_and_named(fault: str, ahead: bool, tmp_path: Path) -> None:
    file, right, wrong, operation = FAULTS[fault]
    plan = make_plan(parse(residual_model(), "small"), PlanOptions("full", receive_ahead=ahead))
    data = load_dataset(write_dataset(tmp_path / "data.npz"), plan)
    generate(plan, tmp_path / "gen", "native")
    elf = build_patched(tmp_path / "gen", tmp_path, file, right, wrong)

    with faulty(elf, plan) as runner:
        result = train(plan, data, runner, OPTIONS, lambda progress: None)

    assert result.difference is not None
    assert result.difference.operation == operation
    assert result.difference.reproduced
    assert result.difference.device != result.difference.reference
    assert result.verified_steps == result.difference.step
    assert not result.bit_exact


@pytest.mark.slow
def test_a_fault_is_told_as_by_a_replay_of_one_step_after_the_other(tmp_path: Path) -> None:
    file, right, wrong, _ = FAULTS["a rounding of the weight update"]
    plan = make_plan(parse(residual_model(), "small"), PlanOptions("full", precondition="off"))
    data = load_dataset(write_dataset(tmp_path / "data.npz"), plan)
    generate(plan, tmp_path / "gen", "native")
    elf = build_patched(tmp_path / "gen", tmp_path, file, right, wrong)
    with faulty(elf, plan) as runner:
        found = train(plan, data, runner, OPTIONS, lambda progress: None)
    assert found.difference is not None

    with faulty(elf, plan) as runner:
        runner.reset(0)
        verifier = Verifier(plan, 0)
        order = sample_order(len(data.x_train), OPTIONS.epochs, 0, 0)
        schedule = dict(rates(len(order), 2**-5, OPTIONS.schedule))
        for step, k in enumerate(order):
            if step in schedule:
                runner.set_learning_rate(schedule[step])
                verifier.set_learning_rate(schedule[step])
            sample, target = data.x_train[k], data.y_train[k]
            if not verifier.step(sample, target, *runner.step(sample, target, True)):
                break
        alone = verifier.locate(runner.device, sample, target)

    assert str(alone) == str(found.difference)
    assert verifier.verified_steps == found.verified_steps


class Meanwhile(ReferenceRunner):
    """A device that is done with nothing before the reference beside it is."""

    def __init__(self, plan: TrainingPlan, replayed: threading.Event) -> None:
        super().__init__(plan)
        self.replayed = replayed

    def step(self, sample: Array, target: Array, wants_digest: bool) -> tuple[StepRecord, int]:
        assert self.replayed.wait(60.0)
        self.replayed.clear()
        return super().step(sample, target, wants_digest)


def test_the_reference_computes_a_step_while_the_device_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan(parse(residual_model(), "small"), PlanOptions("last:1"))
    data = load_dataset(write_dataset(tmp_path / "data.npz"), plan)
    replayed, replay = threading.Event(), Verifier.replay

    def announced(verifier: Verifier, sample: Array, target: Array) -> tuple[StepRecord, int]:
        found = replay(verifier, sample, target)
        replayed.set()
        return found

    monkeypatch.setattr(Verifier, "replay", announced)
    options = TrainingOptions(epochs=1, steps=5, verify=True)
    result = train(plan, data, Meanwhile(plan, replayed), options, lambda progress: None)

    assert result.verified_steps == result.steps == 5


def test_a_device_that_fails_leaves_no_reference_behind(tmp_path: Path) -> None:
    class Failing(ReferenceRunner):
        def step(self, sample: Array, target: Array, wants_digest: bool) -> tuple[StepRecord, int]:
            if self.reference.steps == 3:
                raise Error("the line is cut")
            return super().step(sample, target, wants_digest)

    plan = make_plan(parse(residual_model(), "small"), PlanOptions("last:1"))
    data = load_dataset(write_dataset(tmp_path / "data.npz"), plan)

    with pytest.raises(Error, match="the line is cut"):
        train(plan, data, Failing(plan), OPTIONS, lambda progress: None)
    assert [t for t in threading.enumerate() if t.name.startswith("reference")] == []

# SPDX-License-Identifier: Apache-2.0
"""Runs of a plan with a chain: device and reference have one chain value at the end."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mcutrain.host.building.firmware import build
from mcutrain.host.building.source import step_calls
from mcutrain.host.building.target import Target
from mcutrain.host.cost import measured
from mcutrain.host.errors import DeviceError
from mcutrain.host.link.protocol import Feature, Status
from mcutrain.host.simulation.function_device import FunctionDevice
from mcutrain.host.training.dataset import Dataset
from mcutrain.host.training.loop import train
from mcutrain.host.training.result import Result
from mcutrain.host.training.runner import LatentRunner
from mcutrain.host.training.runners import SimulatedRunner, functions_of, simulated, with_latents
from mcutrain.host.training.training_options import TrainingOptions
from mcutrain.host.training.verify import write_step
from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.record_chain import begin, short_hash
from mcutrain.trainer.tflite.reader import parse
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.generated import small, with_slots
from tests.support.marks import exhaustive
from tests.support.paths import WATCH
from tests.support.simulated_boards import boards_of
from tests.support.small_models import residual_model

CORE = "unicorn:cortex-m4"
each_long = boards_of(())


def data_of(plan: TrainingPlan) -> Dataset:
    x = np.random.default_rng(1).integers(-128, 128, (8, *plan.task.input.type.shape[1:]))
    y = np.arange(8) % plan.classes
    return Dataset(x.astype(np.int8), y, x.astype(np.int8), y)


def trained(runner: LatentRunner, place: str = "off") -> Result:
    options = TrainingOptions(epochs=3, rate=2.0**-6, verify=True, guard=False)
    wrapped = with_latents(runner, place)
    return train(runner.plan, data_of(runner.plan), wrapped, options, lambda _: None)


@pytest.mark.parametrize(
    "place", [exhaustive("off", ["off"]), exhaustive("host", ["host"]), "device"]
)
def test_a_verified_run_ends_with_one_chain_value(place: str) -> None:
    """Wherever its steps begin: at samples, at latents of the host, at some in slots."""
    plan = with_slots(small("last:2", chain=True), 5)
    with simulated(build(plan, Target.parse("native"))) as runner:
        found = trained(runner, place)

        assert found.difference is None and found.verified_steps == 24
        assert runner.device.recorded().entered == 24


def test_a_forged_chain_value_is_found_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = small("head", chain=True, record_entries=3)
    step = SimulatedRunner._step
    with simulated(build(plan, Target.parse("native"))) as runner:

        def forged(self: SimulatedRunner, label: int, wants: bool) -> object:
            """The chain value alone is changed: the digest does not cover it."""
            found = step(self, label, wants)
            assert runner.plan.learning.chain is not None
            self.device.write(1, bytes(16), runner.plan.memory.state[runner.plan.learning.chain])
            return found

        monkeypatch.setattr(SimulatedRunner, "_step", forged)
        found = trained(runner)

    assert found.verified_steps == 24
    assert found.difference is not None
    assert (found.difference.tensor, found.difference.device) == ("chain", 0)


def test_a_device_tells_its_record() -> None:
    plan = small("head", chain=True, record_entries=3)
    with simulated(build(plan, Target.parse("native"))) as runner:
        plan, device = runner.plan, runner.device
        reference, entries = Interpreter(plan, 9), []
        runner.reset(9)
        assert device.recorded().chain == begin(plan.numerics_hash, 9)
        assert Feature.RECORD in Feature(device.info.features)
        for sample, label in zip(data_of(plan).x_train, range(4), strict=False):
            runner.step(sample, np.array(label), False)
            reference.step(sample, label)
            entries.append(reference.entry)
        found = device.recorded()

        assert (found.steps, found.entered, found.room, found.classes) == (4, 4, 3, 4)
        assert [device.entry(k) for k in found.kept] == entries[1:]
        for number, action in ((0, 1), (4, 1), (2**32 - 1, 1), (0, 2)):
            with pytest.raises(DeviceError) as refused:
                device._record(action, number)  # type: ignore[arg-type]
            assert refused.value.status is Status.RANGE
        device.begin(write_step(device, plan, data_of(plan).x_train[0], np.array(0)))
        with pytest.raises(DeviceError) as refused:
            device.recorded()
        assert refused.value.status is Status.BUSY


def test_a_build_without_a_chain_has_no_record() -> None:
    with simulated(build(small("head"), Target.parse("native"))) as runner:
        assert Feature.RECORD not in Feature(runner.device.info.features)
        with pytest.raises(DeviceError) as refused:
            runner.device.recorded()

    assert refused.value.status is Status.MESSAGE


def test_a_core_without_a_link_is_compared_too() -> None:
    with simulated(build(small("head", chain=True), Target.parse(CORE))) as runner:
        found = trained(runner)

    assert found.difference is None and found.verified_steps == 24


def costs(target: str, **options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """With a chain and without. ``measured`` raises if the linker counts other bytes."""
    bare = {name: value for name, value in options.items() if name != "record_entries"}
    plans = small("head", chain=True, **options), small("head", **bare)
    chained, other = (measured(build(plan, Target.parse(target))) for plan in plans)
    return chained, other


@pytest.mark.exhaustive
def test_a_build_pays_for_its_chain_what_the_plan_says() -> None:
    chained, bare = costs("native", stream_input=True, record_entries=3)

    assert chained["record_bytes"] == 3 * 48 + 100
    assert bare["record_bytes"] is None
    assert chained["learned_bytes"] == bare["learned_bytes"] + 16


def each_chain(target: str) -> None:
    """Train on a target, by rows and whole, and compare after each step."""
    for options in ({"stream_input": True}, {"record_entries": 2}, {"receive_ahead": True}):
        plan = with_slots(small("last:2", chain=True, **options), 2)
        with simulated(build(plan, Target.parse(target))) as runner:
            reference, chain = Interpreter(runner.plan, 3), runner.plan.learning.chain
            assert chain is not None
            runner.reset(3)
            data = data_of(plan)
            for k, (sample, label) in enumerate(zip(data.x_train, data.y_train, strict=True)):
                if k % 3 == 2:
                    latent = reference.latent_of(sample)
                    runner.step_from_latent(latent, label, False)
                    reference.step_from_latent(latent, label)
                else:
                    runner.step(sample, label, False)
                    reference.step(sample, label)
                found = runner.device.recorded()
                assert found.chain == reference.state[chain].tobytes()
                assert found.state_hash == short_hash(reference.state_bytes())


@each_long
def test_each_board_has_the_chain_of_the_reference(board: str) -> None:
    each_chain(f"sim:{board}")


@each_long
def test_each_board_pays_for_its_chain_what_the_plan_says(board: str) -> None:
    for options in ({"stream_input": True}, {"record_entries": 5}):
        chained, bare = costs(f"sim:{board}", **options)
        held = 100 if "stream_input" in options else 5 * 48

        assert chained["record_bytes"] == held
        assert chained["learned_bytes"] == bare["learned_bytes"] + 16
        assert chained["stack_bytes"] >= bare["stack_bytes"]


def instructions_of_a_step(model: bytes, has_chain: bool) -> tuple[int, int]:
    """Bytes of the sample, and the instructions of a step on a Cortex-M4."""
    plan = make_plan(parse(model, "m"), PlanOptions("head", chain=has_chain, optimize="size"))
    built = build(plan, Target.parse(CORE))
    counts: dict[str, list[int]] = {}
    functions, _ = functions_of(built)
    device = FunctionDevice(functions, plan, step_calls(plan), built.build_hash, counts)
    device.reset(0)
    device.set_learning_rate(0, 0)
    for _ in range(2):  # of which the first initialises histories
        device.write_sample(bytes(plan.task.input.type.nbytes))
        device.step(0)
    return plan.task.input.type.nbytes, counts["step"][1]


def test_a_step_pays_for_the_hash_and_next_to_nothing_else() -> None:
    """A SHA-256 has a block for each 64 bytes, of what is hashed and of 9 more: those of the sample
    and of the entry, which has one. Two models tell what a block costs."""
    found = []
    for model in (residual_model(), (WATCH / "watch.tflite").read_bytes()):
        nbytes, bare = instructions_of_a_step(model, has_chain=False)
        _, chained = instructions_of_a_step(model, has_chain=True)
        found.append((nbytes, -(-(nbytes + 9) // 64) + 1, chained - bare))
    (small_bytes, few, cost), (_, more, costs_more) = found
    of_a_block = (costs_more - cost) // (more - few)

    assert (few, more) == (5, 6)
    assert 64 * 40 < of_a_block < 64 * 89
    assert 0 < cost - few * of_a_block < 100 < 2 * small_bytes

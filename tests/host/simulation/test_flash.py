# SPDX-License-Identifier: Apache-2.0
"""What an emulated board has saved in its flash outlives its process, killed at any moment."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from mcutrain.host.boards import chip_of
from mcutrain.host.building.firmware import Build, build
from mcutrain.host.building.target import Target
from mcutrain.host.cost import measured
from mcutrain.host.errors import BuildError
from mcutrain.host.link.device import Device
from mcutrain.host.link.transport import SerialTransport
from mcutrain.host.simulation.emulators.known import emulator_of
from mcutrain.host.simulation.flash_image import held_image
from mcutrain.host.training.runners import SimulatedRunner, simulated
from mcutrain.trainer.errors import Error
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import load, parse
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.guarded import small_plan
from tests.support.paths import WATCH
from tests.support.simulated_boards import board_param, boards_of
from tests.support.small_models import residual_model

SHORT = {"atmega1284p"}  # its EEPROM is executed; make test-all has the files of all others


def plan_on(board: str) -> TrainingPlan:
    options = PlanOptions("head", store=True, latent_slots=2)
    return make_plan(parse(residual_model(), "small"), options, chip_of(board))


def learn(runner: SimulatedRunner, steps: int) -> int:
    """Steps with samples that follow from their number; the digest."""
    digest = 0
    for _ in range(steps):
        number = runner.device.digest().steps
        random = np.random.RandomState(number)
        sample = random.randint(-128, 128, runner.plan.task.input.type.shape).astype(np.int8)
        runner.keep(number % 2, sample, number % runner.plan.classes)
        digest = runner.step_from_slot(number % 2, np.array(number % 2), True)[1]
    return digest


@pytest.mark.slow
@boards_of(SHORT)
def test_a_board_that_starts_again_goes_on(board: str, tmp_path: Path) -> None:
    """With its latents; and the bytes and the stack of its firmware are counted as any other's."""
    built, image = build(plan_on(board), Target.parse(f"sim:{board}")), tmp_path / "flash"
    with simulated(built) as undisturbed:  # and nothing of it is kept
        undisturbed.reset(3)
        expected = learn(undisturbed, 4)
        assert undisturbed.device.save().whole == 1
    with simulated(built, image=image) as first:
        assert first.device.saved().sequence == 0
        first.reset(3)
        learn(first, 2)
        first.device.save()
        learn(first, 1)  # is lost
        assert first.stack_used_bytes() <= measured(built)["stack_bytes"]
    with simulated(built, image=image) as again:
        assert again.device.info.steps == 2
        again.step_from_slot(1, np.array(1), False)  # the slot has come back
        again.device.load()
        assert learn(again, 2) == expected


def test_a_board_of_which_no_flash_is_known_is_refused() -> None:
    with pytest.raises(BuildError, match="a core alone has no flash: leave --store out"):
        build(small_plan(store=True), Target.parse("unicorn:cortex-m0"))


@contextmanager
def running_alone(built: Build, image: Path) -> Iterator[tuple[subprocess.Popen[str], Device]]:
    """The emulator's process, which the caller may kill, and the device in it."""
    emulator = emulator_of(built.target.board)
    assert emulator.flash is not None
    with held_image(image, emulator.flash):
        command = [*emulator.command(built.elf), *emulator.flash_args(image)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        found = re.search(emulator.port_pattern, process.stdout.readline())
        assert found is not None
        try:
            with SerialTransport(found[1]) as transport:
                yield process, Device.open(transport, None, None)
        finally:
            process.kill()
            process.wait()


def try_to_save(device: Device) -> None:
    with suppress(Error, OSError):
        device.save()


@pytest.mark.exhaustive
@pytest.mark.parametrize("board", [board_param("atmega1284p"), board_param("mps2_an386")])
def test_an_emulator_that_is_killed_in_a_save_has_the_old_state_or_the_new(
    board: str, tmp_path: Path
) -> None:
    plan = make_plan(load(WATCH / "watch.tflite"), PlanOptions("head", store=True), chip_of(board))
    built, image = build(plan, Target.parse(f"sim:{board}")), tmp_path / "flash"
    ends, steps = set(), 0
    for number in range(60):
        with running_alone(built, image) as (process, device):
            if number == 0:
                device.reset(1)
                device.save()
            assert device.info.steps in (steps, steps + 1)
            ends.add(device.info.steps - steps)
            steps = device.info.steps
            device.write_sample(np.full(plan.task.input.type.nbytes, number, np.int8).tobytes())
            device.step(0, wants_digest=False)
            saving = Thread(target=try_to_save, args=(device,))
            saving.start()
            with suppress(subprocess.TimeoutExpired):
                process.wait(number % 30 * 0.002)
            process.kill()
            saving.join()
    assert ends == {0, 1}

# SPDX-License-Identifier: Apache-2.0
"""Firmware of real boards: built by their environments of platformio.ini, on the framework's own
sources, and run by a simulator of the chip."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from mcutrain.host.boards import REAL, chip_of
from mcutrain.host.building import firmware, fitting, source, target
from mcutrain.host.building.firmware import build
from mcutrain.host.building.target import Target
from mcutrain.host.defaults import BAUD
from mcutrain.host.errors import BuildError
from mcutrain.host.real_boards import RealBoard, real_boards
from mcutrain.host.simulation.simulator import simulate
from mcutrain.host.training.dataset import Dataset, load_dataset
from mcutrain.host.training.loop import train
from mcutrain.host.training.runners import connected
from mcutrain.host.training.training_options import TrainingOptions
from mcutrain.trainer.chip import Chip
from mcutrain.trainer.errors import BudgetError
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import load
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.paths import ROOT, WATCH
from tests.support.real_builds import ARDUINO_AVR, SIMULATED, official_core, seed_platform
from tests.support.simulated_boards import board_param


def planned(update: str, chip: Chip) -> TrainingPlan:
    return make_plan(load(WATCH / "watch.tflite"), PlanOptions(update), chip)


@pytest.mark.slow
@pytest.mark.skipif(not ARDUINO_AVR.is_dir(), reason="Debian's arduino-core-avr is not installed")
@pytest.mark.parametrize(
    ("simulated", "name"), [board_param(here, name) for name, here in SIMULATED.items()]
)
def test_an_environment_builds_what_trains_bit_for_bit(simulated: str, name: str) -> None:
    seed_platform("atmelavr")
    plan = planned("last:2", chip_of(REAL + name))
    data = load_dataset(WATCH / "demo.npz", plan)
    few = Dataset(data.x_train[:6], data.y_train[:6], data.x_test[:1], data.y_test[:1])
    built = build(plan, Target.parse(f"board:{name}"))
    options = TrainingOptions(epochs=1, rate=2**-6, seed=3, verify=True)
    with (
        simulate(simulated, built.elf) as line,
        connected(line, partial(planned, "last:2"), BAUD) as runner,
    ):
        assert runner.plan.chip == plan.chip
        result = train(plan, few, runner, options, lambda progress: None)

    assert result.difference is None, result.difference
    assert result.verified_steps == result.steps == 6


@pytest.mark.exhaustive
@pytest.mark.parametrize("board", [pytest.param(b, id=b.name) for b in real_boards()])
def test_an_environment_builds_with_the_official_platform(board: RealBoard, tmp_path: Path) -> None:
    """Where somebody has fetched it: a warning in our sources is an error here."""
    core = official_core()
    if not (core / "platforms" / board.platform / "platform.json").is_file():
        pytest.skip(f"PlatformIO's platform {board.platform} is not in {core}")
    folders = {"CORE": core, "BUILD": tmp_path / "build", "WORKSPACE": tmp_path / "workspace"}
    environment = {f"PLATFORMIO_{name}_DIR": str(folder) for name, folder in folders.items()}
    command = [sys.executable, "-m", "platformio", "run", "-d", str(ROOT), "-e", board.name]
    done = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert not re.findall(r"^firmware/.*warning: .*", done.stdout + done.stderr, re.M)


def test_a_platform_that_cannot_be_fetched_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refused(*args: object) -> None:
        raise BuildError("building pico failed: HTTPClientError:")

    monkeypatch.setattr(firmware, "build_firmware", refused)
    with pytest.raises(BuildError, match="needs PlatformIO's platform raspberrypi, and its reg"):
        firmware.link_real(Target.parse("board:pico"), tmp_path, tmp_path, False)


def test_what_does_not_fit_a_real_board_is_told_before_a_build(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Arena, state and copied constants, and what stack and link take: to the byte."""
    place = Target.parse("board:megaatmega2560")
    chip, plan = place.chip, planned("full", place.chip)
    constants = source.copied_constant_bytes(plan, chip)
    needed = plan.memory.ram_bytes["arena"] + constants + 512 + 2 * 128

    def of_ram(nbytes: int) -> None:
        smaller = replace(chip, ram_bytes=nbytes)
        monkeypatch.setattr(target, "chip_of", lambda board: smaller)

    of_ram(needed)
    fitting.check_real_fit(plan, place)
    of_ram(needed - 1)
    with pytest.raises(
        BudgetError, match=rf"needs {needed:,} bytes of RAM .*, 1 more than"
    ) as told:
        fitting.check_real_fit(plan, place)
    assert told.value.needed_bytes == needed

    monkeypatch.setattr(target, "chip_of", lambda board: replace(chip, flash_bytes=1000))
    with pytest.raises(BudgetError, match=r"bytes of flash \(constants [\d,]+\)"):
        fitting.check_real_fit(plan, place)

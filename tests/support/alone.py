# SPDX-License-Identifier: Apache-2.0
"""The firmware of examples/alone: built, heard, and what the reference makes of its samples."""

from __future__ import annotations

import os
import select
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from math import isqrt
from pathlib import Path

from mcutrain.host.building.target import NATIVE, SIM
from mcutrain.host.places import EXAMPLES
from mcutrain.host.project.signal import SEED, MadeUpSignal
from mcutrain.host.simulation.emulators.known import emulator_of
from mcutrain.host.simulation.flash_image import held_image
from mcutrain.trainer.graph.tensor import Array, Tensor
from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import load
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.command import Run
from tests.support.projects import pio

MODEL = EXAMPLES / "watch" / "watch.tflite"
OPTIONS = ("--update", "head", "--classes", 2, "--latent-slots", 8, "--store", "--chain",
           "--precondition", "off")  # fmt: skip
SEEN, TAUGHT = 20, 40  # of board_script.c
VALIDATION, SESSION, PATIENCE = 8, 8, 3  # of main.c
WAIT_S = 60.0


def alone_plan() -> TrainingPlan:
    options = PlanOptions("head", 2, latent_slots=8, store=True, chain=True, precondition="off")
    return make_plan(load(MODEL), options)


def build_alone(folder: Path, board: str, run: Run) -> Path:
    """The firmware, by the commands of the example's page."""
    target = (
        board if board == NATIVE else f"{SIM}{board}"
    )  # a board on a desk may be called so, too
    made = run("new", folder, "--model", MODEL, "--board", target, *OPTIONS)
    assert made.status == 0, made.err
    (folder / "src" / "main.c").write_bytes((EXAMPLES / "alone" / "main.c").read_bytes())
    ini = folder / "platformio.ini"
    text = ini.read_text(encoding="utf-8")
    ini.write_text(text.replace("-D MCT_HAS_FLASH", "-D MCT_WITH_SENSOR -D MCT_HAS_FLASH"))
    built = pio(folder, "run")
    assert built.returncode == 0, built.stdout + built.stderr
    return folder / ".pio" / "build" / board / "firmware.elf"


def heard(port: str) -> list[str]:
    """What the firmware prints until its script is over, or it is: nothing if it was before."""
    found, line, seen = list[str](), b"", 0
    try:
        file = os.open(port, os.O_RDONLY | os.O_NOCTTY)
    except FileNotFoundError:
        return found
    try:
        while seen < 2 * SEEN:
            if not select.select([file], [], [], WAIT_S)[0]:
                raise AssertionError(f"nothing came for a minute behind {found[-1:]}")
            try:
                data = os.read(file, 4096)
            except OSError:  # its other end is gone
                data = b""
            if not data:
                break
            *whole, line = (line + data).split(b"\r\n")
            found += [each.decode() for each in whole]
            seen = sum(each.startswith("I see") for each in found)
    finally:
        os.close(file)
    return found


def heard_on_screen(board: str, elf: Path, image: Path) -> list[str]:
    """The same of a board in QEMU, whose serial port is its standard output here."""
    emulator, found = emulator_of(board), list[str]()
    command = ["stdio" if word == "pty" else word for word in emulator.command(elf)]
    assert emulator.flash is not None
    with (
        held_image(image, emulator.flash),
        subprocess.Popen(
            [*command, *emulator.flash_args(image)], text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        ) as process,
    ):  # fmt: skip
        assert process.stdout is not None
        while sum(each.startswith("I see") for each in found) < 2 * SEEN:
            found.append(process.stdout.readline().strip())
            assert found[-1], found
        process.kill()
    return found


@dataclass
class Alone:
    """The reference of main.c: what it prints, and its state after each step and at the end."""

    plan: TrainingPlan
    lines: list[str]
    saved: list[tuple[int, dict[Tensor, Array]]]  # index of the line, and the state
    state: dict[Tensor, Array]


class Device:
    """main.c, with the reference in place of the generated C."""

    def __init__(self, plan: TrainingPlan, state: Mapping[Tensor, Array] | None) -> None:
        self.plan, self.signal = plan, MadeUpSignal(plan.task.input.type.shape)
        self.reference = Interpreter(plan, seed=SEED)
        if state is not None:
            self.reference.state = dict(state)
        self.kept: list[tuple[Array, int]] = []
        self.best: tuple[int, dict[Tensor, Array]] | None = None
        self.steps, self.stale, self.is_learning = 0, 0, True
        self.told = Alone(plan, [], [], {})

    def say(self, what: str) -> None:
        state = f"{what} step {self.reference.steps} digest {self.reference.digest()}"
        self.told.lines.append(state)

    def run(self) -> Alone:
        self.say("ready")
        self.see()
        for n in range(TAUGHT):
            self.take(n % 2)
        self.see(TAUGHT - 1)
        self.told.state = self.reference.state
        return self.told

    def see(self, shown: int = 1) -> None:
        """The script lets the model see samples; the other class each time."""
        for _ in range(SEEN):
            shown = 1 - shown % 2
            answer = self.reference.predict(self.signal.read(shown))
            self.told.lines.append(f"I see class {answer}; it is {shown}")

    def take(self, label: int) -> None:
        sample = self.signal.read(label)
        if len(self.kept) < VALIDATION:
            self.kept.append((self.reference.latent_of(sample), label))
            if len(self.kept) == VALIDATION:
                self.judge()
        elif self.is_learning:
            self.reference.step(sample, label)
            self.say("learned")
            self.steps += 1
            if self.steps % SESSION == 0:
                self.judge()

    def judge(self) -> None:
        right = sum(self.reference.predict_from_latent(x) == y for x, y in self.kept)
        self.told.lines.append(f"right {right} of {VALIDATION}")
        if self.best is None:
            self.best = right, dict(self.reference.state)
            return
        # Two standard deviations of a binomial, floored (learning/guard.h).
        before = self.best[0]
        if right > before + isqrt(4 * before * (VALIDATION - before) // VALIDATION):
            self.best, self.stale = (right, dict(self.reference.state)), 0
            self.say("saved")
            self.told.saved.append((len(self.told.lines) - 1, dict(self.reference.state)))
            return
        self.stale += 1
        if self.stale == PATIENCE:
            self.reference.state, self.is_learning = dict(self.best[1]), False
            self.say("done")


def expected(plan: TrainingPlan, state: Mapping[Tensor, Array] | None = None) -> Alone:
    """What a device does that starts with ``state``, or for the first time."""
    return Device(plan, state).run()

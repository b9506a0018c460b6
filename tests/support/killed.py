# SPDX-License-Identifier: Apache-2.0
"""Runs at a port whose host is killed, and whose board is reset and unplugged, at any moment."""

from __future__ import annotations

import os
import random
import signal
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mcutrain.host.boards import chip_of
from mcutrain.host.building.firmware import Build, build
from mcutrain.host.building.target import Target
from mcutrain.host.errors import DeviceError, TransportError
from mcutrain.host.link.protocol import Status
from mcutrain.host.request import Request
from mcutrain.host.training.job import TrainingJob, asked_job
from mcutrain.host.training.reporter import SILENT, Reporter
from mcutrain.host.training.run import run_job
from tests.support.loose_board import TROUBLES, Trouble, loose_board
from tests.support.paths import WATCH

KILLED = "host killed"
ENDED = "run ended with an error"  # the board was lost before the run began, or in a row
MOST_ENDS = 3  # in a run
MOST_S = 120.0  # for one part of a run: more is a hang
MOST_FILES = 256
LINE_LOST = 3  # exit status
TESTED = 6  # samples to test with: what is killed is training, for the most part


@dataclass
class Scene:
    """A model, its data and its build, and what a run comes to that nothing disturbs."""

    request: Request
    data: Path
    built: Build
    options: dict[str, Any]
    whole: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, folder: Path, epochs: int = 4, **options: Any) -> Scene:
        """The watch example; ``options`` of the plan."""
        with np.load(WATCH / "demo.npz") as file:
            arrays = dict(file)
        for name in ("x_test", "y_test"):
            arrays[name] = arrays[name][:TESTED]
        data = folder / "data.npz"
        np.savez(data, **arrays)
        request = Request.of(WATCH / "watch.tflite", "last:2", **options)
        plan = request.on(chip_of("native")).plan()
        asked = {"epochs": epochs, "lr": "0.02", "guard": False}
        scene = cls(request, data, build(plan, Target.parse("native")), asked)
        run_job(scene.job(save=folder / "whole.npz"))
        scene.whole = saved(folder / "whole.npz")
        return scene

    def job(self, **more: Any) -> TrainingJob:
        return asked_job(self.request, self.data, "reference", **self.options, **more)


def saved(path: Path) -> dict[str, Any]:
    with np.load(path) as file:
        return {name: file[name].tolist() for name in file.files}


def troubles(rng: random.Random, count: int, least: int, most: int) -> Iterator[Trouble]:
    """So many of them, each when ``least`` to ``most`` bytes have passed since the one before."""
    for _ in range(count):
        yield rng.randint(least, most), rng.choice(TROUBLES)


def disturbed(
    scene: Scene, folder: Path, rng: random.Random, kills: int, on_board: int,
    gap: tuple[int, int] = (4_000, 30_000), reporter: Reporter = SILENT, **options: Any,
) -> tuple[bool, Counter[str]]:  # fmt: skip
    """One run with so many kills of its host, and troubles of its board: whether what it saved is
    what an undisturbed run saves, and what happened. The board begins anew with each run."""
    save, happened = folder / "s.npz", Counter[str]()
    with loose_board(scene.built.elf, folder, troubles(rng, on_board, *gap)) as board:
        job = scene.job(
            port=str(board.port), save=save, checkpoint=folder / "c.npz", checkpoint_steps=25,
            **options,
        )  # fmt: skip
        typical_s = 1.0
        for left in range(kills + MOST_ENDS, -1, -1):
            is_killed = left > MOST_ENDS
            until_s = rng.uniform(0.05, 1.2 * typical_s) if is_killed else MOST_S
            ended = in_child(job, reporter, time.monotonic() + until_s)
            if ended is True:
                break
            happened[KILLED if ended is None else ENDED] += 1
        happened += board.happened
    return save.exists() and saved(save) == scene.whole, happened


def in_child(job: TrainingJob, reporter: Reporter, deadline: float) -> bool | None:
    """Run a job in a process of its own, which SIGKILL ends at the deadline; whether it has come to
    its end, or ended with an error of the line; None if it was killed. Raises AssertionError for
    another end."""
    child = os.fork()
    if child == 0:
        status = 1
        os.closerange(3, MOST_FILES)  # the board's ends of the line are not the host's
        try:
            run_job(job, reporter)
            status = 0
        except TransportError as error:
            reporter.say(str(error))
            status = LINE_LOST
        except DeviceError as error:
            reporter.say(str(error))
            status = LINE_LOST if error.status == Status.SESSION else 1
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(status)
            assert code in (0, LINE_LOST), f"the run has failed: {code}"
            return code == 0
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None

# SPDX-License-Identifier: Apache-2.0
"""Training steps over a noisy line to a device of its own, with what they cost."""

from __future__ import annotations

import random
import tempfile
import time
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np

from mcutrain.host.building.firmware import Build
from mcutrain.host.defaults import BAUD
from mcutrain.host.link.device import PATIENCE_S, Device
from mcutrain.host.link.transport import SerialTransport
from mcutrain.host.training.runners import DeviceRunner, running
from mcutrain.host.training.steady_runner import Reconnects, SteadyRunner
from mcutrain.trainer.ops.sgd import LearningRate
from tests.support.loose_board import TROUBLES, loose_board
from tests.support.noisy_line import NoisyLine

SAMPLES = 16


@dataclass(frozen=True)
class Run:
    """What came of it."""

    state: bytes
    seconds: float
    nbytes: int  # both ways
    faults: int
    troubles: int = 0  # times that the board was unplugged, reset or without power


def train_over(build: Build, steps: int, per_byte: float, seed: int = 1) -> Run:
    """Steps on random samples, and the state read at the end."""
    plan = build.plan
    with running(build, ()) as (port, _), SerialTransport(port) as serial:
        line = NoisyLine(serial, seed, per_byte)
        device = Device.open(line, build.build_hash, plan.numerics_hash, keys=build.keys)
        runner = DeviceRunner(device, plan)
        state, seconds = learned(runner, steps)
        return Run(state, seconds, line.nbytes, line.faults.total())


def train_loose(build: Build, steps: int, per_byte: float, every: int, seed: int = 1) -> Run:
    """The same at a port that is lost again and again, when about ``every`` bytes have passed."""
    rng = random.Random(seed)
    troubles = ((rng.randint(every // 2, 3 * every // 2), rng.choice(TROUBLES)) for _ in count())
    reconnects = Reconnects(PATIENCE_S, lambda said: None)
    with (
        tempfile.TemporaryDirectory() as folder,
        loose_board(build.elf, Path(folder), troubles, per_byte) as board,
    ):
        device = Device.open(SerialTransport(str(board.port)), None, None)
        with SteadyRunner(device, build.plan, BAUD, reconnects) as runner:
            state, seconds = learned(runner, steps)
            traffic = runner.device.traffic
        nbytes = traffic.sent_bytes + traffic.received_bytes
        return Run(state, seconds, nbytes, board.faults.total(), board.happened.total())


def learned(runner: DeviceRunner, steps: int) -> tuple[bytes, float]:
    """The state that steps on random samples come to, and their seconds."""
    plan, rng = runner.plan, np.random.default_rng(0)
    x = rng.integers(-128, 128, (SAMPLES, *plan.task.input.type.shape)).astype(np.int8)
    y = rng.integers(0, plan.classes, SAMPLES)
    begun = time.perf_counter()
    runner.reset(1)
    runner.set_learning_rate(LearningRate.from_real(2.0**-6))
    for step in range(steps):
        k = step % SAMPLES
        runner.step(x[k], y[k], wants_digest=False)
    return runner.state(), time.perf_counter() - begun

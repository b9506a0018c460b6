# SPDX-License-Identifier: Apache-2.0
"""Training steps over a noisy line to a device of its own, with what they cost."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from mcutrain.host.building.firmware import Build
from mcutrain.host.link.device import Device
from mcutrain.host.link.transport import SerialTransport
from mcutrain.host.training.runners import DeviceRunner, running
from mcutrain.trainer.ops.sgd import LearningRate
from tests.support.noisy_line import NoisyLine

SAMPLES = 16


@dataclass(frozen=True)
class Run:
    """What came of it."""

    state: bytes
    seconds: float
    nbytes: int  # both ways
    faults: int


def train_over(build: Build, steps: int, per_byte: float, seed: int = 1) -> Run:
    """Steps on random samples, and the state read at the end."""
    plan, rng = build.plan, np.random.default_rng(0)
    x = rng.integers(-128, 128, (SAMPLES, *plan.task.input.type.shape)).astype(np.int8)
    y = rng.integers(0, plan.classes, SAMPLES)
    with running(build, ()) as (port, _), SerialTransport(port) as serial:
        line = NoisyLine(serial, seed, per_byte)
        device = Device.open(line, build.build_hash, plan.numerics_hash, keys=build.keys)
        runner = DeviceRunner(device, plan)
        begun = time.perf_counter()
        runner.reset(1)
        runner.set_learning_rate(LearningRate.from_real(2.0**-6))
        for step in range(steps):
            k = step % SAMPLES
            runner.step(x[k], y[k], wants_digest=False)
        state = runner.state()
        return Run(state, time.perf_counter() - begun, line.nbytes, line.faults.total())

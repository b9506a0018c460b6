# SPDX-License-Identifier: Apache-2.0
"""The made-up signal of a new project, and what the reference learns of it.

Twin of firmware/project/lib/sensor/sensor.c.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.training_plan import TrainingPlan

SEED = 1  # SEED in main.c
STEPS, SAMPLES = 40, 20  # those of board_script.c, and of the test before and after them


@dataclass(frozen=True)
class Axes:
    """What the made-up signal takes a sample for: rows of columns of channels."""

    rows: int
    columns: int
    channels: int

    @classmethod
    def of(cls, shape: tuple[int, ...]) -> Axes:
        """Of an input (1, ...). Time is in the rows, of which there is more than one if any axis
        but the last has more than one value.

        >>> Axes.of((1, 1, 50, 6)), Axes.of((1, 32, 30, 3)), Axes.of((1, 64))
        (Axes(rows=50, columns=1, channels=6), Axes(rows=32, columns=30, channels=3), \
Axes(rows=64, columns=1, channels=1))
        """
        places, channels = (shape[1:-1], shape[-1]) if len(shape) > 2 else (shape[1:], 1)
        found = [length for length in places if length > 1] or [1]
        return cls(found[0], prod(found[1:]), channels)


class MadeUpSignal:
    """What sensor_read gives, call by call."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape, self.axes = shape, Axes.of(shape)
        self.randomness = 1

    def random_bytes(self, count: int) -> Array:
        found = np.empty(count, np.int64)
        for n in range(count):
            self.randomness = (self.randomness * 1664525 + 1013904223) % 2**32
            found[n] = self.randomness >> 24
        return found

    def read(self, shown: int) -> Array:
        """One sample of the input's shape, int8, of class 0 or 1."""
        axes = self.axes
        down, across = (2, 0) if shown == 0 else (5, 3)
        (phase,) = self.random_bytes(1)
        size = (axes.rows, axes.columns, axes.channels)
        row, column, channel = np.indices(size)
        angle = phase + row * down * 256 // axes.rows + column * across * 256 // axes.columns
        step = angle + 40 * channel & 255
        height = np.where(step < 128, step - 64, 191 - step) * 3
        wave = np.sign(height) * (np.abs(height) // 2)  # as C divides
        noise = (self.random_bytes(prod(size)) & 31) - 16
        sample: Array = (wave + noise.reshape(size)).astype(np.int8).reshape(self.shape)
        return sample


@dataclass(frozen=True)
class Learned:
    """What the reference makes of the signal: its answers before and after, and the digest after
    each step between. Samples show class 0 and 1 in turn."""

    before: tuple[int, ...]
    digests: tuple[int, ...]
    after: tuple[int, ...]

    @staticmethod
    def right(answers: tuple[int, ...]) -> int:
        return sum(answer == n % 2 for n, answer in enumerate(answers))

    @property
    def helps(self) -> bool:
        return self.right(self.after) > self.right(self.before)


def learn(plan: TrainingPlan) -> Learned:
    """Train the reference on the made-up signal, as the test of a project trains the C."""
    reference = Interpreter(plan, seed=SEED)
    signal = MadeUpSignal(plan.task.input.type.shape)

    def answers() -> tuple[int, ...]:
        return tuple(int(reference.predict(signal.read(n % 2))) for n in range(SAMPLES))

    def step(n: int) -> int:
        reference.step(signal.read(n % 2), n % 2)
        return int(reference.digest())

    before = answers()
    digests = tuple(step(n) for n in range(STEPS))
    return Learned(before, digests, answers())

# SPDX-License-Identifier: Apache-2.0
"""Vibration of rotating machines, made up: two axes of an accelerometer at 1 kHz, in windows.

A machine has a resonance, a gain for each axis, misalignment and a noise floor, drawn by its
number. Imbalance drives it once a turn with the square of the speed; what the housing makes of that
depends on how near the resonance is. So a relation learned on one machine is another on the next.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mcutrain.trainer.graph.tensor import Array

HERTZ = 1000
WINDOW = 128  # readings
AXES = 2
SPEEDS = (25.0, 60.0)  # turns a second
BANDS = 32  # of a spectrum
FLOOR = 1e-3  # of a band's power, in squared g: below it is the sensor's own noise
LOG_RANGE = (-3.0, 2.0)  # decades of a band's power


@dataclass(frozen=True)
class Machine:
    """``resonance`` in hertz, ``damping`` as a share of the critical one, ``gains`` in g."""

    resonance: float
    damping: float
    gains: tuple[float, float]
    misalignment: tuple[float, float]  # in g, at twice and three times the speed
    noise: float  # in g
    bearing: float  # fault impulses a turn

    @classmethod
    def numbered(cls, number: int) -> Machine:
        rng = np.random.default_rng([1709, number])
        return cls(
            resonance=rng.uniform(70, 180),
            damping=rng.uniform(0.08, 0.2),
            gains=tuple(rng.uniform(0.5, 1.0, AXES)),
            misalignment=tuple(rng.uniform(0.05, 0.25, 2)),
            noise=rng.uniform(0.03, 0.08),
            bearing=rng.uniform(3.1, 5.4),
        )

    def response(self, hertz: Array) -> Array:
        """Complex gain of the housing, a damped oscillator, 1 far below its resonance."""
        ratio = hertz / self.resonance
        return np.asarray(1 / (1 - ratio**2 + 2j * self.damping * ratio))


Fault = Callable[[Machine, Array, Array, np.random.Generator], Array]


def windows(
    machine: Machine, imbalance: Array, rng: np.random.Generator, fault: Fault | None = None
) -> Array:
    """(N, WINDOW, 1, AXES) float32 in g: each at a speed of its own, with imbalance 0 to 1 (N,)."""
    count = len(imbalance)
    speed = rng.uniform(*SPEEDS, count)
    start = rng.uniform(0, 1, count)
    turns = start[:, None] + speed[:, None] * np.arange(WINDOW) / HERTZ
    found = tone(machine, turns, speed, 1, imbalance * (speed / SPEEDS[1]) ** 2)
    for order, amount in zip((2, 3), machine.misalignment, strict=True):
        found = found + tone(machine, turns, speed, order, amount * rng.uniform(0.5, 1.5, count))
    if fault is not None:
        found = found + fault(machine, turns, speed, rng)
    axes = np.stack([found[0] * machine.gains[0], found[1] * machine.gains[1]], 2)
    axes = axes + machine.noise * rng.normal(size=axes.shape)
    return np.asarray(axes[:, :, None], np.float32)


def tone(machine: Machine, turns: Array, speed: Array, order: float, amount: Array) -> Array:
    """(2, N, WINDOW): a force that turns ``order`` times a turn, a quarter later on the other
    axis, as the housing passes it on."""
    gain = amount * machine.response(order * speed)
    angle = np.exp(2j * np.pi * order * turns) * gain[:, None]
    return np.stack([angle.real, angle.imag])


def worn_bearing(machine: Machine, turns: Array, speed: Array, rng: np.random.Generator) -> Array:
    """Impulses at the bearing's rate let the housing ring."""
    phase = turns * machine.bearing % 1
    seconds = phase / (machine.bearing * speed[:, None])
    decay = np.exp(-2 * np.pi * machine.damping * machine.resonance * 2 * seconds)
    ring = rng.uniform(0.15, 0.5, (len(speed), 1)) * decay
    ring = ring * np.sin(2 * np.pi * 2 * machine.resonance * seconds)
    return np.stack([ring, 0.6 * ring])


def looseness(machine: Machine, turns: Array, speed: Array, rng: np.random.Generator) -> Array:
    """Half orders, as of a part that lifts off every other turn."""
    amount = rng.uniform(0.06, 0.25, len(speed))
    return tone(machine, turns, speed, 0.5, amount) + tone(machine, turns, speed, 1.5, amount)


def lost_weight(machine: Machine, turns: Array, speed: Array, rng: np.random.Generator) -> Array:
    """Imbalance beyond what is usual."""
    amount = rng.uniform(0.5, 1.2, len(speed)) * (speed / SPEEDS[1]) ** 2
    return tone(machine, turns, speed, 1, amount)


FAULTS: tuple[Fault, ...] = (worn_bearing, looseness, lost_weight)


def spectra(x: Array) -> Array:
    """(N, BANDS) float32 of windows: decades of the power in equal bands, both axes together."""
    tapered = x[:, :, 0] * np.hanning(WINDOW)[:, None]
    power = (np.abs(np.fft.rfft(tapered, axis=1)[:, 1:]) ** 2).sum(2) / WINDOW
    bands = power.reshape(len(x), BANDS, -1).mean(2)
    return np.asarray(np.log10(bands + FLOOR), np.float32)


def usual(machine: Machine, count: int, rng: np.random.Generator) -> Array:
    """Spectra of a machine without a fault."""
    return spectra(windows(machine, rng.uniform(0.1, 0.4, count), rng))


def faulty(machine: Machine, count: int, rng: np.random.Generator) -> Array:
    """Spectra with one fault each, as many of each kind."""
    each = [count // len(FAULTS) + (k < count % len(FAULTS)) for k in range(len(FAULTS))]
    parts = [
        windows(machine, rng.uniform(0.1, 0.4, some), rng, fault)
        for some, fault in zip(each, FAULTS, strict=True)
    ]
    return spectra(np.concatenate(parts))

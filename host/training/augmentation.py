# SPDX-License-Identifier: Apache-2.0
"""Augmentation: each step learns from a sample that is changed a little, at random.

Samples are changed as int8, in integers alone. What becomes of a sample follows from the seed, the
step and the number of the sample, so it is the same on each computer, in a verified run, and in a
run that goes on. A device gets the sample and knows nothing of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mcutrain.trainer.errors import DataError
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.training_plan import TrainingPlan

if TYPE_CHECKING:
    from mcutrain.host.training.dataset import Dataset

ONE = 1 << 16  # amounts and factors are in parts of it
# The standard deviation of the sum of four uniform numbers of 16 bits: sqrt(4 (2^32 - 1) / 12).
SUM_OF_FOUR = 37837


class Draws:
    """Random integers of one step: those of Philox (Salmon et al. 2011), as its stream of words
    never changes between versions of NumPy."""

    def __init__(self, seed: int, step: int, index: int) -> None:
        self._words = np.random.Philox(key=(index << 64) | seed, counter=step << 64)

    def below(self, end: int) -> int:
        """0 to ``end`` - 1, each equally often but for 2^-32."""
        return (int(self._words.random_raw()) >> 32) * end >> 32

    def between(self, limit: int) -> int:
        """-``limit`` to ``limit``."""
        return self.below(2 * limit + 1) - limit

    def normal(self, count: int) -> Array:
        """(count,) int64 about normal, of mean 0 and the standard deviation SUM_OF_FOUR."""
        words = np.frombuffer(self._words.random_raw(count).astype("<u8").tobytes(), "<u2")
        sums: Array = words.reshape(count, 4).sum(axis=1, dtype=np.int64)
        return sums - 2 * (ONE - 1)


@dataclass(frozen=True)
class Operation:
    """A kind of change: how far ``most`` its amount may go, what the amount means, and how many
    ``axes`` a sample must have beside its channels."""

    most: float
    meaning: str
    axes: int = 0


OPERATIONS = {
    "mixup": Operation(0.5, "up to this share of another sample of its class is mixed in"),
    "flip": Operation(1.0, "mirrored left to right, this often", axes=2),
    "shift": Operation(0.5, "moved along time by up to this share of the window", axes=1),
    "crop": Operation(0.5, "moved along both axes of an image by up to this share", axes=2),
    "gain": Operation(1.0, "times 1 - this to 1 + this"),
    "noise": Operation(2.0, "of this share of each channel's standard deviation is added"),
}


@dataclass(frozen=True)
class Augmentation:
    """What is done to a sample, in the order of OPERATIONS, and how much of it.

    >>> str(Augmentation.parse("noise=.10,shift=0.2"))
    'shift=0.2,noise=0.1'
    """

    amounts: tuple[tuple[str, float], ...]

    @staticmethod
    def parse(text: str) -> Augmentation:
        """Raises DataError for what is no list of names and amounts."""
        found: dict[str, float] = {}
        for part in text.split(","):
            name, _, amount = (piece.strip() for piece in part.partition("="))
            if name not in OPERATIONS:
                raise DataError(f"--augment: unknown '{name}': give {', '.join(OPERATIONS)}")
            if name in found:
                raise DataError(f"--augment: {name} is given twice: give it once")
            found[name] = checked_amount(name, amount)
        return Augmentation(tuple((name, found[name]) for name in OPERATIONS if name in found))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.amounts)

    def __str__(self) -> str:
        return ",".join(f"{name}={amount:g}" for name, amount in self.amounts)


def checked_amount(name: str, text: str) -> float:
    """Raises DataError for an amount that the operation cannot have."""
    most = OPERATIONS[name].most
    try:
        amount = float(text)
    except ValueError:
        amount = math.nan
    if not 0 < amount <= most:
        raise DataError(
            f"--augment: {name} is '{text}': give a number above 0, {most:g} at most, such as "
            f"{name}={most / 5:g}"
        )
    return amount


class Augmenter:
    """Makes what a step learns from of the training samples of ``data``."""

    def __init__(
        self, augmentation: Augmentation, plan: TrainingPlan, data: Dataset, seed: int
    ) -> None:
        """Raises DataError for what does not go with the shape of a sample."""
        self.data, self.seed, self.has_labels = data, seed, plan.takes_label
        self.zero = plan.task.input.type.zero_point
        self.map_shape = None
        if plan.takes_label_map and plan.task.target is not None:
            self.map_shape = plan.task.target.type.shape[1:]
        self.shape = check_augmentation(augmentation, plan)
        self.amounts = {name: round(ONE * amount) for name, amount in augmentation.amounts}
        self.spread = spread(data.x_train.reshape(-1, self.shape[2]))

    def __call__(self, step: int, index: int) -> tuple[Array, Array]:
        """The sample ``index`` and its target, as the step with this number learns from them."""
        draws = Draws(self.seed, step, self.data.number_of(index))
        target = self.data.y_train[index]
        x = self.data.x_train[index].astype(np.int64)
        if "mixup" in self.amounts:
            other, share = self._other(index, draws), draws.below(self.amounts["mixup"] + 1)
            x = mixed(x, self.data.x_train[other], share)
            if not self.has_labels:
                target = mixed(target.astype(np.int64), self.data.y_train[other], share)
                target = target.astype(np.int8)
        x = x.reshape(self.shape)
        for name, amount in self.amounts.items():
            if name == "flip":
                if draws.below(ONE) < amount:
                    x, target = x[:, ::-1], self._flipped(target)
            else:
                x = self._changed(name, x, amount, draws)
        return np.clip(x, -128, 127).astype(np.int8).reshape(-1), target

    def _other(self, index: int, draws: Draws) -> int:
        """A sample to mix in: of the same class, as a step takes one label; or any, where the
        targets are values, which can be mixed as well."""
        if not self.has_labels:
            return draws.below(len(self.data.x_train))
        mates = np.flatnonzero(self.data.y_train == self.data.y_train[index])
        return int(mates[draws.below(len(mates))])

    def _flipped(self, target: Array) -> Array:
        """The target of a sample that is mirrored: its label map is, too."""
        if self.map_shape is None:
            return target
        return target.reshape(self.map_shape)[:, ::-1].reshape(-1)

    def _changed(self, name: str, x: Array, amount: int, draws: Draws) -> Array:
        rows, columns, _ = self.shape
        if name == "shift":
            axis = 0 if rows > 1 else 1
            return moved(x, axis, draws.between(amount * self.shape[axis] // ONE))
        if name == "crop":
            x = moved(x, 0, draws.between(amount * rows // ONE))
            return moved(x, 1, draws.between(amount * columns // ONE))
        if name == "gain":
            return self.zero + rounded((x - self.zero) * (ONE + draws.between(amount)), 16)
        if name == "noise":
            factor = self.spread * amount // SUM_OF_FOUR  # in parts of 2^32
            return x + rounded(draws.normal(x.size).reshape(x.shape) * factor, 32)
        return x


def rows_columns_channels(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """The shape of a model's input, of one sample, as that of an image.

    >>> rows_columns_channels((1, 50, 6)), rows_columns_channels((1, 10))
    ((50, 1, 6), (1, 1, 10))
    """
    *axes, channels = shape[1:]
    rows, *columns = axes or [1]
    return rows, math.prod(columns), channels


def check_augmentation(augmentation: Augmentation, plan: TrainingPlan) -> tuple[int, int, int]:
    """(rows, columns, channels) of a sample. Raises DataError for what does not go with them, or
    would do nothing."""
    shape = rows_columns_channels(plan.task.input.type.shape)
    if plan.takes_label_map and plan.task.target is not None:
        check_map_augmentation(augmentation, plan.task.target.type.shape[1:])
    axes = [length for length in shape[:2] if length > 1]
    for name, amount in augmentation.amounts:
        needed = OPERATIONS[name].axes
        said = "x".join(map(str, shape))
        if needed > len(axes):
            what = "an image" if needed > 1 else "a window in time"
            raise DataError(
                f"--augment: {name} is for {what}, but a sample is {said} (rows, columns, "
                f"channels): leave {name} out"
            )
        moving = axes[: 2 if name == "crop" else 1] if name in ("crop", "shift") else []
        if moving and round(ONE * amount) * min(moving) < ONE:
            raise DataError(
                f"--augment: {name}={amount:g} moves the {min(moving)} steps of a sample, {said}, "
                f"by less than one: give {name}={math.ceil(1000 / min(moving)) / 1000:g} or more"
            )
    return shape


def check_map_augmentation(augmentation: Augmentation, positions: tuple[int, ...]) -> None:
    """Raises DataError for what would move a sample away from the labels of its positions."""
    for name in augmentation.names:
        why = "the positions of the output are not those of the sample"
        if name == "mixup":
            why = "two samples have other labels at a position"
        elif name not in ("shift", "crop") and (name != "flip" or len(positions) == 2):
            continue
        raise DataError(
            f"--augment: {name} does not go with a label for each position, since {why}: leave "
            f"{name} out"
        )


def spread(x: Array) -> Array:
    """(C,) int64: the standard deviation of each column of (N, C) int8, in parts of 2^16."""
    count, wide = len(x), x.astype(np.int64)
    sums, squares = wide.sum(axis=0).tolist(), (wide**2).sum(axis=0).tolist()
    each = zip(sums, squares, strict=True)
    return np.array([math.isqrt((count * q - s * s) << 32) // count for s, q in each], np.int64)


def mixed(x: Array, other: Array, share: int) -> Array:
    """``share`` parts of 2^16 of the other."""
    return x + rounded((other.astype(np.int64) - x) * share, 16)


def moved(x: Array, axis: int, by: int) -> Array:
    """(rows, columns, channels) moved along an axis. What comes in repeats the edge: zeros, which
    end a window in time or a bright image abruptly, cost up to half a point on one and two on the
    other (benchmarks.augmentation)."""
    length = x.shape[axis]
    return np.take(x, np.clip(np.arange(length) - by, 0, length - 1), axis)


def rounded(x: Array, bits: int) -> Array:
    """x / 2^bits to the nearest, ties up."""
    return (x + (1 << (bits - 1))) >> bits

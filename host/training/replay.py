# SPDX-License-Identifier: Apache-2.0
"""Training on a stream: each new sample once, followed by old ones from a bounded replay buffer.

What is kept and replayed follows from the labels and the seed (SPEC 1.10), so the whole order is
known beforehand, and a device that decides for itself takes the same one (learning/replay.h).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mcutrain.host.defaults import RATIO
from mcutrain.host.training.augmentation import Augmentation
from mcutrain.host.training.checkpoints import Checkpoints
from mcutrain.host.training.dataset import Dataset
from mcutrain.host.training.feed import augmented_stream
from mcutrain.host.training.latents import (
    DEVICE,
    HOST,
    OFF,
    DeviceLatents,
    HostLatents,
    LatentStore,
    Saving,
    WrappedRunner,
    place_of,
)
from mcutrain.host.training.loop import begun, train
from mcutrain.host.training.progress import Report
from mcutrain.host.training.rates import NO_SAMPLE
from mcutrain.host.training.recording import Recorder
from mcutrain.host.training.result import Result
from mcutrain.host.training.runner import LatentRunner, Runner
from mcutrain.host.training.runners import DeviceRunner
from mcutrain.host.training.stored_values import count
from mcutrain.host.training.training_options import TrainingOptions
from mcutrain.host.training.training_run import Keep
from mcutrain.trainer.errors import DataError
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.interpreter import StepRecord
from mcutrain.trainer.replay import ReplayBuffer
from mcutrain.trainer.training_plan import TrainingPlan


@dataclass(frozen=True)
class Visit:
    """One step: which sample, and the slot it lies in, or goes to first if it ``is_new``."""

    sample: int
    slot: int | None
    is_new: bool


@dataclass(frozen=True)
class Stream:
    """What happens to the samples: ``fills`` (sample, slot) before the first step, then visits."""

    fills: list[tuple[int, int]]
    visits: list[Visit]

    @property
    def order(self) -> Array:
        """(steps,) indices of the samples."""
        return np.array([visit.sample for visit in self.visits], np.int64)

    def held(self, steps: int) -> dict[int, int]:
        """The sample in each slot of the buffer behind so many steps."""
        found = {slot: sample for sample, slot in self.fills}
        for visit in self.visits[:steps]:
            if visit.is_new and visit.slot is not None:
                found[visit.slot] = visit.sample
        return found


def stream_of(buffer: ReplayBuffer, labels: Array, old: int, ratio: int = RATIO) -> Stream:
    """The stream of samples with these labels, of which the first ``old`` only fill the buffer.

    Each new sample is offered to the buffer, and followed by ``ratio`` replays.
    """
    held: dict[int, int] = {}  # sample by slot
    stream = Stream([], [])
    for sample, label in enumerate(map(int, labels)):
        slot = buffer.offer(label)
        if slot is not None:
            held[slot] = sample
        if sample < old:
            stream.fills.extend([] if slot is None else [(sample, slot)])
            continue
        stream.visits.append(Visit(sample, slot, True))
        for _ in range(ratio):
            if (drawn := buffer.draw()) is not None:
                stream.visits.append(Visit(held[drawn], drawn, False))
    return stream


class HostSamples:
    """The host keeps the samples themselves: where there are no latents, or they are off."""

    place = OFF

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self._samples: dict[int, Array] = {}

    def keep(self, slot: int, sample: Array, label: Array) -> bool:
        self._samples[slot] = sample
        return True

    def step(self, slot: int, target: Array, wants_digest: bool) -> tuple[StepRecord, int]:
        return self.runner.step(self._samples[slot], target, wants_digest)

    def predict(self, slot: int) -> int:
        return self.runner.predict(self._samples[slot])

    def infer(self, slot: int) -> Array:
        return self.runner.infer(self._samples[slot])


def store_of(runner: LatentRunner, place: str) -> LatentStore:
    """Where a stream's buffer lies: ``place`` is one of host.training.latents.PLACES."""
    if place == DEVICE:
        assert isinstance(runner, DeviceRunner)
        return DeviceLatents(runner)
    return HostLatents(runner) if place == HOST else HostSamples(runner)


class StreamRunner(WrappedRunner):
    """A runner that takes the steps of a stream: those on kept samples from ``store``."""

    def __init__(self, inner: Runner, store: LatentStore, stream: Stream, data: Dataset) -> None:
        super().__init__(inner)
        self.store, self._stream, self._data = store, stream, data
        self._done = 0
        self.kept = self.replayed = 0

    def reset(self, seed: int) -> None:
        super().reset(seed)
        self._done = self.kept = self.replayed = 0

    def position(self) -> dict[str, int]:
        return {"kept": self.kept, "replayed": self.replayed}

    def resume(self, steps: int, position: Mapping[str, Any]) -> None:
        """Fill the buffer with what it held behind so many steps."""
        held = self._stream.held(steps)
        for slot, sample in held.items() if steps else ():
            self._keep(slot, self._data.x_train[sample], self._data.y_train[sample])
        self._done = steps
        self.kept, self.replayed = count(position["kept"]), count(position["replayed"])

    def step(self, sample: Array, target: Array, wants_digest: bool) -> tuple[StepRecord, int]:
        if self._done == 0:
            for old, slot in self._stream.fills:
                self._keep(slot, self._data.x_train[old], self._data.y_train[old])
        visit = self._stream.visits[self._done]
        self._done += 1
        if visit.slot is None:
            return self.inner.step(sample, target, wants_digest)
        computed = visit.is_new and self._keep(visit.slot, sample, target)
        self.replayed += not computed
        return self.store.step(visit.slot, target, wants_digest)

    def predict(self, sample: Array) -> int:
        return self.inner.predict(sample)

    def infer(self, sample: Array) -> Array:
        return self.inner.infer(sample)

    def _keep(self, slot: int, sample: Array, label: Array) -> bool:
        computed = self.store.keep(slot, sample, label)
        self.kept += computed
        return computed


def streamed(
    plan: TrainingPlan,
    data: Dataset,
    slots: int,
    options: TrainingOptions,
    state: bytes | None,
    ratio: int = RATIO,
) -> tuple[Dataset, TrainingOptions, Stream]:
    """The data whose training samples are the old ones, then the new ones, these augmented; their
    stream, and the options that train in its order.

    Raises DataError where steps take no label.
    """
    seed, first_step = begun(plan, options, state)
    all_new = data.epoch_steps
    numbers = slice(None) if data.numbers is None else data.numbers
    data = taken_up(plan, data, options.augment, seed, first_step)
    buffer = ReplayBuffer(slots, plan.classes, seed)
    stream = stream_of(buffer, data.y_train, data.filling, ratio)
    # A new sample and its replays are 1 + ratio steps, which count where it was left out, too.
    order = np.full((all_new, 1 + ratio), NO_SAMPLE)
    order[numbers] = stream.order.reshape(-1, 1 + ratio)
    return data, replace(options, order=order.reshape(-1), augment=None), stream


def taken_up(
    plan: TrainingPlan,
    data: Dataset,
    augmentation: Augmentation | None,
    seed: int,
    first_step: int,
) -> Dataset:
    """The data as a stream behind so many steps brings them: the old ones, then the new ones, these
    augmented. Raises DataError where steps take no label."""
    if not plan.takes_label:
        raise DataError(
            f"a replay buffer balances classes, but {plan.unlabelled}: leave --replay out"
        )
    if augmentation is not None:
        data = augmented_stream(plan, data, augmentation, seed, first_step)
    if data.x_old is None or data.y_old is None:
        return data
    x, y = np.concatenate([data.x_old, data.x_train]), np.append(data.y_old, data.y_train)
    return replace(data, x_train=x, y_train=y, filling=len(data.x_old))


def train_stream(
    plan: TrainingPlan,
    data: Dataset,
    runner: LatentRunner,
    slots: int,
    options: TrainingOptions,
    report: Report,
    ratio: int = RATIO,
    place: str | None = None,
    state: bytes | None = None,
    keep: Keep | None = None,
    checkpoints: Checkpoints | None = None,
    record: Recorder | None = None,
) -> tuple[Result, Saving]:
    """Train on ``x_train`` once, in its order, with a replay buffer that ``x_old`` fills at first.

    ``place`` is one of latents.PLACES, by default the host; for the device the plan has
    ``slots`` latent slots. Raises DataError where steps take no label, and what ``train`` raises.
    """
    data, options, stream = streamed(plan, data, slots, options, state, ratio)
    place = place_of(place, plan, True)
    wrapped = StreamRunner(runner, store_of(runner, place), stream, data)
    result = train(plan, data, wrapped, options, report, state, keep, checkpoints, record)
    kept = plan.task.input if place == OFF or plan.latents.tensor is None else plan.latents.tensor
    nbytes = min(slots, len(data.y_train)) * kept.type.nbytes
    macs = 0 if place == OFF else plan.prefix_macs
    return result, Saving(place, wrapped.kept, wrapped.replayed, nbytes, macs)

# SPDX-License-Identifier: Apache-2.0
"""The samples that the steps of a record learned from, found again in the data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mcutrain.host.record.errors import DisprovedError
from mcutrain.host.record.header import Header, arrays_of
from mcutrain.host.record.lines import Step
from mcutrain.host.record.writer import hashed, label_of
from mcutrain.host.training.augmentation import Augmentation, Augmenter
from mcutrain.host.training.dataset import Dataset, load_dataset
from mcutrain.host.training.leaving_out import LeftOut, without
from mcutrain.host.training.replay import taken_up
from mcutrain.trainer.errors import DataError
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.record_chain import AT_LATENT
from mcutrain.trainer.training_plan import TrainingPlan


def load_data(path: Path, header: Header, plan: TrainingPlan) -> Dataset:
    """The data of a record, without the samples that it left out: ``path`` may still have them, or
    not. Raises Error."""
    data = load_dataset(path, plan, header.reading)
    return without(data, header.left_out, gone_of(data, header))


def gone_of(data: Dataset, header: Header) -> LeftOut:
    """Which of the samples that a record left out are no longer in the data, by their count."""
    found = {}
    for split, numbers in header.left_out.parts():
        x = getattr(data, f"x_{split}")
        _, recorded = header.arrays.get(f"x_{split}", (b"", 0))
        if recorded == (0 if x is None else len(x)):
            found[split] = numbers
    return LeftOut(**found)


def other_arrays(data: Dataset, header: Header) -> Iterator[str]:
    """The arrays that are not those of the record, each with what differs."""
    found = arrays_of(data)
    for name in sorted({*found, *header.arrays}):
        here, there = found.get(name), header.arrays.get(name)
        if here != there:
            count = "none" if here is None else f"{here[1]} of {'them' if there else 'none'}"
            yield name if here and there and here[1] == there[1] else f"{name} ({count})"


@dataclass(frozen=True)
class Begun:
    """What a step begins at: ``data``, which are the sample or its latent, and its target."""

    data: Array
    target: Array
    sample: Array
    at_latent: bool


@dataclass
class Samples:
    """Finds the sample of each step, changed as the run changed it."""

    header: Header
    plan: TrainingPlan
    data: Dataset
    _latents: dict[tuple[str, int], Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        header, augmentation = self.header, None
        self._reference = Interpreter(self.plan)
        if header.augment is not None:
            augmentation = Augmentation.parse(header.augment)
        if header.replay is not None:
            seed, first = header.seed, header.first_step
            self.data = taken_up(self.plan, self.data, augmentation, seed, first)
            augmentation = None  # a stream has changed each sample once, as it arrived
        self._augmenter = None
        if augmentation is not None:
            self._augmenter = Augmenter(augmentation, self.plan, self.data, header.seed)
        self._index = {self.data.source(k): k for k in range(len(self.data.x_train))}
        self._by_hash: dict[bytes, tuple[str, int]] | None = None

    def of(self, step: Step, where: str) -> Begun:
        """What a step learned from. Raises DisprovedError unless the data have it."""
        at_latent = bool(step.flags & AT_LATENT)
        if step.flags & ~AT_LATENT or (at_latent and self.plan.latents.tensor is None):
            raise DisprovedError(f"{where}: the flags {step.flags} are none that this plan can set")
        source = step.of, -1 if step.sample is None else step.sample
        found = self._begun(source, step, at_latent)
        if found is None or hashed(self.plan, found.data, found.target) != step.hash:
            source, found = self._elsewhere(step, at_latent, where)
        if label_of(self.plan, found.target) != step.label:
            raise DisprovedError(
                f"{where}: the record has the label {step.label}, and the data "
                f"{label_of(self.plan, found.target)} for sample {source[1]} of {source[0]}"
            )
        return found

    def _begun(self, source: tuple[str, int], step: Step, at_latent: bool) -> Begun | None:
        index = self._index.get(source)
        if index is None:
            return None
        sample, target = self.data.x_train[index], self.data.y_train[index]
        if self._augmenter is not None:
            sample, target = self._augmenter(step.step, index)
        if not at_latent:
            return Begun(sample, target, sample, False)
        return Begun(self._latent(source, sample), target, sample, True)

    def _latent(self, source: tuple[str, int], sample: Array) -> Array:
        if source not in self._latents:
            self._latents[source] = self._reference.latent_of(sample)
        return self._latents[source]

    def _elsewhere(self, step: Step, at_latent: bool, where: str) -> tuple[tuple[str, int], Begun]:
        """The sample of the same hash under another number: the data may be in another order."""
        if self._augmenter is None:
            if self._by_hash is None:
                self._by_hash = dict(self._hashes(step, at_latent))
            if (source := self._by_hash.get(step.hash)) is not None:
                found = self._begun(source, step, at_latent)
                assert found is not None
                return source, found
        named = "a sample" if step.sample is None else f"sample {step.sample} of {step.of}"
        raise DisprovedError(
            f"{where}: {named} is not the one that was learned from, whose hash is "
            f"{step.hash.hex()}, and no other sample of the data is"
        )

    def _hashes(self, step: Step, at_latent: bool) -> Iterator[tuple[bytes, tuple[str, int]]]:
        for source in self._index:
            found = self._begun(source, step, at_latent)
            assert found is not None
            yield hashed(self.plan, found.data, found.target), source


def check_label(plan: TrainingPlan, label: int, in_use: int, where: str) -> None:
    """Raises DisprovedError for a label that no step can have."""
    if plan.takes_label and label >= in_use:
        raise DisprovedError(f"{where}: there are {in_use} classes, and its label is {label}")


def required(data: Dataset, header: Header, path: Path) -> None:
    """Raises DataError unless the data are those of the record, array by array."""
    if others := list(other_arrays(data, header)):
        raise DataError(
            f"{path} is not the data of the record: {', '.join(others)} differ; give the data that "
            "it was trained on"
        )

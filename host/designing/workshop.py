# SPDX-License-Identifier: Apache-2.0
"""Trains a net on the general data, and judges it by what it has learned of people it did not know.

Pretraining is in floating point, as on any desk; the net is quantised then, and each person's
samples are learned in integers, by the very plan that the device would have.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from mcutrain.host.designing.nets import SHRUNK, Net
from mcutrain.host.designing.samples import RealSamples, codes_of
from mcutrain.host.designing.shrunk import shrunk
from mcutrain.host.designing.widths import Shape
from mcutrain.host.files import digest_of_arrays, write_whole
from mcutrain.host.request import Request
from mcutrain.host.search.budget import Limits
from mcutrain.host.search.trial import Samples, Setup, TrialEffort, TrialScore
from mcutrain.host.training.dataset import Dataset, targets
from mcutrain.host.training.ranges import Fit
from mcutrain.trainer.errors import DataError
from mcutrain.trainer.graph.tensor import Array, QuantParams
from mcutrain.trainer.making.fitting import fit
from mcutrain.trainer.making.float_net import softmax_cross_entropy, squared_error
from mcutrain.trainer.making.quantiser import quantize_net
from mcutrain.trainer.options import Effect
from mcutrain.trainer.training_plan import TrainingPlan

BATCH = 32
CALIBRATION = 1000  # samples that the ranges of the activations come from
HEADROOM = 1.1  # of the outputs' range, where they are values
UNTRAINED = 16  # samples that suffice where only bytes are asked for


@dataclass(frozen=True)
class Effort:
    """How long a net is pretrained, and which ``fold`` of the people it is judged by; the fold is
    the seed of its first weights and of all that is drawn."""

    epochs: int
    fold: int = 0


@dataclass
class Workshop:
    """All that a process needs to train nets and to judge them.

    ``folds`` are how many there are; without ``own`` samples each holds out another part of the
    groups of the ``general`` ones. ``share`` of each class of a person's samples is not learned
    from, and judges. Files are kept in ``folder``.
    """

    request: Request
    general: RealSamples
    own: RealSamples | None
    quant: QuantParams
    outputs: int
    folder: Path
    folds: int
    limits: Limits
    adaptation: int = 10  # epochs over a person's samples
    share: float = 0.3
    rate: float | None = None
    seed: int = 0

    @property
    def shape(self) -> Shape:
        _, height, width, channels = self.general.x.shape
        return height, width, channels

    @cached_property
    def groups(self) -> Array:
        """Whose the general samples are; without groups some of each class stand for a person."""
        if self.general.group is not None:
            return self.general.group
        rng = np.random.default_rng(self.seed)
        found, y = np.zeros(len(self.general), np.int64), self.general.y
        labels = y if self.general.has_labels else np.zeros(len(y), np.int64)
        for label in np.unique(labels):
            members = rng.permutation(np.flatnonzero(labels == label))
            found[members] = np.arange(len(members)) % self.folds
        return found

    def held_groups(self, fold: int) -> Array:
        """Who is held out: each fold others, as long as there are enough."""
        everyone = np.random.default_rng(self.seed).permutation(np.unique(self.groups))
        if len(everyone) <= self.folds:
            return everyone[[fold % len(everyone)]]
        return np.sort(np.array_split(everyone, self.folds)[fold])

    def parts(self, fold: int) -> tuple[RealSamples, RealSamples]:
        """What a net of this fold is pretrained on, and what it is adapted to and judged by."""
        if self.own is not None:
            return self.general, self.own
        is_held = np.isin(self.groups, self.held_groups(fold))
        held = replace(self.general.take(is_held), group=self.groups[is_held])
        return self.general.take(~is_held), held

    def score(self, net: Net, effort: Effort) -> dict[int, TrialScore]:
        """By person. Raises Error."""
        general, judging = self.parts(effort.fold)
        return self.judged(net, self.pretrained(net, effort, general), judging, effort)

    def pretrained(self, net: Net, effort: Effort, samples: RealSamples) -> Path:
        """The int8 file of a net that was trained on ``samples``, made unless it is there."""
        text = f"{net.structure} {effort} {self.digest(samples)} {self.seed} {self.outputs}"
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        path = self.folder / "nets" / f"{digest}.tflite"
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, self.made(net, effort, samples))
        return path

    @staticmethod
    def digest(samples: RealSamples) -> str:
        """Of the samples, and of whose each is."""
        return digest_of_arrays(samples.x, samples.y, samples.group)

    @property
    def conditions(self) -> int:
        """A number for what a cut depends on beside the net, the samples and its bytes of RAM."""
        request, limits = self.request, replace(self.limits, sram=0)
        options = request.options.to_json(Effect.LEARNING, Effect.MEMORY)
        text = f"{request.options.update_name} {request.chip.name} {limits} {options}"
        return int(hashlib.sha256(text.encode()).hexdigest()[:12], 16)

    def made(self, net: Net, effort: Effort, samples: RealSamples) -> bytes:
        if net.kind != SHRUNK:
            return self.trained(net, effort, samples)
        path = self.pretrained(net.whole, effort, samples)
        x = codes_of(samples, self.quant)
        labels = samples.y if samples.has_labels else None
        return shrunk(self.request_of(net, path), x, labels, self.limits, self.seed)

    def trained(self, net: Net, effort: Effort, samples: RealSamples) -> bytes:
        build = net.build(self.shape, self.outputs, self.seed + effort.fold)
        params = {name: value.astype(np.float32) for name, value in build.params.items()}
        kind = softmax_cross_entropy if samples.has_labels else squared_error
        fit(
            build.net, params, samples.x, samples.y, epochs=effort.epochs, loss=kind,
            batch=min(BATCH, len(samples)), seed=self.seed + effort.fold,
        )  # fmt: skip
        return self.quantised(build.net, params, samples, CALIBRATION)

    def quantised(self, net: object, params: Mapping[str, Array], of: RealSamples,
                  count: int) -> bytes:  # fmt: skip
        rng = np.random.default_rng(self.seed)
        calibration = of.x[np.sort(rng.permutation(len(of))[:count])]
        return quantize_net(
            net, params, calibration, self.quant, softmax=of.has_labels,  # type: ignore[arg-type]
            headroom=1.0 if of.has_labels else HEADROOM,
        )  # fmt: skip

    def untrained(self, net: Net) -> bytes:
        """The file with its first weights: its bytes and instructions are those of the trained one.

        Raises ValueError where the samples are too small for the net.
        """
        build = net.build(self.shape, self.outputs, self.seed)
        rng, params = np.random.default_rng(self.seed), dict(build.params)
        for layer in build.net.layers:
            if layer.bias in params:  # biases of 0 would be alike, and stored once
                params[layer.bias] = rng.normal(0, 0.1, params[layer.bias].shape)
        with np.errstate(invalid="ignore"):  # a bias may lie beyond the range of a tiny scale
            return self.quantised(build.net, params, self.general, UNTRAINED)

    def request_of(self, net: Net, path: Path) -> Request:
        return replace(self.request, model=path).but(update=net.update)

    def judged(
        self, net: Net, path: Path, samples: RealSamples, effort: Effort
    ) -> dict[int, TrialScore]:
        """What the net in ``path`` comes to with each person, from the beginning. Raises Error."""
        request = self.request_of(net, path)
        model = request.read()
        plan = request.plan_of(model)
        found = self.samples_for(plan, samples)
        with tempfile.TemporaryDirectory(prefix="mcutrain-design-") as folder:
            setup = Setup(
                request, model, found, Path(folder), self.share, self.rate, seed=self.seed
            )
            people = np.unique(found.group)
            splits = [setup.split(effort.fold, person) for person in people]
            scores = setup.scores(plan.scheme, TrialEffort(self.adaptation), splits)
        return {int(person): score for person, score in zip(people, scores, strict=True)}

    def samples_for(self, plan: TrainingPlan, samples: RealSamples) -> Samples:
        """As the plan takes them. Raises DataError."""
        y = samples.y
        found = targets(y, len(samples), "y_train", plan)
        codes = found.codes if isinstance(found, Fit) else found
        group = np.zeros(len(samples), np.int64) if samples.group is None else samples.group
        x = codes_of(samples, self.quant)
        return Samples.of(Dataset(x, codes, x[:0], codes[:0]), group)


def check_people(workshop: Workshop) -> None:
    """Raises DataError where a person has nothing to learn from and to be judged by."""
    for fold in range(workshop.folds):
        general, judging = workshop.parts(fold)
        if not len(general):
            raise DataError(
                "group_train names one group alone, and nothing is left to pretrain with: give "
                "more groups, leave group_train out, or give --own"
            )
        group = np.zeros(len(judging), np.int64) if judging.group is None else judging.group
        for person in np.unique(group):
            mine = judging.y[group == person]
            labels = mine if judging.has_labels else np.zeros(len(mine))
            if np.unique(labels, return_counts=True)[1].max() < 2:
                of = f"{len(mine)} sample{'s, each of another class' * (len(mine) > 1)}"
                raise DataError(
                    f"group {person} has {of}: to learn from and to be judged by, each needs two "
                    "samples of one class at least"
                )

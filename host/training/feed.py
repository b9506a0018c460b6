# SPDX-License-Identifier: Apache-2.0
"""What a run feeds its runner: which training sample each step learns from, and how changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Protocol

import numpy as np

from mcutrain.host.training.augmentation import Augmentation, Augmenter, check_augmentation
from mcutrain.host.training.balance import OFF, ON, balance_notes, balanced_order, balances
from mcutrain.host.training.dataset import Dataset
from mcutrain.host.training.rates import NO_SAMPLE, sample_order
from mcutrain.trainer.errors import DataError
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.notes import NOTE, Note
from mcutrain.trainer.training_plan import TrainingPlan

MOST_STEPS = 10**8  # of a run: its order, which is drawn before the first step, then takes 800 MB


class FeedOptions(Protocol):
    """What a feed reads of TrainingOptions."""

    @property
    def epochs(self) -> int: ...

    @property
    def steps(self) -> int | None: ...

    @property
    def order(self) -> Array | None: ...

    @property
    def balance(self) -> str: ...

    @property
    def augment(self) -> Augmentation | None: ...


class Feed:
    """The samples of a run behind ``first_step`` steps. All of it follows from the seed, so a run
    that goes on gets what it would have got."""

    def __init__(
        self,
        plan: TrainingPlan,
        data: Dataset,
        options: FeedOptions,
        seed: int,
        first_step: int,
    ) -> None:
        """Raises DataError for an augmentation that does not go with the samples."""
        self.data, self.first_step = data, first_step
        self.order = order_of(plan, data, options, seed, first_step)
        asked = options.augment
        self._augmented = None if asked is None else Augmenter(asked, plan, data, seed)
        self._ahead: tuple[int, tuple[Array, Array]] | None = None

    def at(self, k: int) -> tuple[Array, Array]:
        """The sample and the target of step ``k`` of the run."""
        index = int(self.order[k])
        if self._augmented is None:
            return self.data.x_train[index], self.data.y_train[index]
        if self._ahead is None or self._ahead[0] != k:
            self._ahead = k, self._augmented(self.first_step + k, index)
        return self._ahead[1]


def order_of(
    plan: TrainingPlan, data: Dataset, options: FeedOptions, seed: int, first_step: int
) -> Array:
    """The indices of the training samples, step by step; NO_SAMPLE for a step that is left out.

    Raises DataError for more than MOST_STEPS of them.
    """
    if options.order is not None:
        return options.order[: options.steps]
    samples, epochs = data.epoch_steps, ordered_epochs(data, options)
    if plan.takes_label and balances(options.balance, data.y_train):
        order = balanced_order(data.y_train, epochs, seed, first_step, data.left_out)
    else:
        order = sample_order(samples, epochs, seed, first_step)
        if data.numbers is not None:
            index_of = np.full(samples, NO_SAMPLE)
            index_of[data.numbers] = np.arange(len(data.numbers))
            order = index_of[order]
    return order[: options.steps]


def ordered_epochs(data: Dataset, options: FeedOptions) -> int:
    """How many epochs the steps of a run begin. Raises DataError for more than MOST_STEPS."""
    samples, epochs = data.epoch_steps, options.epochs
    if options.steps is not None:
        epochs = min(epochs, -(-options.steps // samples))
    if samples * epochs > MOST_STEPS:
        raise DataError(
            f"{epochs:,} epochs of {samples:,} samples are more than the {MOST_STEPS:,} steps that "
            "a run may have: give fewer --epochs, --steps or --minutes, and go on from what --save "
            "wrote with --state"
        )
    return epochs


def check_stream(data: Dataset, ratio: int) -> None:
    """Raises DataError for a stream of more than MOST_STEPS."""
    if (steps := data.epoch_steps * (1 + ratio)) > MOST_STEPS:
        raise DataError(
            f"--replay-ratio {ratio} makes {steps:,} steps of {data.epoch_steps:,} samples, and a "
            f"run may have {MOST_STEPS:,}: give a smaller one, or fewer samples"
        )


def decided_balance(
    plan: TrainingPlan, data: Dataset, options: FeedOptions, is_stream: bool
) -> str:
    """ON or OFF, as all samples call for it, those too that will validate.

    Raises DataError for what does not go with the plan or with a stream.
    """
    if options.augment is not None:
        check_augmentation(options.augment, plan)
        if is_stream and "mixup" in options.augment.names:
            raise DataError(
                "--augment: mixup needs other samples, and with --replay only one is there at a "
                "time: leave mixup out"
            )
    if is_stream or not plan.takes_label:
        if options.balance == ON:
            why = "--replay balances its buffer" if is_stream else plan.unlabelled
            raise DataError(f"--balance on: {why}: leave --balance out")
        return OFF
    return ON if balances(options.balance, data.y_train) else OFF


def feed_notes(
    plan: TrainingPlan, data: Dataset, options: FeedOptions, is_stream: bool, ratio: int = 0
) -> Iterator[Note]:
    """What the feed makes of the samples, and what that costs; a stream replays ``ratio`` others
    behind each of them."""
    yield from short_run_notes(len(data.x_train), options, ratio)
    if is_stream:
        return
    if plan.takes_label:
        yield from balance_notes(data.y_train, options.balance)
    if options.augment is not None and plan.latents.tensor is not None:
        text = (
            "--augment gives each step a sample of its own, so no latents are kept: the frozen "
            f"layers run in every step ({plan.prefix_macs:,} of its {plan.step_macs:,} MACs)"
        )
        yield Note("x_train", "augmented", plan.prefix_macs / plan.step_macs, text, NOTE)


def short_run_notes(samples: int, options: FeedOptions, ratio: int = 0) -> Iterator[Note]:
    """Of a run that ends before each sample was learned from; ``ratio`` as of ``feed_notes``."""
    steps = 0 if not options.epochs else options.steps
    if steps == 0:
        asked = "--steps 0" if options.epochs else "--epochs 0"
        text = f"{asked} trains nothing: the figures are those of the model as it is"
        yield Note("x_train", "no step", 0.0, text, NOTE)
    elif steps is not None and (learned := -(-steps // (1 + ratio))) < samples:
        left = 1 - learned / samples
        text = (
            f"--steps {steps} is less than an epoch of {samples:,} samples"
            f"{f' with {ratio} replays of each' if ratio else ''}: {100 * left:.0f} % of them are "
            "not learned from"
        )
        yield Note("x_train", "few steps", left, text, NOTE)


def augmented_stream(
    plan: TrainingPlan, data: Dataset, augmentation: Augmentation, seed: int, first_step: int
) -> Dataset:
    """The data of a stream with each new sample changed once, as it arrives: it is kept and
    replayed as it then is."""
    augmenter = Augmenter(augmentation, plan, data, seed)
    x = [augmenter(first_step + data.number_of(k), k)[0] for k in range(len(data.x_train))]
    return replace(data, x_train=np.stack(x))

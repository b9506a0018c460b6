# SPDX-License-Identifier: Apache-2.0
"""What an accuracy benchmark is: a starting model, data in groups, schemes, how long to train."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from benchmarks.scores import Score, accuracy
from mcutrain.host.training.dataset import Dataset
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.model import Model
from mcutrain.trainer.options import CROSS_ENTROPY


@dataclass(frozen=True)
class Task:
    """One benchmark.

    ``dataset`` gives the int8 samples of a group (a person, a corruption) as a seed splits them.
    ``rates`` are what a search for the best rate of SGD at batch 1 begins with; float32 training of
    ``tuning`` (groups) with ``TUNING_SEEDS``, which are not among those reported, decides. Of the
    reported seeds there are ``seeds``, and up to ``most_seeds`` while a row is undecided.
    A task that ``is_long`` is tuned in two passes (``tuning.narrowed``).
    ``order`` gives the indices of the samples to train on, step by step, in place of epochs.
    ``classes`` asks for a new head. ``schemes``: names in the tables, and what make_plan takes.
    """

    name: str
    title: str
    setting: str  # a paragraph for the tables: data, samples, steps
    model: Callable[[], Model]
    dataset: Callable[[str, int], Dataset]
    groups: tuple[str, ...]
    schemes: dict[str, str]
    classes: int | None = None
    epochs: int = 10
    seeds: int = 6
    most_seeds: int = 0  # seeds, if less
    rates: tuple[float, ...] = tuple(2.0**-k for k in (5, 6, 7, 8))
    tuning: tuple[str, ...] = ()
    is_long: bool = False
    formats: tuple[str, ...] = ()  # of METHODS, measured beside the default
    order: Callable[[str, int], Array] | None = None  # of the samples, by group and seed
    group_rows: bool = False  # a row for each group
    has_mean: bool = True  # and one for all of them
    most: int | None = None  # samples to learn from and to test
    model_of: Callable[[Dataset], Model] | None = None  # the model for these samples
    loss: str = CROSS_ENTROPY
    score: Score = accuracy  # of the outputs; its unit is a point
    metric: str = "accuracy"

    @property
    def tuning_groups(self) -> tuple[str, ...]:
        return self.tuning or self.groups[:1]

    def within(self, most_seeds: int) -> Task:
        """With no more seeds than these, even where a row stays undecided."""
        return replace(
            self,
            seeds=min(self.seeds, most_seeds),
            most_seeds=min(max(self.seeds, self.most_seeds), most_seeds),
        )

    def shortened(self) -> Task:
        """A few steps of one scheme and each method: whether they run, not what they show."""
        return replace(
            self,
            schemes=dict(list(self.schemes.items())[1:2]),
            groups=self.groups[:1],
            tuning=(),
            is_long=False,
            seeds=1,
            most_seeds=1,
            epochs=1,
            rates=self.rates[:1],
            most=20,
        )


TUNING_SEEDS = (1000, 1001)

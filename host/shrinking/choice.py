# SPDX-License-Identifier: Apache-2.0
"""Which channels leave: those of the least loss for each byte that an exact plan saves.

Scores alone remove what saves little, as most bytes lie where few channels are. So a step tries
some channels of each group, and takes those of the least loss for what they save of what is too
much; the scores of what leaves are taken to add up (docs/adr/0096).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from mcutrain.host.shrinking.prices import Price
from mcutrain.trainer.errors import BudgetError
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.shrinking.cut import Kept
from mcutrain.trainer.shrinking.groups import Groups

STEPS = 16  # in which a whole group would leave
WIDE, GRAIN = 32, 4  # groups so wide keep multiples of the grain: kernels take channels by fours
OFTEN = 4  # groups whose savings are tried anew in each step; of more, each in its turn

Counts = Mapping[str, int]  # units that stay, by group


class Pricing(Protocol):
    """What a cut takes (``prices.CutPrices``)."""

    def __call__(self, kept: Kept) -> Price: ...

    def refusal(self, kept: Kept) -> BudgetError: ...


@dataclass(frozen=True)
class Cut:
    """What stays, what training it takes, and the sum of the scores of what left."""

    kept: Kept
    price: Price
    loss: float


@dataclass(frozen=True)
class Choice:
    """The cut that fits, and the cuts on the way to it: the first is what takes nothing away, or
    what is constant alone."""

    cut: Cut
    path: tuple[Cut, ...]


@dataclass(frozen=True)
class Try:
    """The next units of a group left out: what that saved when it was tried, at a step."""

    saved: float
    cleared: int
    step: int


def choose(
    groups: Groups,
    scores: Mapping[str, Array],
    price: Pricing,
    constant: Mapping[str, Array] | None = None,
    report: Callable[[float], None] = lambda excess: None,
) -> Choice:
    """The cut of the least loss that was found within the limits of ``price``.

    ``scores`` (units,) by group: a group without any stays whole. Units that are ``constant``
    (units,) bool leave first, whether or not that is needed. ``report`` is told by how much the
    limits are still passed. Raises BudgetError if no cut fits, and what a plan raises.
    """
    return Greedy(groups, scores, price, constant or {}).run(report)


class Greedy:
    """A search for one cut; ``counts`` of units is where it stands."""

    def __init__(
        self,
        groups: Groups,
        scores: Mapping[str, Array],
        price: Pricing,
        constant: Mapping[str, Array],
    ) -> None:
        self.price = price
        self.units = {g.name: g.units for g in groups.groups if g.name in scores}
        self.order: dict[str, Array] = {}  # of each group the units as they leave
        self.losses: dict[str, Array] = {}  # and the loss of so many
        self.most: dict[str, int] = {}  # of units that stay
        self.tries: dict[str, Try] = {}
        for name, units in self.units.items():
            free = constant.get(name, np.zeros(units, bool))
            score = np.where(free, 0.0, scores[name])
            self.order[name] = np.lexsort((score, ~free))
            self.losses[name] = np.concatenate([[0.0], np.cumsum(score[self.order[name]])])
            self.most[name] = max(1, units - int(free.sum()))
        self.counts = dict(self.most)

    def run(self, report: Callable[[float], None]) -> Choice:
        path = [self.cut(self.counts)]
        if path[0].price.excess:
            least = self.kept(dict.fromkeys(self.units, 1))
            if self.price(least).excess:
                raise self.price.refusal(least)
        while excess := path[-1].price.excess:
            report(excess)
            self.counts = self.next(len(path), path[-1])
            path.append(self.cut(self.counts))
        if len(path) > 1:
            for fine in (GRAIN, 1):
                self.give_back(fine)
            path[-1] = self.cut(self.counts)
        return Choice(path[-1], tuple(path))

    def next(self, step: int, now: Cut) -> dict[str, int]:
        """The counts of the step that costs the least loss for what it saves.

        What a group saved is tried again when it is the best or was tried long ago.
        """
        able = [name for name in self.units if self.counts[name] > 1]
        if not able:
            raise self.price.refusal(now.kept)
        age = max(1, len(able) // OFTEN)
        for name in able:
            if name not in self.tries or step - self.tries[name].step >= age:
                self.tries[name] = self.tried(name, step, now)
        while self.tries[best := min(able, key=self.rank)].step < step:
            self.tries[best] = self.tried(best, step, now)
        return {**self.counts, best: self.fewer(best)}

    def tried(self, name: str, step: int, now: Cut) -> Try:
        found = self.price(self.kept({**self.counts, name: self.fewer(name)}))
        saved, cleared = now.price.excess - found.excess, now.price.crowding - found.crowding
        return Try(saved, cleared, step)

    def rank(self, name: str) -> tuple[int, float, float]:
        """Least for the best: by loss for what is saved, or for what is cleared, or alone."""
        found, loss = self.tries[name], self.between(name, self.fewer(name))
        if found.saved > 0:
            return 0, loss / found.saved, -found.saved
        if found.cleared > 0:
            return 1, loss / found.cleared, -found.cleared
        return 2, loss, 0.0

    def fewer(self, name: str) -> int:
        """How many units stay of a group without the next ones that leave."""
        units, count, fine = self.units[name], self.counts[name], grain(self.units[name])
        step = max(1, units // STEPS // fine) * fine
        return max(1, -(-count // fine) * fine - step)

    def more(self, name: str, fine: int) -> int:
        """How many stay of a group with the last ones that left, up to a multiple of ``fine``."""
        return min(self.most[name], (self.counts[name] // fine + 1) * fine)

    def between(self, name: str, count: int) -> float:
        """The loss between the units that stay of a group and another count of them."""
        losses, units = self.losses[name], self.units[name]
        return float(abs(losses[units - count] - losses[units - self.counts[name]]))

    def give_back(self, fine: int) -> None:
        """Put back what there is room for, the units of most loss first, to multiples of ``fine``
        where a group may have others than those of its grain."""
        left = (name for name in self.units if self.counts[name] < self.most[name])
        able = [name for name in left if fine % grain(self.units[name]) == 0]
        while able:
            name = max(able, key=lambda each: self.between(each, self.more(each, fine)))
            more = {**self.counts, name: self.more(name, fine)}
            fits = not self.price(self.kept(more)).excess
            self.counts = more if fits else self.counts
            if not fits or more[name] == self.most[name]:
                able.remove(name)

    def kept(self, counts: Counts) -> Kept:
        """The units that stay, ascending, of the groups that do not stay whole."""
        return {
            name: tuple(sorted(map(int, self.order[name][self.units[name] - count :])))
            for name, count in counts.items()
            if count < self.units[name]
        }

    def cut(self, counts: Counts) -> Cut:
        kept = self.kept(counts)
        loss = sum(self.losses[n][self.units[n] - count] for n, count in counts.items())
        return Cut(kept, self.price(kept), float(loss))


def grain(units: int) -> int:
    return GRAIN if units >= WIDE else 1

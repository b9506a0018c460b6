# SPDX-License-Identifier: Apache-2.0
"""Finds the net that adapts best within a budget: many are trained a little, the better ones
longer, and the best of these with several seeds beside the best that was made by hand."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np

from mcutrain.host.designing.effort import DesignPlan
from mcutrain.host.designing.nets import BY_HAND, DESIGNED, SHRUNK, Net
from mcutrain.host.designing.pricing import NetPricer
from mcutrain.host.designing.proposals import Proposals
from mcutrain.host.designing.workshop import Effort, Workshop
from mcutrain.host.search.budget import Cost
from mcutrain.host.search.pool import Pool, all_scores
from mcutrain.host.search.study import Study
from mcutrain.host.search.trial import TrialScore
from mcutrain.host.training.reporter import nothing
from mcutrain.trainer.errors import BudgetError, ModelError, SchemeError
from mcutrain.trainer.graph.tensor import Array

TOGETHER = 4  # nets that are proposed before one of them is trained, however many processes
KEPT = 3  # of so many nets one is trained longer
SHARES = (1 / 4, 1 / 2)  # of all epochs: in the trials, and of what is kept
Report = Callable[[str, int, int], None]  # phase, done, total
ByPerson = Mapping[int, TrialScore]


@dataclass(frozen=True)
class Judged:
    """A net with what it has come to: ``trial`` after the most that it was pretrained before it was
    promoted, and by (seed, person) if it was."""

    net: Net
    cost: Cost
    trial: TrialScore
    confirmed: Mapping[tuple[int, int], TrialScore] = field(default_factory=dict)

    @property
    def score(self) -> TrialScore:
        """The mean of all seeds and people; the trial's, if it was not promoted."""
        return mean_score(self.confirmed.values()) if self.confirmed else self.trial

    def best_seed(self) -> int:
        folds = sorted({fold for fold, _ in self.confirmed})
        return max(folds, key=lambda fold: self.of_seed(fold).value)

    def of_seed(self, fold: int) -> TrialScore:
        return mean_score(score for (each, _), score in self.confirmed.items() if each == fold)


@dataclass(frozen=True)
class Difference:
    """By how much one net is better than another, in pairs by seed and person, and its standard
    error: the larger of those over seeds and over people."""

    mean: float
    error: float

    @property
    def is_clear(self) -> bool:
        return abs(self.mean) > 2 * self.error


@dataclass
class Designed:
    """What a design comes to: the promoted nets, the best first; all others by their trial; and
    how the best one stands beside the best of those made by hand."""

    ranked: list[Judged]
    others: list[Judged]
    tried: int

    @property
    def best(self) -> Judged:
        return self.ranked[0]

    @property
    def rivals(self) -> list[Judged]:
        """The best of each other kind than the best net is."""
        first = dict[str, Judged]()
        for each in self.ranked:
            first.setdefault(each.net.kind, each)
        return [each for each in first.values() if each is not self.best]


def mean_score(scores: Iterable[TrialScore]) -> TrialScore:
    each = list(scores)
    errors = [score.mse for score in each if score.mse is not None]
    return TrialScore(
        float(np.mean([score.accuracy for score in each])),
        float(np.mean([score.certainty for score in each])),
        float(np.mean(errors)) if errors else None,
    )


def metric(score: TrialScore) -> float:
    """What people read: the accuracy, or the mean squared error."""
    return score.accuracy if score.mse is None else score.mse


def difference(
    one: Mapping[tuple[int, int], TrialScore], other: Mapping[tuple[int, int], TrialScore]
) -> Difference:
    pairs = sorted(set(one) & set(other))
    gaps = {pair: metric(one[pair]) - metric(other[pair]) for pair in pairs}
    return Difference(float(np.mean([*gaps.values()])), spread(gaps))


def spread(values: Mapping[tuple[int, int], float]) -> float:
    """The standard error of the mean of values by (seed, person): the larger of those over seeds
    and over people, of which there are more than one."""
    found = np.array([*values.values()])
    errors = [
        standard_error(found, [pair[axis] for pair in values])
        for axis in (0, 1)
        if len({pair[axis] for pair in values}) > 1
    ]
    return max(errors, default=math.inf)


def standard_error(values: Array, groups: list[int]) -> float:
    """Of the mean of ``values``, by the spread of the means of their groups."""
    each = np.array(groups)
    means = [values[each == group].mean() for group in np.unique(each)]
    return float(np.std(means, ddof=1) / math.sqrt(len(means)))


@dataclass
class NetSearch:
    """A design in progress over a study; every training is found there before it is made."""

    workshop: Workshop
    pricer: NetPricer
    plan: DesignPlan
    study: Study
    workers: Pool
    report: Report
    trials: dict[str, TrialScore] = field(default_factory=dict)  # the longest of each net, by key
    nets: dict[str, Net] = field(default_factory=dict)

    def run(self) -> Designed:
        """Raises BudgetError if nothing fits, and what a plan or a study raises."""
        self.tried(self.pricer.handmade())
        kept = self.best(self.nets.values(), max(1, math.ceil(len(self.nets) / KEPT)))
        kept = self.with_each(kept)
        self.scored("longer", kept, Effort(self.epochs(SHARES[1])))
        self.shrunk()
        promoted = self.with_each(self.best(kept, self.plan.promoted))
        return self.confirmed(promoted)

    @property
    def update(self) -> str:
        """What shall learn in all nets, but in some of those made by hand."""
        update = self.workshop.request.options.update
        assert isinstance(update, str)
        return update

    def epochs(self, share: float) -> int:
        return max(1, round(self.plan.epochs * share))

    def tried(self, handmade: list[Net]) -> None:
        """Those made by hand, and proposals until there are as many as were asked for."""
        effort = Effort(self.epochs(SHARES[0]))
        self.scored("nets made by hand", handmade, effort)
        proposals = Proposals(self.pricer, self.plan.seed, self.update)
        done = 0
        self.report("trials", done, self.plan.trials)
        while done < self.plan.trials:
            wanted = min(TOGETHER, self.plan.trials - done)
            together = [net for _ in range(wanted) if (net := proposals.next()) is not None]
            if not together:
                break
            for net, score in self.scored("", together, effort).items():
                proposals.tell(net, score.value)
            done += len(together)
            self.report("trials", done, self.plan.trials)
        if not self.nets:
            raise BudgetError(
                f"none of {len(self.pricer.known):,} nets that were looked at fits: give a larger "
                "budget, or more --trials",
                0,
                self.pricer.limits.sram,
            )

    def best(self, nets: Iterable[Net], count: int) -> list[Net]:
        """By their longest training, the best first."""
        return sorted(nets, key=lambda net: (-self.trials[net.key].value, net.key))[:count]

    def with_each(self, nets: list[Net]) -> list[Net]:
        """With the best of each kind among them."""
        for kind in (BY_HAND, DESIGNED, SHRUNK):
            same = [net for net in self.nets.values() if net.kind == kind]
            nets = nets + [net for net in self.best(same, 1) if net not in nets]
        return nets

    def shrunk(self) -> None:
        """The net made by hand that did best, whole and then shrunk, where that can be."""
        handmade = [net for net in self.nets.values() if net.kind == BY_HAND]
        for net in self.best(handmade, 1):
            whole = Net.of(net.family, {"percent": 100}, self.update)
            if self.pricer.fits(whole):
                continue  # nothing is to be cut
            small = whole.shrunk(self.pricer.limits.sram, self.workshop.conditions)
            effort = Effort(self.epochs(SHARES[1]))
            with suppress(BudgetError, ModelError, SchemeError):
                self.scored("shrunk", [small], effort)
                path = self.workshop.pretrained(small, effort, self.workshop.parts(0)[0])
                self.pricer.known[small.key] = self.pricer.of_file(small, path)

    def scored(self, phase: str, nets: list[Net], effort: Effort) -> dict[Net, TrialScore]:
        """The means over people; the study's where it has them, others are trained."""
        found = self.by_person(phase, nets, [effort])
        means = {net: mean_score(found[net.key, effort].values()) for net in nets}
        for net, score in means.items():
            self.nets[net.key], self.trials[net.key] = net, score
        return means

    def by_person(
        self, phase: str, nets: list[Net], efforts: list[Effort]
    ) -> dict[tuple[str, Effort], ByPerson]:
        known = {(net.key, each): self.recorded(net, each) for each in efforts for net in nets}
        found = {name: scores for name, scores in known.items() if scores}
        tell = self.report if phase else nothing
        tell(phase, len(found), len(known))
        for effort in efforts:

            def take(key: str, scores: ByPerson, effort: Effort = effort) -> None:
                record = record_key(key, effort)
                for person, score in scores.items():
                    self.study.add(f"{record} p{person}", score)
                # Last: of what a killed process left in part, the whole is made anew.
                self.study.add(record, mean_score(scores.values()))
                found[key, effort] = scores
                tell(phase, len(found), len(known))

            missing = [(net.key, net) for net in nets if (net.key, effort) not in found]
            all_scores(self.workers, missing, effort, take)
        return found

    def recorded(self, net: Net, effort: Effort) -> ByPerson:
        """What the study has; nothing if it has not all of it."""
        key = record_key(net.key, effort)
        if key not in self.study.scores:
            return {}
        start = f"{key} p"
        return {
            int(name.removeprefix(start)): score
            for name, score in self.study.scores.items()
            if name.startswith(start)
        }

    def confirmed(self, promoted: list[Net]) -> Designed:
        """All of them with every seed, and people that the trials were not judged by."""
        efforts = [Effort(self.plan.epochs, fold) for fold in range(1, self.plan.folds)]
        found = self.by_person("seeds", promoted, efforts)
        ranked = []
        for net in promoted:
            scores = {
                (effort.fold, person): score
                for effort in efforts
                for person, score in found[net.key, effort].items()
            }
            ranked.append(self.one(net, scores))
        ranked.sort(key=lambda each: -each.score.value)
        others = [self.one(net, {}) for net in self.nets.values() if net not in promoted]
        others.sort(key=lambda each: -each.trial.value)
        return Designed(ranked, others, len(self.nets))

    def one(self, net: Net, confirmed: Mapping[tuple[int, int], TrialScore]) -> Judged:
        cost = self.pricer.cost(net)
        assert cost is not None
        return Judged(net, cost, self.trials[net.key], confirmed)


def record_key(key: str, effort: Effort) -> str:
    """A training in the study: of the net ``key``."""
    return f"{key} e{effort.epochs} f{effort.fold}"

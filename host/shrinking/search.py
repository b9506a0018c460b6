# SPDX-License-Identifier: Apache-2.0
"""Schemes and sizes of a model in one search: what learns, and in how large a model.

Each size is a setup of the search for schemes (host.search), with the original beside them; all of
them are judged alike, behind a training on part of a user's samples, by the others.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mcutrain.host.boards import core_of
from mcutrain.host.budget.fit import ram_bytes
from mcutrain.host.building.target import Target
from mcutrain.host.prediction.predict import predict
from mcutrain.host.search.budget import Limits, Pricer
from mcutrain.host.search.effort import SearchPlan
from mcutrain.host.search.pool import pool
from mcutrain.host.search.report import described, told
from mcutrain.host.search.search import Found, SchemeSearch, Trained
from mcutrain.host.search.study import locked_study
from mcutrain.host.search.trial import Samples, Setup
from mcutrain.host.shrinking.builds import NOTHING_BUILT
from mcutrain.host.shrinking.inputs import Inputs
from mcutrain.host.shrinking.prices import planned
from mcutrain.host.shrinking.shrinking import Report, Shrinking, Smaller
from mcutrain.trainer.errors import BudgetError, DataError
from mcutrain.trainer.options import Scheme
from mcutrain.trainer.plan import ARITHMETIC_VERSION

SIZES = 3  # beside the original
DEEPEST = 0.35  # of what the original takes, where the budget asks for no cut
PROMOTED, FOLDS = 2, 3  # of each size: schemes that are trained again, and how often
JUDGED_SHARE = 0.5  # of the groups: nothing was repaired with their inputs


@dataclass(frozen=True)
class Sized:
    """A size of the model, and what the search found for it."""

    name: str
    small: Smaller
    found: Found

    @property
    def best(self) -> float:
        assert self.found.best.confirmed is not None
        return self.found.best.confirmed.value


@dataclass(frozen=True)
class Candidate:
    """A scheme of a size, trained: bytes of RAM, predicted instructions of a step."""

    size: str
    trained: Trained
    instructions: int

    @property
    def value(self) -> float:
        """What it scored where it was judged most thoroughly."""
        return (self.trained.confirmed or self.trained.trial).value

    def beats(self, other: Candidate) -> bool:
        """Whether it is as good in all, and better in one."""
        mine = (self.value, -self.trained.sram, -self.instructions)
        theirs = (other.value, -other.trained.sram, -other.instructions)
        return mine != theirs and all(a >= b for a, b in zip(mine, theirs, strict=True))

    def to_json(self) -> dict[str, Any]:
        one = self.trained
        return {
            "model": self.size,
            "scheme": described(one.scheme),
            "sram_bytes": one.sram,
            "predicted_instructions": self.instructions,
            "step_macs": one.macs,
            "trial": one.trial.to_json(),
            "confirmed": one.confirmed.to_json() if one.confirmed else None,
            "told": told(one.confirmed or one.trial),
        }


def front(candidates: list[Candidate]) -> list[Candidate]:
    """Those that no other beats in score, bytes and instructions, by bytes."""
    best = [c for c in candidates if not any(other.beats(c) for other in candidates)]
    return sorted(best, key=lambda c: (c.trained.sram, c.instructions))


def budgets(whole: int, sram: int) -> list[int]:
    """The RAM that training all of each size may take: from the budget on towards the original.

    >>> budgets(72068, 22500), budgets(20000, 32768)
    ([22500, 33167, 48890], [7000, 9933, 14095])
    """
    least = min(sram, round(DEEPEST * whole)) if sram >= whole else sram
    steps = range(SIZES)
    return [round(least * (whole / least) ** (k / SIZES)) for k in steps]


@dataclass(frozen=True)
class Searching:
    """What a search over sizes has found; ``skipped`` says of sizes why they were left out."""

    sizes: tuple[Sized, ...]
    skipped: tuple[str, ...]

    @property
    def winner(self) -> Sized:
        return max(self.sizes, key=lambda size: size.best)

    def candidates(self) -> list[Candidate]:
        """All schemes that were trained, of all sizes."""
        return [
            Candidate(size.name, one, instructions(size.small, one.scheme))
            for size in self.sizes
            for one in size.found.trained
        ]

    def to_json(self) -> dict[str, Any]:
        found = self.candidates()
        best, size = self.winner.found.best, self.winner
        chosen = Candidate(size.name, best, instructions(size.small, best.scheme))
        return {
            "chosen": chosen.to_json(),
            "front": [each.to_json() for each in front(found)],
            "trained": [each.to_json() for each in found],
            "skipped": list(self.skipped),
        }


def instructions(small: Smaller, scheme: Scheme) -> int:
    plan = small.request.but(update=scheme).plan_of(small.model, thorough=False)
    return predict(plan, core_of(plan.chip.name)).step


@dataclass
class SizeSearch:
    """A search over sizes: of ``trials`` schemes in all, by ``jobs`` processes. Limits are of
    builds for ``target``, where that is built for here."""

    shrinking: Shrinking
    samples: Samples
    limits: Limits
    folder: Path
    trials: int
    jobs: int
    epochs: int
    seed: int
    report: Report
    target: Target

    def run(self) -> Searching:
        """Raises BudgetError if nothing fits, else as a search for schemes does."""
        formats = self.shrinking.begun(self.limits)
        settled = formats.request.but(
            errors=formats.request.options.errors, weights=formats.request.options.weights
        )
        # Sizes are of plans, of which a build for a target has more.
        beside = 0 if formats.overhead is None else formats.overhead.sram
        self.shrinking = replace(self.shrinking, request=settled, builder=NOTHING_BUILT)
        sizes, skipped = self.sizes(self.limits.sram - beside)
        found = list[Sized]()
        for name, small in sizes.items():
            try:
                found.append(Sized(name, small, self.searched(name, small, len(sizes))))
            except BudgetError as err:
                skipped.append(f"{name}: {err}")
        if not found:
            raise BudgetError(f"no size fits: {skipped[0]}", 0, self.limits.sram)
        return Searching(tuple(found), tuple(skipped))

    def sizes(self, sram: int) -> tuple[dict[str, Smaller], list[str]]:
        """The original, and smaller ones from so many bytes on; those that cannot be are told."""
        whole = self.shrinking.whole()
        found, skipped = {"original": whole}, list[str]()
        ram = ram_bytes(planned(whole.request, whole.model))
        for k, budget in enumerate(budgets(ram, sram)):
            name = f"full in {budget:,}"
            try:
                limits = replace(self.limits, sram=budget)
                small = self.shrinking.at(limits, f"-{k + 1}")
            except BudgetError as err:
                skipped.append(f"{name}: {err}")
                continue
            if all(small.model is not other.model for other in found.values()):
                found[name] = small
        return found, skipped

    def searched(self, name: str, small: Smaller, sizes: int) -> Found:
        folder = self.folder / f"search-{name.replace(' ', '-').replace(',', '')}"
        request = small.request.without(["update"])
        setup = Setup(request, small.model, self.samples, folder / "latents", seed=self.seed)
        plan = SearchPlan(
            max(1, self.trials // sizes), PROMOTED, FOLDS, self.epochs, None, self.seed
        )
        identity = {**self.identity(small), "epochs": self.epochs}
        pricer = Pricer(request, small.model, self.limits)

        def report(phase: str, done: int, total: int) -> None:
            self.report(f"{name}, {phase}", done, total)

        with locked_study(folder, identity) as study, pool(setup, self.jobs) as workers:
            search = SchemeSearch(setup, pricer, plan, study, workers, report)
            return search.run(self.target)

    def identity(self, small: Smaller) -> dict[str, Any]:
        """What the scores of a size depend on."""
        return {
            "model": small.phases.key,
            "data set": self.samples.digest(),
            "request": small.request.stored(),
            "seed": self.seed,
            "arithmetic": ARITHMETIC_VERSION,
        }


def parts(inputs: Inputs, seed: int) -> tuple[Inputs, Samples]:
    """The inputs to repair with, and the samples to judge schemes by: of other groups where there
    are several, such as people. Raises DataError where nothing says what is right."""
    y = np.zeros((len(inputs.x), 0), np.int8) if inputs.y is None else inputs.y
    groups = inputs.groups
    if groups is None:
        return inputs, Samples(inputs.x, y, np.zeros(len(y), np.int64))
    names = np.random.default_rng([seed, 3]).permutation(np.unique(groups))
    judged = np.isin(groups, names[: max(1, round(JUDGED_SHARE * len(names)))])
    samples = Samples(inputs.x[judged], y[judged], groups[judged])
    rest = ~judged if not judged.all() else judged
    own = None if inputs.y is None else y[rest]
    return replace(inputs, x=inputs.x[rest], y=own, groups=groups[rest]), samples


def check_labels(inputs: Inputs, has_targets: bool, path: Path) -> None:
    """Raises DataError where a search cannot judge."""
    if has_targets and inputs.y is None:
        raise DataError(
            f"{path} has no labels: --search trains schemes and judges them by labels; give them, "
            "or leave --search out"
        )

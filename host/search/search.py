# SPDX-License-Identifier: Apache-2.0
"""Finds the scheme that learns a user's data best within a budget: contributions, then trials of
what they promise, then the best of these again (Lin et al. 2022, section 3.2)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import optuna

from mcutrain.host.building.target import Target
from mcutrain.host.search.board import overhead_of
from mcutrain.host.search.budget import Overhead, Pricer, key_of
from mcutrain.host.search.contribution import Contributions, measurements
from mcutrain.host.search.effort import SearchPlan
from mcutrain.host.search.pool import Pool, all_scores
from mcutrain.host.search.sampler import (
    ContributionSampler,
    distributions,
    fail_interrupted,
    finished,
    mend_journal,
    open_study,
    storage_error,
)
from mcutrain.host.search.space import Genes, Space, find_space
from mcutrain.host.search.study import Study, read_score
from mcutrain.host.search.trial import Setup, TrialEffort, TrialScore
from mcutrain.trainer.errors import BudgetError
from mcutrain.trainer.model import Model
from mcutrain.trainer.options import Scheme
from mcutrain.trainer.sequence import planned_part

BUILDS = 5  # at most, until the measured build fits
Report = Callable[[str, int, int], None]  # phase, done, total


@dataclass(frozen=True)
class Trained:
    """A scheme with what it scored: in its trial, and with other samples held out if it was one of
    the best."""

    scheme: Scheme
    sram: int  # by the plan: arena and learned bytes
    macs: int
    trial: TrialScore
    confirmed: TrialScore | None = None


@dataclass
class Found:
    """What a search comes to. ``trained`` has the head first, then all trials in their order."""

    best: Trained
    head: Trained
    trained: list[Trained]
    contributions: dict[str, float]
    overhead: Overhead
    notes: list[str] = field(default_factory=list)

    @property
    def front(self) -> list[Trained]:
        """The trials that no other beats in both score and bytes, by bytes."""
        ordered = sorted(self.trained, key=lambda t: (t.sram, -t.trial.value))
        best, front = -np.inf, []
        for one in ordered:
            if one.trial.value > best:
                best = one.trial.value
                front.append(one)
        return front


@dataclass
class SchemeSearch:
    """A search in progress over a study; every training is found there before it is made."""

    setup: Setup
    pricer: Pricer
    plan: SearchPlan
    study: Study
    workers: Pool
    report: Report
    storage: str | None = None

    def run(self, target: Target) -> Found:
        """Raises BudgetError if nothing fits, and what a plan, a build or a study raises."""
        model = self.counted_model()
        head = len(model.weighted) - 1
        least = Scheme("search", {head: 1.0}, frozenset({head}))
        self.pricer.check(least)
        if target.runs_here:
            self.pricer.overhead = self.measured(least, target)
            self.pricer.check(least)
        space = find_space(model, self.pricer)
        study = self.opened(space)
        contributions = self.contributions(space)
        self.kept_trials(space, contributions, study)
        return self.chosen(space, contributions, study, target)

    def counted_model(self) -> Model:
        """The model whose layers a scheme counts."""
        return planned_part(self.setup.model, self.setup.request.options)

    def measured(self, scheme: Scheme, target: Target) -> Overhead:
        plan = self.setup.plan_of(scheme)
        return overhead_of(plan, target, self.pricer.limits.instructions is not None)

    @property
    def effort(self) -> TrialEffort:
        """Of a contribution or a trial."""
        return TrialEffort(self.plan.epochs, self.plan.steps)

    def contributions(self, space: Space) -> Contributions:
        wanted = measurements(space, self.pricer)
        schemes = {space.key(g): space.scheme(g) for m in wanted for g in (m.genes, m.base)}
        scores = self.scores("contributions", schemes, self.effort)
        unit = self.unit(scores["head"])
        values = {key: score.value / unit for key, score in scores.items()}
        return Contributions(space, wanted, values, self.noise(scores["head"]))

    @staticmethod
    def unit(head: TrialScore) -> float:
        """What scores are divided by: 1, or the head's squared error."""
        return 1.0 if head.mse is None else max(head.mse, 1e-12)

    def noise(self, head: TrialScore) -> float:
        """The standard error by chance of a difference of two scores on the same samples: half of
        that on others, by experience."""
        spread = (
            np.sqrt(max(head.accuracy * (1 - head.accuracy), 0.01)) if head.mse is None else 0.3
        )
        return float(spread / np.sqrt(max(self.setup.held_out(), 1)) / 2)

    def scores(
        self, phase: str, schemes: Mapping[str, Scheme], effort: TrialEffort
    ) -> dict[str, TrialScore]:
        """The scores by key, those that the study has not trained now."""
        record = {key: record_key(scheme, effort) for key, scheme in schemes.items()}
        missing = [(k, s) for k, s in schemes.items() if record[k] not in self.study.scores]
        known = len(schemes) - len(missing)
        self.report(phase, known, len(schemes))

        def done(key: str, score: TrialScore) -> None:
            nonlocal known
            self.study.add(record[key], score)
            known += 1
            self.report(phase, known, len(schemes))

        all_scores(self.workers, missing, effort, done)
        return {key: self.study.scores[name] for key, name in record.items()}

    def opened(self, space: Space) -> optuna.Study:
        """The Optuna study of the trials. Raises StudyError, and OSError of the own journal."""
        if self.storage is not None:
            return open_study(self.storage, self.name(space))
        journal = self.study.folder / "trials.log"
        mend_journal(journal)
        study = open_study(str(journal), self.name(space))
        fail_interrupted(study)
        return study

    def kept_trials(self, space: Space, contributions: Contributions, study: optuna.Study) -> None:
        """``trials``. Raises StudyError if the storage fails meanwhile."""
        try:
            self.trials(space, contributions, study)
        except optuna.exceptions.StorageInternalError as err:
            raise storage_error(self.storage or str(self.study.folder), err) from None

    def trials(self, space: Space, contributions: Contributions, study: optuna.Study) -> None:
        """Train all trials that the study has not, if no other process does."""
        noise = self.noise(self.study.scores[record_key(space.scheme({}), self.effort)])
        study.sampler = ContributionSampler(
            space, self.pricer, contributions, noise, self.plan.seed
        )
        unit = self.unit(self.study.scores[record_key(space.scheme({}), self.effort)])
        self.report("trials", len(finished(study)), self.plan.trials)
        while (done := len(finished(study))) < self.plan.trials or self.workers.pending:
            if done + len(self.workers.pending) < self.plan.trials and not self.workers.is_full:
                trial = study.ask(distributions(space))
                scheme = space.scheme(trial.params)
                known = self.study.scores.get(record_key(scheme, self.effort))
                if known is not None:
                    self.tell(study, trial, scheme, known, unit)
                else:
                    self.workers.submit((trial, scheme), scheme, self.effort)
            else:
                for (trial, scheme), score in self.workers.next():
                    self.study.add(record_key(scheme, self.effort), score)
                    self.tell(study, trial, scheme, score, unit)
            self.report("trials", len(finished(study)), self.plan.trials)

    def tell(
        self,
        study: optuna.Study,
        trial: optuna.Trial,
        scheme: Scheme,
        score: TrialScore,
        unit: float,
    ) -> None:
        cost = self.pricer.cost(scheme)
        assert cost is not None
        trial.set_user_attr("value", score.value / unit)
        trial.set_user_attr("score", score.to_json())
        metric = score.accuracy if score.mse is None else -score.mse
        study.tell(trial, [metric, float(cost.sram)])

    def name(self, space: Space) -> str:
        """Of the Optuna study: of the same data, options and choices alone."""
        choices = {gene: list(values) for gene, values in space.choices.items()}
        effort = [self.effort.epochs, self.effort.steps]
        text = json.dumps([self.study.identity, choices, space.groups, effort])
        limits = self.pricer.limits
        text += f"{limits} {self.plan.seed}"
        return f"{self.setup.model.name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"

    def chosen(
        self, space: Space, contributions: Contributions, study: optuna.Study, target: Target
    ) -> Found:
        """The best of the promoted trials, which its build, if there is one, bears out."""
        trials = {space.key(t.params): dict(t.params) for t in finished(study)}
        trials.pop("head", None)
        # Those of other processes with the same storage are in no study of this one.
        scores_of = {space.key(t.params): score_of(t) for t in finished(study)}
        scores_of["head"] = self.study.scores[record_key(space.scheme({}), self.effort)]
        sampler = study.sampler
        assert isinstance(sampler, ContributionSampler)
        sampler.learn(finished(study))
        again = TrialEffort(self.plan.epochs, None, tuple(range(1, self.plan.folds + 1)))
        notes: list[str] = []
        for _ in range(BUILDS):
            ranked = self.ranked(space, trials, sampler)
            promoted = {key: space.scheme(trials[key]) for key in ranked[: self.plan.promoted]}
            scores = self.scores("confirmation", {"head": space.scheme({})} | promoted, again)
            best = max(scores, key=lambda key: scores[key].value)
            scheme = space.scheme(trials.get(best, {}))
            if target.runs_here:
                self.pricer.overhead = self.measured(scheme, target)
            if self.pricer.fits(scheme):
                trained = [
                    self.trained(space.scheme(genes), scores_of[key], scores.get(key))
                    for key, genes in (dict[str, Genes](head={}) | trials).items()
                ]
                found = next(t for t in trained if key_of(t.scheme) == key_of(scheme))
                gains = {f"{g} {v:g}": gain for (g, v), gain in contributions.raw.items()}
                return Found(found, trained[0], trained, gains, self.pricer.overhead, notes)
            notes.append(f"{space.key(trials.get(best, {}))} did not fit when it was built")
            trials.pop(best, None)
        self.pricer.check(space.scheme({}))
        raise BudgetError("no trial fits when it is built: give a larger budget, or more trials",
                          0, self.pricer.limits.sram)  # fmt: skip

    def ranked(
        self, space: Space, trials: Mapping[str, Genes], sampler: ContributionSampler
    ) -> list[str]:
        """The trials that fit, by what their neighbours and they have scored, best first."""
        fitting = [key for key, genes in trials.items() if self.pricer.fits(space.scheme(genes))]
        if not fitting:
            return []
        mean, _ = sampler.predictor.predict([trials[key] for key in fitting])
        return [fitting[k] for k in np.argsort(-mean, kind="stable")]

    def trained(self, scheme: Scheme, trial: TrialScore, confirmed: TrialScore | None) -> Trained:
        cost = self.pricer.cost(scheme)
        assert cost is not None
        return Trained(scheme, cost.sram, cost.macs, trial, confirmed)


def score_of(trial: optuna.trial.FrozenTrial) -> TrialScore:
    """What a finished trial was scored, by whichever process."""
    return read_score(trial.user_attrs["score"])


def record_key(scheme: Scheme, effort: TrialEffort) -> str:
    """A training in the study."""
    ratios, biases = key_of(scheme)
    weights = ",".join(f"{k}:{ratio:g}" for k, ratio in ratios)
    folds = ",".join(map(str, effort.folds))
    return f"w {weights} b {','.join(map(str, biases))} e{effort.epochs} s{effort.steps} f{folds}"

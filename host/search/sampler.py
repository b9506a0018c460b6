# SPDX-License-Identifier: Apache-2.0
"""The trials of a search: an Optuna study whose sampler proposes what the contributions promise."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler, NSGAIISampler
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from host.search.budget import Pricer
from host.search.contribution import Contributions
from host.search.guess import Guess
from host.search.predictor import Predictor
from host.search.space import Genes, Space
from host.search.study import ADVICE, StudyError

POPULATION = 40
CANDIDATES = 20  # for each gene, that are looked at before the first trial; 3 populations at least
MOST = 600
LATER = 5  # times fewer, when there are more trials
EVERY = 8  # trials, after which there are more candidates
FRONT_EVERY = 4  # trials, of which one goes to a smaller budget
INFEASIBLE = -10.0


def open_study(storage: str, name: str) -> optuna.Study:
    """The study in ``storage``, an Optuna URL or the path of a journal. Raises StudyError."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    place: str | BaseStorage = storage
    try:
        if "://" not in storage:
            place = JournalStorage(JournalFileBackend(storage))
        study = optuna.create_study(
            storage=place,
            study_name=name,
            directions=["maximize", "minimize"],
            load_if_exists=True,
        )
        study.get_trials(deepcopy=False)
    except Exception as err:  # each storage has errors of its own, and a damaged file any
        reason = str(err).splitlines()[0] if str(err) else type(err).__name__
        advice = "give another --storage" if "://" in storage else ADVICE
        raise StudyError(f"cannot use the trials in {storage}: {reason}; {advice}") from err
    return study


def fail_interrupted(study: optuna.Study) -> None:
    """Give up the trials that a killed process left under way; only for a study of one process."""
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)


@dataclass
class Candidates:
    """Schemes that by guess are within the budget and worth a look, with their bytes of RAM."""

    space: Space
    guess: Guess
    found: dict[str, tuple[Genes, int]] = field(default_factory=dict)

    def look(self, predictor: Predictor, count: int, seed: int) -> None:
        """Add what an evolutionary search of ``count`` schemes finds: NSGA-II (Deb et al. 2002)
        for a high prediction and few bytes, begun with greedy choices and the best so far."""
        sampler = NSGAIISampler(population_size=POPULATION, seed=seed)
        study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
        for genes in [*self.greedy(predictor), *self.best(predictor, POPULATION // 2)]:
            study.enqueue_trial(self.space.whole(genes), skip_if_exists=True)
        choices = distributions(self.space)
        for _ in range(count):
            trial = study.ask(choices)
            study.tell(trial, self.judged(dict(trial.params), predictor))

    def judged(self, genes: Genes, predictor: Predictor) -> tuple[float, float]:
        """(predicted score, bytes), and far below all scores by what passes the budget."""
        cost = self.guess(genes)
        excess = self.guess.pricer.excess(cost)
        if excess > 0:
            return INFEASIBLE - min(excess, -INFEASIBLE), float(cost.sram)
        self.found.setdefault(self.space.key(genes), (genes, cost.sram))
        mean, _ = predictor.predict([genes])
        return float(mean[0]), float(cost.sram)

    def best(self, predictor: Predictor, count: int) -> list[Genes]:
        if not self.found:
            return []
        genes = [genes for genes, _ in self.found.values()]
        mean, _ = predictor.predict(genes)
        return [genes[k] for k in np.argsort(-mean, kind="stable")[:count]]

    def greedy(self, predictor: Predictor, start: Genes | None = None) -> Iterator[Genes]:
        """From ``start`` on, the head alone if it is None, at each step with the gene that then
        adds most for its bytes."""
        genes = dict(start or {})
        while True:
            yield genes
            now = self.guess(genes).sram
            more = [
                genes | {gene: value}
                for gene, values in self.space.choices.items()
                for value in values
                if value > genes.get(gene, 0.0)
            ]
            costs = [self.guess(g) for g in more]
            fitting = [k for k, c in enumerate(costs) if self.guess.pricer.excess(c) <= 0]
            if not fitting:
                return
            mean, _ = predictor.predict([genes, *(more[k] for k in fitting)])
            gains = [
                (gain - mean[0]) / max(costs[k].sram - now, 64)
                for k, gain in zip(fitting, mean[1:], strict=True)
            ]
            if max(gains) <= 0:
                return
            genes = more[fitting[int(np.argmax(gains))]]


def plain_schemes(candidates: Candidates, predictor: Predictor) -> Iterator[Genes]:
    """What is tried first, as anyone would by hand: the biases of the last layers, as many groups
    as fit the budget, two thirds and a third of them; each alone, and with the weights that then
    promise most for their bytes. These also tell the predictor how deep to train."""
    space, pricer = candidates.space, candidates.guess.pricer
    most = max(
        (n for n in range(len(space.groups) + 1) if pricer.fits(space.scheme(space.suffix(n)))),
        default=0,
    )
    for count in dict.fromkeys((most, math.ceil(2 * most / 3), math.ceil(most / 3))):
        if not count:
            return
        suffix = space.suffix(count)
        yield suffix
        filled = [
            genes
            for genes in candidates.greedy(predictor, suffix)
            if pricer.fits(space.scheme(genes))
        ]
        yield filled[-1]


def distributions(space: Space) -> dict[str, BaseDistribution]:
    return {gene: CategoricalDistribution(values) for gene, values in space.choices.items()}


class ContributionSampler(BaseSampler):
    """Proposes the scheme whose predicted score, with a share of its error, is highest.

    Trials of all processes that work on the study count; those under way as if they had scored
    what is predicted, so that no two train the same.
    """

    def __init__(
        self, space: Space, pricer: Pricer, contributions: Contributions, noise: float, seed: int
    ) -> None:
        self.space, self.pricer, self.seed = space, pricer, seed
        self.predictor = Predictor(space, contributions, noise)
        self.candidates = Candidates(space, Guess(space, pricer))
        self._looked = -1
        self.plain: list[Genes] = []

    def learn(self, done: list[FrozenTrial]) -> None:
        """Fit the predictor to finished trials."""
        self.predictor.fit([trial.params for trial in done], [t.user_attrs["value"] for t in done])

    def propose(self, study: optuna.Study) -> Genes:
        done = finished(study)
        while self._looked < len(done) // EVERY:  # as if no trial had come after: so that a
            self._looked += 1  # study that goes on proposes what it would have
            known = done[: self._looked * EVERY]
            self.learn(known)
            if not self._looked:  # of the contributions alone
                self.plain = list(plain_schemes(self.candidates, self.predictor))
            self.candidates.guess.calibrate([trial.params for trial in known])
            count = min(max(CANDIDATES * len(self.space.choices), 3 * POPULATION), MOST)
            count = count // LATER if self._looked else count
            self.candidates.look(self.predictor, count, self.seed + self._looked)
        self.learn(done)
        busy = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        busy = [trial for trial in busy if set(trial.params) == set(self.space.choices)]
        taken = {self.space.key(trial.params) for trial in (*done, *busy)}
        for genes in self.plain:
            if self.space.key(genes) not in taken:
                return genes
        rng = np.random.default_rng([self.seed, len(done), len(busy)])
        pool = [(g, b) for key, (g, b) in self.candidates.found.items() if key not in taken]
        if not pool:
            pool = list(self.candidates.found.values())
        if len(done) % FRONT_EVERY == FRONT_EVERY - 1:
            sizes = [b for _, b in pool]
            limit = rng.uniform(min(sizes), max(sizes))
            pool = [(g, b) for g, b in pool if b <= limit]
        mean, error = self.predictor.predict([g for g, _ in pool])
        wanted = np.argsort(-(mean + rng.exponential(0.5) * error), kind="stable")
        return self.first_that_fits([pool[k][0] for k in wanted])

    def first_that_fits(self, wanted: list[Genes]) -> Genes:
        """By the plan, which the guess may have taken for smaller; else the head alone."""
        for genes in wanted:
            if self.pricer.fits(self.space.scheme(genes)):
                return genes
            self.candidates.found.pop(self.space.key(genes), None)
        return {}

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return distributions(self.space)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self.space.whole(self.propose(study)) if search_space else {}

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, name: str, distribution: BaseDistribution
    ) -> Any:
        raise AssertionError(f"{name} is proposed with all others")


def finished(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that were trained, in an order that does not depend on who trained them."""
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return [trial for trial in done if "value" in trial.user_attrs]

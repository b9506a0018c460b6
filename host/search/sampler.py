# SPDX-License-Identifier: Apache-2.0
"""The trials of a search: an Optuna study whose sampler proposes what the contributions promise."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from mcutrain.host.failure import reason
from mcutrain.host.files import cut_unfinished_line
from mcutrain.host.search.budget import Pricer
from mcutrain.host.search.candidates import Candidates
from mcutrain.host.search.contribution import Contributions
from mcutrain.host.search.guess import Guess
from mcutrain.host.search.predictor import Predictor
from mcutrain.host.search.space import Genes, Space
from mcutrain.host.search.study import ADVICE, StudyError
from mcutrain.host.urls import hidden, without_passwords
from mcutrain.trainer.graph.tensor import Array

PLANNED = 16  # schemes at random, that tell how far costs add up
FRONT_EVERY = 4  # trials, of which one goes to a smaller budget
LEAST = 1.2  # times what the head needs: the smallest of these
OPTIMISM = 2.0  # standard errors that are added to a prediction, in the mean
TRIED = 8  # schemes that are planned to find one that fits, before costs are guessed anew
ATTEMPTS, SMALLER = 10, 0.98  # to find one, each in a smaller share of the budget


def open_study(storage: str, name: str) -> optuna.Study:
    """The study in ``storage``, an Optuna URL or the path of a journal. Raises StudyError."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    place: str | BaseStorage = storage
    try:
        if "://" not in storage:
            # A lock is a link to the path: one that a killed process left is given up after a while
            # only if it leads there from its own folder.
            place = JournalStorage(JournalFileBackend(str(Path(storage).resolve())))
        study = optuna.create_study(
            storage=place,
            study_name=name,
            directions=["maximize", "minimize"],
            load_if_exists=True,
        )
        study.get_trials(deepcopy=False)
    except Exception as err:  # each storage has errors of its own, and a damaged file any
        raise storage_error(storage, err) from None  # its own text may hold a password
    return study


def storage_error(storage: str, err: Exception) -> StudyError:
    """What went wrong in a storage, in a line without passwords."""
    shown = without_passwords(storage)
    if isinstance(err, OSError):  # of the system, not of the study
        return StudyError(f"cannot use the trials in {shown}: {hidden(reason(err), storage)}")
    said = str(err).splitlines()[0] if str(err) else type(err).__name__
    advice = "give another --storage" if "://" in storage else ADVICE
    return StudyError(f"cannot use the trials in {shown}: {hidden(said, storage)}; {advice}")


def mend_journal(path: Path) -> None:
    """Take away what a killed process or a full disk left in a journal of trials: half a line, in
    which Optuna would go on, and its lock, for which it would wait; only for a study of one
    process. Raises OSError."""
    path.with_name(f"{path.name}.lock").unlink(missing_ok=True)
    if path.is_file():
        cut_unfinished_line(path)


def fail_interrupted(study: optuna.Study) -> None:
    """Give up the trials that a killed process left under way; only for a study of one process."""
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)


def plain_schemes(candidates: Candidates, predictor: Predictor) -> Iterator[Genes]:
    """What is tried first, as anyone would by hand: the biases of the last layers, as many groups
    as fit the budget, two thirds, a third and none of them, with the weights that then promise
    most for their bytes. These also tell the predictor how deep to train."""
    space, pricer = candidates.space, candidates.guess.pricer
    most = max(
        (n for n in range(len(space.groups) + 1) if pricer.fits(space.scheme(space.suffix(n)))),
        default=0,
    )
    for count in dict.fromkeys((most, math.ceil(2 * most / 3), math.ceil(most / 3), 0)):
        path = list(candidates.greedy(predictor, space.suffix(count)))
        yield next((genes for genes in reversed(path) if pricer.fits(space.scheme(genes))), path[0])


def distributions(space: Space) -> dict[str, BaseDistribution]:
    return {gene: CategoricalDistribution(values) for gene, values in space.choices.items()}


class ContributionSampler(BaseSampler):
    """Proposes the scheme whose predicted score, with a share of its error, is highest.

    Trials of all processes that work on the study count; no two train the same. Equal trials
    make equal proposals, so that a study that goes on proposes what it would have.
    """

    def __init__(
        self, space: Space, pricer: Pricer, contributions: Contributions, noise: float, seed: int
    ) -> None:
        self.space, self.pricer, self.seed = space, pricer, seed
        self.predictor = Predictor(space, contributions, noise)
        self.candidates = Candidates(space, Guess(space, pricer))
        rng = np.random.default_rng(seed)
        self.planned = [self.candidates.guess.drawn(rng) for _ in range(PLANNED)]
        self.candidates.guess.calibrate(self.planned)
        self.plain = list(plain_schemes(self.candidates, self.predictor))

    def learn(self, done: list[FrozenTrial]) -> None:
        """Fit predictor and guess to finished trials."""
        self.predictor.fit([trial.params for trial in done], [t.user_attrs["value"] for t in done])
        self.candidates.guess.calibrate([*self.planned, *(trial.params for trial in done)])

    def propose(self, study: optuna.Study) -> Genes:
        done = finished(study)
        self.learn(done)
        busy = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        busy = [trial for trial in busy if set(trial.params) == set(self.space.choices)]
        taken = {self.space.key(trial.params) for trial in (*done, *busy)}
        fitting = self.first_that_fits(self.plain, taken)
        return self.promising(done, len(busy), taken) if fitting is None else fitting

    def promising(self, done: list[FrozenTrial], busy: int, taken: set[str]) -> Genes:
        """The most promising scheme that fits; the head alone if there is none."""
        rng = np.random.default_rng([self.seed, len(done), busy])
        optimism, share = rng.exponential(OPTIMISM), 1.0

        def judge(schemes: Sequence[Genes]) -> Array:
            mean, error = self.predictor.predict(schemes)
            return np.asarray(mean + optimism * error)

        if len(done) % FRONT_EVERY == FRONT_EVERY - 1:
            least = self.candidates.guess.head.sram / self.pricer.limits.sram
            share = rng.uniform(min(LEAST * least, 1.0), 1.0)
        known: list[Genes] = [trial.params for trial in done]
        planned = [*self.planned, *known]
        for _ in range(ATTEMPTS):
            wanted = self.candidates.promising(judge, known, rng, share)
            wanted = [genes for genes in wanted if self.space.key(genes) not in taken][:TRIED]
            fitting = self.first_that_fits(wanted, taken)
            if fitting is not None:
                return fitting
            planned += wanted
            self.candidates.guess.calibrate(planned)
            share *= SMALLER
        return {}

    def first_that_fits(self, wanted: list[Genes], taken: set[str]) -> Genes | None:
        """By the plan, for the guess may be too small."""
        for genes in wanted:
            if self.space.key(genes) not in taken and self.pricer.fits(self.space.scheme(genes)):
                return genes
        return None

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

# SPDX-License-Identifier: Apache-2.0
"""That a search finds what is best: on scores that are a formula, of which all are known."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from mcutrain.host.building.target import Target
from mcutrain.host.request import Request
from mcutrain.host.search.budget import Limits, Pricer, cost_of
from mcutrain.host.search.effort import SearchPlan
from mcutrain.host.search.pool import Pool
from mcutrain.host.search.search import SchemeSearch
from mcutrain.host.search.space import find_space
from mcutrain.host.search.study import Study
from mcutrain.host.search.trial import Samples, Setup, TrialEffort, TrialScore
from mcutrain.trainer.options import Scheme
from mcutrain.trainer.tflite.reader import load
from tests.support.small_models import residual_model

SEEDS = 6
HEAD, MOST = 0.5, 0.15  # accuracy of the head alone, and what can be gained over it
WEIGHTS = {0: 0.09, 1: 0.01, 2: 0.06}  # what each layer's weights add to the sum, and its biases
BIASES = {0: 0.0, 1: 0.03, 2: 0.005}


@dataclass
class Formula(Setup):
    """In place of training: gains that saturate, observed with an error that a seed draws."""

    error: float = 0.005

    def score(self, scheme: Scheme, effort: TrialEffort) -> TrialScore:
        rng = np.random.default_rng(abs(hash((self.seed, effort.folds, *key_of(scheme)))))
        value = truth(scheme) + rng.normal(0, self.error / np.sqrt(len(effort.folds)))
        return TrialScore(value, value)


def key_of(scheme: Scheme) -> tuple[float, ...]:
    """Numbers, whose hash is the same in all processes."""
    return *(scheme.ratios.get(k, 0.0) for k in WEIGHTS), *(k in scheme.biases for k in BIASES)


def truth(scheme: Scheme) -> float:
    total = sum(WEIGHTS[k] * ratio for k, ratio in scheme.ratios.items() if k in WEIGHTS)
    total += sum(BIASES[k] for k in scheme.biases if k in BIASES)
    return HEAD + MOST * (1 - np.exp(-total / MOST))


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory) -> Formula:
    folder = tmp_path_factory.mktemp("quality")
    path = folder / "small.tflite"
    path.write_bytes(residual_model())
    samples = Samples(np.zeros((2000, 1), np.int8), np.zeros(2000, int), np.zeros(2000, int))
    return Formula(Request(path), load(path), samples, folder / "latents")


@pytest.fixture(scope="module")
def pricer(setup: Formula) -> Pricer:
    """The budget is a fifth less than all layers take."""
    request = setup.request.but(update="full")
    everything = cost_of(request.plan_of(setup.model), False).sram
    return Pricer(setup.request, setup.model, Limits(round(0.8 * everything)))


def found(setup: Formula, pricer: Pricer, folder: Path, seed: int) -> tuple[float, int]:
    """What the scheme is worth that a search finds, and how many trainings that took."""
    mine, study = replace(setup, seed=seed), Study(folder, {})
    plan, workers = SearchPlan(12, 3, 2, seed=seed), Pool(mine, 1, None)
    search = SchemeSearch(mine, pricer, plan, study, workers, lambda *_: None)
    scheme = search.run(Target.parse("reference")).best.scheme
    assert pricer.fits(scheme)
    return truth(scheme), len(study.scores)


def best_at_random(setup: Formula, pricer: Pricer, count: int, rng: np.random.Generator) -> float:
    """What the best of ``count`` schemes is worth that are drawn among those that fit."""
    space, values = find_space(setup.model, pricer), list[float]()
    while len(values) < count:
        scheme = space.scheme({gene: float(rng.choice(v)) for gene, v in space.choices.items()})
        values += [truth(scheme)] if pricer.fits(scheme) else []
    return max(values)


@pytest.mark.exhaustive
@pytest.mark.slow
def test_a_search_is_better_than_random_schemes(
    setup: Formula, pricer: Pricer, tmp_path: Path
) -> None:
    """By 0.4 points on average, although the best of as many random ones is known without error."""
    searches = [found(setup, pricer, tmp_path / str(seed), seed) for seed in range(SEEDS)]
    values, trainings = zip(*searches, strict=True)
    rng = np.random.default_rng(0)
    at_random = [best_at_random(setup, pricer, max(trainings), rng) for _ in range(SEEDS)]

    assert np.mean(values) > np.mean(at_random) + 0.004

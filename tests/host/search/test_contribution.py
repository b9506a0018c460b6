# SPDX-License-Identifier: Apache-2.0
"""What a search chooses from, what its contributions are, and what they predict."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from mcutrain.host.request import Request
from mcutrain.host.search.budget import Limits, Overhead, Pricer, cost_of
from mcutrain.host.search.candidates import Candidates
from mcutrain.host.search.contribution import (
    POWER,
    Contributions,
    Measurement,
    measurements,
    shrunk,
    whole_gains,
)
from mcutrain.host.search.guess import Guess
from mcutrain.host.search.predictor import Predictor
from mcutrain.host.search.space import Genes, Space, find_space
from mcutrain.trainer.errors import BudgetError
from mcutrain.trainer.model import Model
from mcutrain.trainer.options import Scheme
from mcutrain.trainer.scheme import parse_scheme
from mcutrain.trainer.tflite.reader import load
from tests.support.small_models import residual_model

HEAD = 3  # of the residual model


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "small.tflite"
    path.write_bytes(residual_model())
    return path


@pytest.fixture(scope="module")
def model(path: Path) -> Model:
    return load(path)


def pricer(path: Path, model: Model, sram: int) -> Pricer:
    return Pricer(Request(path), model, Limits(sram))


def bytes_of(path: Path, model: Model, scheme: Scheme | str) -> int:
    return cost_of(Request(path).but(update=scheme).plan_of(model), False).sram


def test_with_room_for_all_everything_is_a_choice(path: Path, model: Model) -> None:
    space = find_space(model, pricer(path, model, 10**6))

    assert space.layers == 4
    assert set(space.ratios) == {0, 1, 2}
    assert space.ratios[1] == (0.125, 0.25, 0.5, 1.0)
    assert space.groups == ((2,), (1,), (0,))
    everything = {f"w{k}": 1.0 for k in range(3)} | space.suffix(3)
    full = parse_scheme("full", model)
    assert space.scheme(everything).ratios == full.ratios
    assert space.scheme(everything).biases == full.biases
    assert space.scheme({}).ratios == {HEAD: 1.0}


def test_what_does_not_fit_alone_is_no_choice(path: Path, model: Model) -> None:
    limit = bytes_of(path, model, "last:2") - 1
    priced = pricer(path, model, limit)
    space = find_space(model, priced)

    for genes in ({f"w{k}": r} for k, ratios in space.ratios.items() for r in ratios):
        assert bytes_of(path, model, space.scheme(genes)) <= limit
    whole = Scheme("s", {2: 1.0, HEAD: 1.0}, frozenset({HEAD}))
    assert (1.0 in space.ratios.get(2, ())) == (bytes_of(path, model, whole) <= limit)


def test_a_budget_below_the_head_says_by_how_much(path: Path, model: Model) -> None:
    needed = bytes_of(path, model, "head")
    priced = pricer(path, model, needed - 7)

    with pytest.raises(BudgetError, match=rf"nothing fits.*{needed:,} bytes of RAM.*: 7 more"):
        priced.check(parse_scheme("head", model))
    pricer(path, model, needed).check(parse_scheme("head", model))


def test_what_a_build_adds_counts(path: Path, model: Model) -> None:
    needed = bytes_of(path, model, "head")
    head = parse_scheme("head", model)
    limits = Limits(needed + 99, None, 10**9)

    assert not Pricer(Request(path), model, limits, Overhead(100)).fits(head)
    assert Pricer(Request(path), model, limits, Overhead(99)).fits(head)
    assert not Pricer(Request(path), model, limits, Overhead(0, 0, 1e9)).fits(head)


def test_flash_is_constants_and_code(path: Path, model: Model) -> None:
    head = parse_scheme("head", model)
    constants = cost_of(Request(path).but(update="head").plan_of(model), True).constants
    limits = Limits(10**6, constants + 10)

    assert constants > 0
    assert Pricer(Request(path), model, limits, Overhead(0, 10)).fits(head)
    assert not Pricer(Request(path), model, limits, Overhead(0, 11)).fits(head)


def test_measurements_fit_and_each_has_its_base(path: Path, model: Model) -> None:
    limit = bytes_of(path, model, "last:3")
    priced = pricer(path, model, limit)
    space = find_space(model, priced)
    found = measurements(space, priced)

    trained = {space.key(m.genes) for m in found}
    assert {space.key(m.base) for m in found} <= trained
    assert {(m.gene, m.value) for m in found if m.gene.startswith("w")} == {
        (f"w{k}", r) for k, ratios in space.ratios.items() for r in ratios[-2:]
    }
    for m in found:
        assert bytes_of(path, model, space.scheme(m.genes)) <= limit
        assert all(m.genes[gene] == value for gene, value in m.base.items())


SPACE = Space(4, {0: (0.25, 1.0), 2: (0.25, 1.0)}, ((2, 1), (0,)))
MEASURED = [
    Measurement("", 0.0, {}, {}),
    Measurement("b0", 1.0, {"b0": 1.0}, {}),
    Measurement("w2", 0.25, {"w2": 0.25}, {}),
    Measurement("w2", 1.0, {"w2": 1.0}, {}),
    Measurement("w0", 1.0, {"b0": 1.0, "w0": 1.0}, {"b0": 1.0}),
]
SCORES = {"head": 0.5, "b0=1": 0.52, "w2=0.25": 0.55, "w2=1": 0.6, "w0=1 b0=1": 0.53}


def test_contributions_are_gains_over_their_base() -> None:
    found = Contributions(SPACE, MEASURED, SCORES, 0.0)

    assert found.raw == pytest.approx(
        {("b0", 1.0): 0.02, ("w2", 0.25): 0.05, ("w2", 1.0): 0.1, ("w0", 1.0): 0.01}
    )
    assert found.gain("b1", 1.0) == 0.0
    assert found.gain("w2", 0.25) < found.gain("w2", 0.5) < found.gain("w2", 1.0)
    assert found.gain("w2", 0.0) == 0.0
    assert found.total({"w2": 1.0, "b0": 1.0, "w0": 0.0}) == pytest.approx(
        found.gain("w2", 1.0) + found.gain("b0", 1.0)
    )


def test_gains_of_ratios_are_one_curve() -> None:
    """The least squares of two ratios that are on the curve, and of two that are not."""
    on = {("w0", v): 0.1 * v**POWER for v in (0.25, 0.5)}
    off = {("w1", 0.5): 0.0, ("w1", 1.0): 0.1}
    found = whole_gains(on | off)

    assert found["w0"] == pytest.approx(0.1)
    assert found["w1"] == pytest.approx(0.1 / (1 + 0.5 ** (2 * POWER)))


def test_noise_moves_gains_to_their_mean() -> None:
    gains = {"w0": 0.0, "w1": 0.01, "w2": 0.02}

    assert shrunk(gains, 0.0) == pytest.approx(gains)
    moved = shrunk(gains, 0.1)
    assert sum(moved.values()) == pytest.approx(sum(gains.values()))
    assert moved["w0"] == pytest.approx(0.005)
    assert moved["w2"] == pytest.approx(0.015)


def test_trained_schemes_correct_the_sum() -> None:
    contributions = Contributions(SPACE, MEASURED, SCORES, 0.0)
    predictor = Predictor(SPACE, contributions, 0.001)
    schemes = [{"w2": 1.0}, {"w0": 1.0}, {"w2": 1.0, "b0": 1.0}]
    before, error = predictor.predict(schemes)
    assert before[0] > before[1]

    predictor.fit([{"w2": 1.0}], [0.55])
    after, less = predictor.predict(schemes)
    assert after[0] == pytest.approx(0.55, abs=0.005)
    assert after[2] < before[2]
    assert less[0] < error[0] and less[2] < error[2]


def test_what_schemes_gain_saturates() -> None:
    """A scheme of all genes gains less than their sum; the ceiling follows the trained schemes."""
    scores = {key: score + 0.2 * (key != "head") for key, score in SCORES.items()}
    contributions = Contributions(SPACE, MEASURED, scores, 0.0)
    predictor = Predictor(SPACE, contributions, 0.001)
    everything = {"w0": 1.0, "w2": 1.0, "b0": 1.0}
    (whole, *parts), _ = predictor.predict([everything, {"w0": 1.0}, {"w2": 1.0}, {"b0": 1.0}])
    assert max(parts) < whole < 0.5 + sum(part - 0.5 for part in parts)

    most = []
    for score in (0.75, 0.85, 1.1):
        predictor.fit([everything], [score])
        most.append(predictor.most)
    assert most == sorted(most) and most[0] < most[-1]


def test_candidates_fit_and_come_in_order(path: Path, model: Model) -> None:
    priced = pricer(path, model, bytes_of(path, model, "last:3"))
    space = find_space(model, priced)
    guess = Guess(space, priced)

    def judge(schemes: Sequence[Genes]) -> np.ndarray:
        return np.array([sum(genes.values()) for genes in schemes])

    known = [{"w2": space.ratios[2][0]}, {"b0": 1.0}]
    for share in (1.0, 0.8):
        found = Candidates(space, guess).promising(judge, known, np.random.default_rng(0), share)
        assert all(guess.fits(genes, share) for genes in found)
        worth = judge(found).tolist()
        assert worth == sorted(worth, reverse=True)
        assert len({space.key(genes) for genes in found}) == len(found)
        for genes in Candidates(space, guess).neighbours(found[0]):  # none better is overlooked
            assert not guess.fits(genes, share) or judge([genes])[0] <= worth[0]


def test_a_guess_is_exact_for_one_part_and_near_for_more(path: Path, model: Model) -> None:
    priced = pricer(path, model, 10**6)
    space = find_space(model, priced)
    guess = Guess(space, priced)
    for genes in ({}, {"b1": 1.0}, {"w2": 1.0}, {"w0": space.ratios[0][0]}):
        exact = priced.cost(space.scheme(genes))
        assert exact is not None
        assert (guess(genes).arena, guess(genes).learned) == (exact.arena, exact.learned)

    rng = np.random.default_rng(0)
    drawn = [{g: float(rng.choice(v)) for g, v in space.choices.items()} for _ in range(20)]
    guess.calibrate(drawn)
    off = []
    for genes in drawn:
        exact = priced.cost(space.scheme(genes))
        assert exact is not None
        off.append(abs(guess(genes).sram / exact.sram - 1))
    assert np.mean(off) < 0.15 and max(off) < 0.35

# SPDX-License-Identifier: Apache-2.0
"""Ridge regression that draws towards given weights."""

from __future__ import annotations

import numpy as np
import pytest

from mcutrain.host.shrinking.regression import RIDGES, Problem, Solver, best_ridge
from mcutrain.trainer.graph.tensor import Array

# Of float64 sums over some hundred rows of values about 1, whose eigenvalues differ by less than
# 1e4: 1e-16 times the rows and the condition number.
CLOSE = 1e-9


def problem(rows: int, read: int, has_bias: bool = True, noise: float = 0.0) -> Problem:
    """Two regressions of three outputs, each a line of what is read."""
    rng = np.random.default_rng(rows)
    x = rng.normal(1.0, 1.0, (2, rows, read))
    t = x @ rng.normal(size=(2, read, 3)) + (2.0 if has_bias else 0.0)
    return Problem(x, t + noise * rng.normal(size=t.shape), rng.normal(size=(2, read, 3)), has_bias)


def solved(found: Problem, ridge: float) -> Array:
    return Solver(found).weights(np.full(2, ridge))


@pytest.mark.parametrize("has_bias", [True, False])
def test_without_a_ridge_weights_are_those_of_least_squares(has_bias: bool) -> None:
    found = problem(50, 7, has_bias, noise=0.5)
    weights = solved(found, 0.0)

    for x, t, w in zip(found.x, found.t, weights, strict=True):
        columns = np.hstack([x, np.ones((50, 1))]) if has_bias else x
        expected = np.linalg.lstsq(columns, t, rcond=None)[0]
        np.testing.assert_allclose(w, expected[:7], atol=CLOSE)


def test_a_bias_is_the_best_for_its_weights() -> None:
    found = problem(50, 7)
    weights = solved(found, 0.0)

    np.testing.assert_allclose(found.fitted(weights, found.bias(weights)), found.t, atol=CLOSE)
    assert not problem(50, 7, has_bias=False).bias(weights).any()


@pytest.mark.parametrize("rows", [5, 50])
def test_weights_are_those_of_the_formula_whichever_matrix_is_smaller(rows: int) -> None:
    found = problem(rows, 7, has_bias=False, noise=0.5)
    weights = solved(found, 0.1)

    for x, t, w0, w in zip(found.x, found.t, found.w0, weights, strict=True):
        gram = x.T @ x
        ridge = 0.1 * np.trace(gram) / 7 * np.eye(7)
        expected = w0 + np.linalg.solve(gram + ridge, x.T @ (t - x @ w0))
        np.testing.assert_allclose(w, expected, atol=CLOSE)


def test_an_endless_ridge_leaves_weights_as_they_are() -> None:
    found = problem(50, 7)

    np.testing.assert_array_equal(solved(found, np.inf), found.w0)


def test_what_is_never_read_leaves_weights_as_they_are() -> None:
    found = problem(50, 7, has_bias=False)
    silent = Problem(np.zeros_like(found.x), found.t, found.w0, has_bias=False)

    np.testing.assert_array_equal(solved(silent, 1.0), found.w0)


def test_the_ridge_is_the_weaker_the_more_the_rows_tell() -> None:
    held = np.arange(60) % 5 == 0
    clear, noisy = problem(60, 40), problem(60, 40, noise=30.0)

    assert best_ridge(clear, held).max() == min(RIDGES)
    assert best_ridge(noisy, held).min() > min(RIDGES)


def test_weights_that_nothing_improves_stay() -> None:
    """They are those that made what is wanted, but for noise."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(1, 60, 40))
    w0 = rng.normal(size=(1, 40, 30))
    t = x @ w0 + rng.normal(size=(1, 60, 30))

    assert best_ridge(Problem(x, t, w0), np.arange(60) % 5 == 0) == np.inf

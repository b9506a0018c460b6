# SPDX-License-Identifier: Apache-2.0
"""Weights rounded so that their errors make each other good."""

from __future__ import annotations

import numpy as np
import pytest

from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.int4 import GREATEST, LEAST
from mcutrain.trainer.shrinking.gptq import STEPS, Rounded, nearest, rounded


def drawn(filters: int, inputs: int, seed: int) -> tuple[Array, Array]:
    """Weights in quanta, and the covariance of inputs that are alike in part."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(4 * inputs, 3)) @ rng.normal(size=(3, inputs))
    x += 0.3 * rng.normal(size=x.shape)
    return rng.integers(-127, 128, (filters, inputs)).astype(float), np.cov(x.T, bias=True)


def coarsest(weights: Array) -> Array:
    return np.asarray(np.maximum(weights.max(axis=1) / GREATEST, weights.min(axis=1) / LEAST))


def error(weights: Array, found: Rounded, hessian: Array) -> Array:
    missed = weights - found.weights * found.steps[:, None]
    return np.asarray(np.einsum("fi,ij,fj->f", missed, hessian, missed))


def least_of_nearest(weights: Array, hessian: Array) -> Array:
    """The error of rounding to the nearest, with the best step."""
    steps = coarsest(weights)[:, None] * STEPS
    rows = [Rounded(nearest(weights / s[:, None]), s) for s in steps.T]
    return np.asarray(np.min([error(weights, each, hessian) for each in rows], axis=0))


@pytest.mark.parametrize("inputs", [9, 130])  # of one part, and of three
def test_errors_are_less_than_those_of_the_nearest_values(inputs: int) -> None:
    weights, hessian = drawn(20, inputs, inputs)
    found = rounded(weights, coarsest(weights), [hessian])
    best = least_of_nearest(weights, hessian)

    assert found.weights.dtype == np.int8
    assert found.weights.min() >= LEAST
    assert found.weights.max() <= GREATEST
    assert (error(weights, found, hessian) <= best).mean() > 0.8
    assert error(weights, found, hessian).sum() < 0.6 * best.sum()


def test_inputs_without_correlation_have_the_nearest_values() -> None:
    weights, _ = drawn(20, 30, 3)
    found = rounded(weights, coarsest(weights), [np.eye(30)])

    np.testing.assert_array_equal(found.weights, nearest(weights / found.steps[:, None]))


def test_inputs_that_do_not_vary_have_the_nearest_values_and_change_no_others() -> None:
    weights, hessian = drawn(20, 30, 4)
    still = hessian.copy()
    still[7:20] = still[:, 7:20] = 0
    found = rounded(weights, coarsest(weights), [still])
    varies = np.r_[:7, 20:30]
    alone = rounded(weights[:, varies], coarsest(weights), [hessian[np.ix_(varies, varies)]])
    part = found.weights[:, 7:20]

    np.testing.assert_array_equal(part, nearest(weights[:, 7:20] / found.steps[:, None]))
    kept = Rounded(found.weights[:, varies], found.steps)
    errors = [
        error(weights[:, varies], each, hessian[np.ix_(varies, varies)]).sum()
        for each in (kept, alone)
    ]
    assert errors[0] == pytest.approx(errors[1], rel=0.1)  # the damping and the steps differ


def test_nothing_that_varies_is_rounding_to_the_nearest() -> None:
    weights, _ = drawn(5, 12, 5)
    found = rounded(weights, coarsest(weights), [np.zeros((12, 12))])

    np.testing.assert_array_equal(found.weights, nearest(weights / found.steps[:, None]))
    assert (found.steps > 1).all()


def test_weights_of_four_bits_stay() -> None:
    _, hessian = drawn(1, 12, 6)
    weights = np.random.default_rng(6).integers(LEAST, GREATEST + 1, (8, 12)).astype(float)
    weights[0] = 0
    found = rounded(weights, coarsest(weights), [hessian])

    np.testing.assert_array_equal(found.weights, weights)
    np.testing.assert_array_equal(found.steps, np.ones(8))


def test_blocks_are_rounded_as_if_nothing_lay_beside_them() -> None:
    weights, hessian = drawn(20, 40, 7)
    apart = hessian.copy()
    apart[:16, 16:] = apart[16:, :16] = 0
    blocks = [hessian[:16, :16], hessian[16:, 16:]]
    both, one = (rounded(weights, coarsest(weights), each) for each in (blocks, [apart]))

    # The damping is that of each block, the order that of all inputs.
    assert error(weights, both, apart).sum() == pytest.approx(
        error(weights, one, apart).sum(), rel=0.1
    )

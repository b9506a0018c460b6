# SPDX-License-Identifier: Apache-2.0
"""Least squares with coefficients that are not negative (Lawson and Hanson 1974, chapter 23)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
TURNS = 10  # at most so many for each coefficient
NEAR_0 = 1e-9


def nnls(a: Floats, b: Floats) -> Floats:
    """x >= 0 with the least |a x - b|.

    >>> nnls(np.array([[1.0, 1.0], [2.0, -1.0]]), np.array([3.0, 9.0])).round(6).tolist()
    [4.2, 0.0]
    """
    x, used = np.zeros(a.shape[1]), np.zeros(a.shape[1], bool)
    least = NEAR_0 * np.abs(a.T @ b).max()
    for _ in range(TURNS * a.shape[1]):
        slope = np.where(used, -np.inf, a.T @ (b - a @ x))
        if slope.max() <= least:
            break
        used[slope.argmax()] = True
        while True:
            best = np.zeros_like(x)
            best[used] = np.linalg.lstsq(a[:, used], b, rcond=None)[0]
            below = used & (best <= 0)
            if not below.any():
                break
            way = (x[below] / (x[below] - best[below])).min()
            x = x + way * (best - x)
            used &= x > NEAR_0 * x.max()
        x = best
    return x

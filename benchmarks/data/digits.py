# SPDX-License-Identifier: Apache-2.0
"""Handwritten digits (Alpaydin and Kaynak 1998): 1,797 images of 8 x 8, from scikit-learn.

They lie in the order of their writers, each of whom begins with 0 to 9 three times over. So the
first rows are some people's digits, and the last rows those of others.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.data import RawSamples
from benchmarks.data.fetch import DataUnavailable
from mcutrain.trainer.graph.tensor import Array

CLASSES = 10
COUNT = 1797
FIRST_WRITERS = 905  # rows of the writers that the starting model knows; here begins another


def first_writers() -> RawSamples:
    """x (905, 8, 8, 1) float32 in [0, 1], y (905,). Raises DataUnavailable."""
    return _all().take(slice(None, FIRST_WRITERS))


def other_writers() -> RawSamples:
    """x (892, 8, 8, 1) float32 in [0, 1], y (892,). Raises DataUnavailable."""
    return _all().take(slice(FIRST_WRITERS, None))


def _all() -> RawSamples:
    try:
        from sklearn.datasets import load_digits
    except ImportError as err:
        raise DataUnavailable(
            "digits: they come with the pip package scikit-learn: `pip install scikit-learn`"
        ) from err
    x, y = load_digits(return_X_y=True)
    assert x.shape == (COUNT, 64)
    return RawSamples((x.reshape(-1, 8, 8, 1) / 16).astype(np.float32), y.astype(np.int64))


def thickened(x: Array) -> Array:
    """Strokes of twice the width: each pixel is the darkest of it and the four beside it."""
    wide = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    beside = (wide[:, 1:-1, :-2], wide[:, 1:-1, 2:], wide[:, :-2, 1:-1], wide[:, 2:, 1:-1])
    return np.asarray(np.maximum.reduce([x, *beside]))


ALTERED: dict[str, Callable[[Array], Array]] = {
    "inverted": lambda x: 1 - x,
    "turned": lambda x: np.rot90(x, 1, (1, 2)),
    "thickened": thickened,
}

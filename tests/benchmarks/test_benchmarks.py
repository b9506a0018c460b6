# SPDX-License-Identifier: Apache-2.0
"""The reference does its work in NumPy, and the watch data are split as the benchmark says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.data.watch import load_people, split
from benchmarks.reference import reference_of
from tests.support.counting import calls_of


def test_a_split_gives_five_windows_of_each_class_and_no_window_twice() -> None:
    x, y = load_people()[3]
    data = split(x, y, seed=1, person=3)

    assert np.bincount(data.y_train).tolist() == [5] * 7
    assert len(data.x_train) + len(data.x_test) == len(x)
    assert not {s.tobytes() for s in data.x_train} & {s.tobytes() for s in data.x_test}


@pytest.mark.parametrize(
    ("case", "calls"), [("resnet8, full", 25_000), ("mcunet-5fps, 49kb", 150_000)]
)
def test_a_step_of_the_reference_loops_in_numpy(case: str, calls: int, models: Path) -> None:
    """Two thirds of what is allowed; a call for each element of one layer would be too many."""
    reference, sample = reference_of(models, case)
    reference.step(sample, 1)

    assert calls_of(lambda: reference.step(sample, 1)) < calls

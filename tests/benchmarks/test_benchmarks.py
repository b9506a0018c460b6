# SPDX-License-Identifier: Apache-2.0
"""The reference is quick enough, and the watch data are split as the benchmark says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.data.watch import load_people, split
from benchmarks.reference import step_seconds


def test_a_split_gives_five_windows_of_each_class_and_no_window_twice() -> None:
    x, y = load_people()[3]
    data = split(x, y, seed=1, person=3)

    assert np.bincount(data.y_train).tolist() == [5] * 7
    assert len(data.x_train) + len(data.x_test) == len(x)
    assert not {s.tobytes() for s in data.x_train} & {s.tobytes() for s in data.x_test}


@pytest.mark.parametrize(("case", "seconds"), [("resnet8, full", 0.25), ("mcunet-5fps, 49kb", 1.0)])
def test_a_step_of_the_reference_is_quick(case: str, seconds: float, models: Path) -> None:
    """About a tenth of what is allowed, on an idle core."""
    assert step_seconds(models, case) < seconds

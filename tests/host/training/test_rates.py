# SPDX-License-Identifier: Apache-2.0
"""Learning rates over a run."""

from __future__ import annotations

import itertools
import math

import pytest

from mcutrain.host.training.loop import rates
from mcutrain.host.training.training_options import TrainingOptions
from mcutrain.trainer.errors import DataError
from mcutrain.trainer.ops.sgd import LearningRate


def test_a_step_schedule_ends_with_a_quarter_of_the_rate() -> None:
    assert rates(9, 0.5, "step") == [
        (0, LearningRate.from_real(0.5)), (6, LearningRate.from_real(0.125)),
    ]  # fmt: skip
    assert rates(9, 0.5, "constant") == [(0, LearningRate.from_real(0.5))]


@pytest.mark.parametrize("total", [1, 2, 3, 31, 32, 1000])
def test_a_cooldown_holds_the_rate_for_half_of_the_steps_and_ends_near_0(total: int) -> None:
    """In at most 16 stairs, none of them empty: a device is told of no more rates than that."""
    (start, first), *stairs = rates(total, 0.5, "cooldown")
    starts = [step for step, _ in stairs]
    falling = [rate.real for _, rate in stairs]

    assert (start, first.real) == (0, 0.5)
    assert len(stairs) == min(16, total // 2)
    assert starts == sorted(set(starts)) and all(total - total // 2 <= s < total for s in starts)
    assert falling == sorted(falling, reverse=True) and all(0 < rate < 0.5 for rate in falling)
    if len(stairs) == 16:
        assert falling[0] == pytest.approx(0.5 * 31 / 32) and falling[-1] == 0.5 / 32
        lengths = {b - a for a, b in itertools.pairwise([*starts, total])}
        assert max(lengths) - min(lengths) <= 1  # equally long


@pytest.mark.parametrize("total", [1, 2, 7, 1000])
def test_a_cosine_schedule_falls_along_a_cosine(total: int) -> None:
    """Each step has the nearest 8-bit rate, and only changes are listed."""
    found = rates(total, 0.02, "cosine")
    starts = [step for step, _ in found]
    at = {step: next(r for s, r in reversed(found) if s <= step) for step in range(total)}

    assert starts == sorted(set(starts)) and starts[0] == 0
    assert all(a[1] != b[1] for a, b in itertools.pairwise(found))
    for step, rate in at.items():
        wanted = 0.02 * (1 + math.cos(math.pi * step / total)) / 2
        assert rate == LearningRate.from_real(wanted)


def test_other_schedules_are_refused() -> None:
    with pytest.raises(
        DataError, match="unknown schedule 'linear': give cooldown, step, constant, cosine"
    ):
        TrainingOptions(schedule="linear")

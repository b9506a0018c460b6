# SPDX-License-Identifier: Apache-2.0
"""Whole runs over a line that damages a byte in a thousand: the same weights, for little more."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcutrain.host.building.firmware import Build, build
from mcutrain.host.building.target import Target
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import load
from tests.support.noisy_training import train_over
from tests.support.paths import WATCH

pytestmark = [pytest.mark.board, pytest.mark.slow]
RATE = 1e-3


def built(model: Path, update: str) -> Build:
    target = Target.parse("native")
    return build(make_plan(load(model), PlanOptions(update), target.chip), target)


def assert_cheap(made: Build, steps: int, most_faults_each: float) -> None:
    """The same state, and not twice the bytes; the faults are there."""
    clean, noisy = train_over(made, steps, 0.0), train_over(made, steps, RATE)

    assert noisy.state == clean.state
    assert noisy.nbytes < 2 * clean.nbytes
    assert most_faults_each * steps > noisy.faults > clean.faults == 0


@pytest.mark.parametrize("steps", [1050, pytest.param(10_000, marks=pytest.mark.exhaustive)])
def test_the_watch_trains_alike(steps: int) -> None:
    assert_cheap(built(WATCH / "watch.tflite", "last:2"), steps, 1)


def test_a_model_whose_sample_is_a_long_frame_trains_alike(models: Path) -> None:
    """Such a frame never came through whole."""
    model = models / "mlperf-tiny" / "pretrainedResnet_quant.tflite"

    assert_cheap(built(model, "last:4"), 30, 20)

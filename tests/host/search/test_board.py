# SPDX-License-Identifier: Apache-2.0
"""What a search measures on a board."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mcutrain.host.boards import chip_of
from mcutrain.host.building.firmware import build
from mcutrain.host.building.target import Target
from mcutrain.host.prediction.predict import predict
from mcutrain.host.search.board import instructions_of_step, overhead_of
from mcutrain.host.simulation.counts import read_counts
from mcutrain.host.training.runners import simulated
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import parse
from tests.support.small_models import residual_model

BOARD = "mps2_an386"


@pytest.mark.slow
@pytest.mark.board
def test_a_step_of_a_new_head_is_counted_in_the_steady_state(tmp_path: Path) -> None:
    """The first sends no errors back: a limit of instructions that it meets, others do not."""
    model = parse(residual_model(), "small")
    plan = make_plan(model, PlanOptions("last:2", classes=5), chip_of(BOARD))
    built = build(plan, Target.parse(f"sim:{BOARD}"))
    with simulated(built, tmp_path / "counts") as runner:
        runner.reset(0)
        runner.step(np.zeros(plan.task.input.type.size, np.int8), np.array(0), False)
    (first,) = read_counts(tmp_path / "counts")["step"]
    steady = instructions_of_step(built)

    assert steady > first
    assert steady == instructions_of_step(built)
    assert (
        overhead_of(plan, built.target, counts=True).factor
        == steady / predict(plan, "cortex-m4").step
    )

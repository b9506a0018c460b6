# SPDX-License-Identifier: Apache-2.0
"""Plans of the small model."""

from __future__ import annotations

from pathlib import Path

from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import parse
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.small_models import residual_model

PARTIAL = "bias_last = 2\n[weights]\n0 = 0.7\ndw_w = 0.5\n2 = 0.25\n"


def small_plan(update: str = "full", name: str = "small") -> TrainingPlan:
    return make_plan(parse(residual_model(), name), PlanOptions(update))


def partial_plan(folder: Path, name: str = "small") -> TrainingPlan:
    (folder / "partial.toml").write_text(PARTIAL)
    return small_plan(str(folder / "partial.toml"), name)

# SPDX-License-Identifier: Apache-2.0
"""Counts a model on a core: instructions by node, operations, flash. What was counted is kept in
build/instructions, under the name of the build that it was counted of."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.instructions.subjects import MORE, SUBJECTS, boards
from benchmarks.places import BUILD
from mcutrain.host.building.firmware import build
from mcutrain.host.building.target import SIM, Target
from mcutrain.host.cost import measured
from mcutrain.host.files import write_whole
from mcutrain.host.simulation.profile import profiles_json
from mcutrain.host.training.random_steps import profiled
from mcutrain.trainer.chip import GENERIC
from mcutrain.trainer.errors import BudgetError
from mcutrain.trainer.training_plan import TrainingPlan

KEPT = BUILD / "instructions"
PORTABLE = "portable C"


@dataclass(frozen=True)
class Count:
    """One model on one core; ``profile`` is what `mcutrain plan --profile --json` gives."""

    model: str
    update: str
    core: str
    board: str
    variant: str
    forward_macs: int
    step_macs: int
    flash_bytes: int
    profile: dict[str, Any]

    @property
    def inference(self) -> int:
        return int(self.profile["forward"]["instructions"])

    @property
    def step(self) -> int:
        return int(self.profile["step"]["instructions"])


def variants(core: str) -> list[str]:
    """What kernels a core can run: those chosen by its features, and portable C beside them."""
    features = {", ".join(sorted(Target.parse(SIM + b).chip.features)) for b in boards(core)}
    return [*sorted(features - {""}), PORTABLE]


def plan_on(model: str, target: Target, variant: str) -> TrainingPlan:
    """The plan for a target's chip, or for any chip, which has portable kernels alone. Raises
    Error, DataUnavailable."""
    is_plain = variant == PORTABLE and target.chip.features
    return {**SUBJECTS, **MORE}[model].request().on(GENERIC if is_plain else target.chip).plan()


def count(model: str, core: str, variant: str) -> Count:
    """On the first of the core's boards that the model fits. Raises Error, DataUnavailable."""
    names = boards(core)
    for board in names:
        target = Target.parse(SIM + board)
        try:
            return count_on(plan_on(model, target, variant), model, core, target, variant)
        except BudgetError:
            if board == names[-1]:
                raise
    raise BudgetError(f"{core}: there is no board", 0, 0)


def count_on(plan: TrainingPlan, model: str, core: str, target: Target, variant: str) -> Count:
    built = build(plan, target)
    file = KEPT / f"{target.board}-{built.build_hash.hex()}.json"
    if file.is_file():
        return Count(**json.loads(file.read_text(encoding="utf-8")))
    found = Count(
        model,
        plan.scheme.name,
        core,
        target.board,
        variant,
        plan.forward_macs,
        plan.step_macs,
        measured(built)["flash_bytes"],
        profiles_json(profiled(built)),
    )
    write_whole(file, json.dumps(asdict(found)))
    return found

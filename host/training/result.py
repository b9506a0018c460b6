# SPDX-License-Identifier: Apache-2.0
"""What came of a training."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from mcutrain.host.training.evaluation import Evaluation, changes
from mcutrain.host.training.guard import Guarded
from mcutrain.host.training.monitor import Finding
from mcutrain.host.training.movement import Movement
from mcutrain.host.training.verify import Difference
from mcutrain.host.training.yardstick import Yardstick


@dataclass
class Result:
    """What came of a training run."""

    seed: int = 0
    metric: str = "accuracy"  # of before and after; or mse, in squared real units
    evaluation_before: Evaluation | None = None  # of the test samples; None until it is measured
    evaluation_after: Evaluation | None = None
    steps: int = 0
    planned_steps: int = 0  # of epochs; 0 until they are known
    verified_steps: int = 0
    losses: list[float] = field(default_factory=list)
    difference: Difference | None = None
    verified: bool = False
    seconds: float = 0.0
    state: bytes = b""
    guarded: Guarded | None = None  # None without the guard
    stopped: bool = False  # by whoever was told of the progress
    interrupted: bool = False  # by a signal; what was learned was kept
    signal: int = 0  # which
    findings: list[Finding] | None = None  # None where nobody looked
    movement: Movement | None = None  # nor there
    resumed_from: int | None = None  # steps that a checkpoint had; None for a run in one go
    step_seconds: float = 0.0  # of all steps: this computer's clock, link and verification included
    yardstick: Yardstick = field(default_factory=Yardstick)

    @property
    def before(self) -> float | None:
        """The metric of the test samples; None until it is measured."""
        return None if self.evaluation_before is None else self.evaluation_before.figure

    @property
    def after(self) -> float | None:
        return None if self.evaluation_after is None else self.evaluation_after.figure

    @property
    def bit_exact(self) -> bool | None:
        """Whether every step and prediction was equal to the reference's; None if not compared."""
        if not self.verified:
            return None
        return self.difference is None and self.verified_steps == self.steps

    def to_json(self) -> dict[str, Any]:
        return {
            f"{self.metric}_before": self.before,
            f"{self.metric}_after": self.after,
            **self.classes_json(),
            "steps": self.steps,
            "verified_steps": self.verified_steps,
            "bit_exact": self.bit_exact,
            "difference": None if self.difference is None else str(self.difference),
            "losses": self.losses,
            "seconds": round(self.seconds, 3),
            "guard": None if self.guarded is None else self.guarded.to_json(),
            "interrupted": self.interrupted,
            "resumed_from": self.resumed_from,
            "step_seconds": round(self.step_seconds, 6),
            "movement": None if self.movement is None else self.movement.to_json(),
            **self.yardstick.to_json(self.metric, self.after),
            "saturation": None if self.findings is None else [asdict(f) for f in self.findings],
        }

    def classes_json(self) -> dict[str, Any]:
        """The confusion matrices, and what changed for each class; None where there are none."""
        before, after = self.evaluation_before, self.evaluation_after
        changed = None if before is None or after is None else changes(before, after)
        return {
            "confusion_before": None if before is None else before.confusion_json(),
            "confusion_after": None if after is None else after.confusion_json(),
            "class_changes": changed or None,
            "mean_iou_before": None if before is None else before.mean_iou,
            "mean_iou_after": None if after is None else after.mean_iou,
        }

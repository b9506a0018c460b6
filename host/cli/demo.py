# SPDX-License-Identifier: Apache-2.0
"""The demonstrations: each example adapted to a new place, natively and on a Cortex-M4."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from mcutrain.host.building.target import Target
from mcutrain.host.cli.dry_run import check_tools
from mcutrain.host.cli.reporter import ConsoleReporter
from mcutrain.host.defaults import REPORT
from mcutrain.host.extras import require_extra
from mcutrain.host.places import EXAMPLES
from mcutrain.host.request import Request
from mcutrain.host.show.training_page import write_report
from mcutrain.host.training.anomaly import Detection, in_turn, reconstruction_errors
from mcutrain.host.training.job import Outcome, TrainingJob
from mcutrain.host.training.run import run_job
from mcutrain.host.training.runners import ReferenceRunner
from mcutrain.host.training.training_options import TrainingOptions
from mcutrain.trainer.errors import Error
from mcutrain.trainer.options import CROSS_ENTROPY, RECONSTRUCTION
from mcutrain.trainer.training_plan import TrainingPlan

TARGETS = ("native", "sim:mps2_an386")
GESTURES = "gestures"
FAST_EPOCHS = 3


@dataclass(frozen=True)
class Demo:
    """An example: its folder in ``examples`` holds MODEL and ``demo.npz``.

    ``classes``: the names of a classifier's classes, in the order of its outputs. ``windows``: of
    an anomaly detector, over how many samples in a row it judges; else 0.
    """

    folder: str
    model: str
    doing: str
    update: str
    epochs: int
    classes: tuple[str, ...] = ()
    loss: str = CROSS_ENTROPY
    windows: int = 0

    @property
    def paths(self) -> tuple[Path, Path]:
        """The model and the data."""
        folder = EXAMPLES / self.folder
        return folder / self.model, folder / "demo.npz"


# By the name that the command takes.
DEMOS: Mapping[str, Demo] = {
    GESTURES: Demo(
        "watch", "watch.tflite", "adapting the watch to a left wrist", "last:2", 30,
        ("pendulum", "abduction", "forward elevation", "internal rotation", "external rotation",
         "trapezius extension", "upright row"),
    ),
    "camera": Demo(
        "camera", "camera.tflite", "adapting the camera to its new place", "last:2", 20,
        ("washer", "nut", "screw", "bracket", "plate", "gear"),
    ),
    "machine": Demo(
        "machine", "machine.tflite", "learning what is normal for this machine", "full", 4,
        loss=RECONSTRUCTION, windows=8,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Shown:
    """What a demonstration came to; ``detection`` before and after, of an anomaly detector."""

    outcomes: list[Outcome]
    report: Path
    detection: tuple[Detection, Detection] | None = None

    def to_json(self) -> dict[str, Any]:
        found = {"runs": [o.to_json() for o in self.outcomes], "report": str(self.report)}
        if self.detection is None:
            return found
        before, after = (each.to_json() for each in self.detection)
        return {**found, "detection": {"before": before, "after": after}}

    def lines(self) -> list[str]:
        """What stands below the table, for people."""
        found = [] if self.detection is None else detection_lines(*self.detection)
        return [*found, f"report: {self.report}"]


def run_demo(
    console: Console, report: Path | None = None, fast: bool = False, name: str = GESTURES
) -> Shown:
    """Train the example on both targets, verified, and write the report. Raises Error for a name
    that there is not."""
    if name not in DEMOS:
        raise Error(f"there is no demonstration '{name}': give {', '.join(DEMOS)}")
    require_extra("build")
    require_extra("report")
    for target in TARGETS:
        check_tools(Target.parse(target))
    if report is None:
        report = REPORT if name == GESTURES else REPORT.with_stem(f"{REPORT.stem}-{name}")
    demo = DEMOS[name]
    model, data = demo.paths
    options = TrainingOptions(epochs=min(FAST_EPOCHS, demo.epochs), verify=True, monitor=True)
    if not fast:
        options = replace(options, epochs=demo.epochs)
    outcomes, reporter = [], ConsoleReporter(console)
    for target in TARGETS:
        counts = target.startswith("sim:")
        console.print(f"{target}: {demo.doing}", highlight=False)
        request = Request.of(model, demo.update, loss=demo.loss, class_names=demo.classes)
        job = TrainingJob(request, data, target, None, options, counts)
        outcomes.append(run_job(job, reporter))
    command = ["mcutrain", "demo", name, *(["--fast"] if fast else [])]
    write_report(report, outcomes, " ".join(command))
    last = outcomes[-1]
    detection = detections(last.plan, data, last.result.state, demo) if demo.windows else None
    return Shown(outcomes, report, detection)


def detections(
    plan: TrainingPlan, data: Path, state: bytes, demo: Demo
) -> tuple[Detection, Detection]:
    """Before training and with the learned ``state``; the reference computes the device's bits."""
    with np.load(data, allow_pickle=False) as arrays:
        normal, odd = arrays["x_test"], arrays["x_faulty"]
    found = []
    runner = ReferenceRunner(plan)
    runner.reset(0)
    for each in (None, state):
        if each is not None:
            runner.load(each)
        errors = (reconstruction_errors(plan, runner, samples) for samples in (normal, odd))
        found.append(Detection.of(*(in_turn(each, demo.windows) for each in errors)))
    return found[0], found[1]


def detection_lines(before: Detection, after: Detection) -> list[str]:
    """What an anomaly detector finds, for people."""
    share = f"{100 * after.false_alarms:.0f} % false alarms"
    return [
        f"faults found at {share}: {100 * before.detected:.1f} % before, "
        f"{100 * after.detected:.1f} % after",
        f"area under the ROC curve: {before.auc:.3f} before, {after.auc:.3f} after",
    ]

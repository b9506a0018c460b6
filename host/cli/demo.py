# SPDX-License-Identifier: Apache-2.0
"""The demonstration: the smartwatch example adapted to one person, natively and on a Cortex-M4."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from mcutrain.host.defaults import REPORT
from mcutrain.host.extras import require_extra
from mcutrain.host.places import EXAMPLE_DIR
from mcutrain.host.request import Request
from mcutrain.host.show.training_page import write_report
from mcutrain.host.training.job import Outcome, TrainingJob
from mcutrain.host.training.loop import TrainingOptions
from mcutrain.host.training.run import run_job

TARGETS = ("native", "sim:mps2_an386")
EPOCHS, FAST_EPOCHS = 30, 3


def run_demo(console: Console, report: Path = REPORT, fast: bool = False) -> list[Outcome]:
    """Train last:2 on both targets, verified, and write the report."""
    require_extra("build")
    require_extra("report")
    options = TrainingOptions(epochs=FAST_EPOCHS if fast else EPOCHS, verify=True, monitor=True)
    outcomes = []
    for target in TARGETS:
        counts = target.startswith("sim:")
        console.print(f"{target}: adapting the watch to a left wrist", highlight=False)
        model, data = EXAMPLE_DIR / "watch.tflite", EXAMPLE_DIR / "demo.npz"
        job = TrainingJob(Request.of(model, "last:2"), data, target, None, options, counts)
        outcomes.append(run_job(job, console))
    write_report(report, outcomes, f"mcutrain demo{' --fast' if fast else ''}")
    return outcomes

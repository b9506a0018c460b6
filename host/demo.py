# SPDX-License-Identifier: Apache-2.0
"""The demonstration: the smartwatch example adapted to one person, natively and on a Cortex-M4."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from host.jobs import Job, Outcome, run_job
from host.pio import PROJECT_DIR
from host.report import write_report
from host.request import Request
from host.train import Options

WATCH = PROJECT_DIR / "examples" / "watch"
REPORT = PROJECT_DIR / "build" / "reports" / "demo.html"
TARGETS = ("native", "sim:mps2_an386")
EPOCHS, FAST_EPOCHS = 30, 3


def run_demo(console: Console, fast: bool = False) -> tuple[list[Outcome], Path]:
    """Train last:2 on both targets, verified, and write the report."""
    options = Options(epochs=FAST_EPOCHS if fast else EPOCHS, verify=True)
    outcomes = []
    for target in TARGETS:
        counts = target.startswith("sim:")
        console.print(f"{target}: adapting the watch to a left wrist", highlight=False)
        model, data = WATCH / "watch.tflite", WATCH / "demo.npz"
        job = Job(Request(model, "last:2"), data, target, None, options, counts)
        outcomes.append(run_job(job, console))
    write_report(REPORT, outcomes)
    return outcomes, REPORT

# SPDX-License-Identifier: Apache-2.0
"""The table of arenas in docs/memory.md: ``python -m tests.tools.memory_table`` remakes it.

``tests/trainer/planner/test_placement.py`` checks each row, and that no arena is
far above its lower bound.
"""

from __future__ import annotations

import sys
from pathlib import Path

from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.planner.lifetimes import demand
from mcutrain.trainer.tflite.reader import load
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.paths import ROOT, models_folder
from tests.tools.model_table import SUBJECTS, find

DOCUMENT = ROOT / "docs" / "memory.md"
BEGIN, END = "<!-- begin table -->\n", "<!-- end table -->\n"
HEADER = (
    "| model | scheme | arena | lower bound | above | live at once | peak at |\n"
    "|---|---|---|---|---|---|---|\n"
)
SCHEMES = ("head", "last:2", "last:4", "bias", "full")
NEAR = 0.02  # of the lower bound


def row(name: str, plan: TrainingPlan) -> str:
    memory = plan.memory
    kept = {plan.record, *([plan.task.predicted] if plan.task.predicted else [])}
    at_once = demand(plan.graph, kept).live_at_once
    above = memory.arena_bytes / memory.lower_bound - 1
    return (
        f"| {name} | {plan.scheme.name} | {memory.arena_bytes:,} | {memory.lower_bound:,} | "
        f"{100 * above:.1f} % | {at_once:,} | {memory.peak(plan.graph).name} |\n"
    )


def excess(line: str) -> float:
    """Of a row: the part that the arena is above its lower bound."""
    arena, bound = (int(cell.replace(",", "")) for cell in line.split("|")[3:5])
    return arena / bound - 1


def is_near(line: str) -> bool:
    """Whether a row's arena is as near to its lower bound as it must be."""
    return excess(line) <= NEAR


def rows(name: str, models: Path) -> list[str]:
    """The lines of one model: the plain schemes, and the files that are its own."""
    subject = SUBJECTS[name]
    path = find(subject, models)
    model = load(path)
    files = [str(path.parent / "schemes" / s) for s in subject.schemes if s.endswith(".toml")]
    plans = (
        make_plan(model, PlanOptions(scheme, subject.classes, loss=subject.loss))
        for scheme in (*SCHEMES, *files)
    )
    return [row(name, plan) for plan in plans]


def main() -> None:
    models = models_folder()
    if models is None:
        sys.exit("no real models: set MCUTRAIN_MODELS to their folder")
    lines = "".join(line for name in SUBJECTS for line in rows(name, models))
    head, rest = DOCUMENT.read_text().split(BEGIN)
    DOCUMENT.write_text(head + BEGIN + HEADER + lines + END + rest.split(END)[1])
    print(lines, end="")


if __name__ == "__main__":
    main()

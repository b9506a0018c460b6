# SPDX-License-Identifier: Apache-2.0
"""All tasks in one table: the mean over tasks of what the default is behind the best float."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gaps import Gap
from benchmarks.methods import BEST_FLOAT
from benchmarks.tables import ALL, SECONDS, SPLIT

INTRODUCTION = """\
The default less the best float practice, in points: the mean over the updates of each task, what it
is the sum of, how many rows are met, and seconds of the processor for finding the rate and for the
training. A task counts once, whatever its pairs. Rows in which even the best float practice ends
below where it began do not count: all that differs there is how much is forgotten."""


def markdown(results: Path) -> str:
    """A section of docs/accuracy.md, of the tasks that were measured; empty if none was."""
    lines, gaps, parts = [], list[Gap](), list[list[float]]()
    for path in sorted(results.glob("*.json")):
        rows = counted(json.loads(path.read_text())["rows"])
        of_rows = [Gap(**row["best"]) for row in rows]
        # Updates share their samples, so that their errors do not make each other smaller.
        gap = Gap(*(float(np.mean([getattr(g, f) for g in of_rows])) for f in ("mean", "error")))
        part = [float(np.mean([row["split"][name]["mean"] for row in rows])) for name in SPLIT]
        seconds = [f"{np.mean([row[name] for row in rows]):.2f}" for name in SECONDS]
        said = [g.verdict.value for g in of_rows]
        counts = ", ".join(f"{said.count(v)} {v}" for v in dict.fromkeys(said))
        lines.append(line(path.stem, str(gap), *map(points, part), counts, *seconds))
        gaps.append(gap)
        parts.append(part)
    if not gaps:
        return ""
    errors = np.square([gap.error for gap in gaps])
    mean = float(np.mean([gap.mean for gap in gaps]))
    together = Gap(mean, float(np.sqrt(errors.sum()) / len(gaps)))
    of_parts = map(points, np.mean(parts, axis=0))
    lines.append(line("**mean**", f"**{together}**", *of_parts, together.verdict.value, "", ""))
    head = line("task", "default - best float", *SPLIT, "rows", "`auto`, s", "training, s")
    rule = "|---|" + "---:|" * (1 + len(SPLIT)) + "---|---:|---:|"
    return "\n".join([INTRODUCTION, "", head, rule, *lines]) + "\n"


def line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def points(value: float) -> str:
    return f"{value:+.2f}"


def counted(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those of all groups together, where there are such rows, in which the best float practice
    gains something."""
    found = [row for row in rows if row["group"] == ALL] or rows
    return [row for row in found if row["after"][BEST_FLOAT] > row["before_float"]] or found

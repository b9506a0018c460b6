# SPDX-License-Identifier: Apache-2.0
"""All tasks in one table: the mean over tasks of what the default is behind the best float."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gaps import Gap
from benchmarks.tables import ALL

INTRODUCTION = """\
The default less the best float practice, in points: the mean over the updates of each task, and how
many rows are met. A task counts once, whatever its pairs."""


def markdown(results: Path) -> str:
    """A section of docs/accuracy.md, of the tasks that were measured; empty if none was."""
    lines, means, errors = [], list[float](), list[float]()
    for path in sorted(results.glob("*.json")):
        rows = counted(json.loads(path.read_text())["rows"])
        gaps = [Gap(**row["best"]) for row in rows]
        mean = float(np.mean([gap.mean for gap in gaps]))
        # Updates share their samples, so that their errors do not make each other smaller.
        error = float(np.mean([gap.error for gap in gaps]))
        said = [gap.verdict.value for gap in gaps]
        counts = ", ".join(f"{said.count(v)} {v}" for v in dict.fromkeys(said))
        lines.append(f"| {path.stem} | {mean:+.2f} ± {error:.2f} | {counts} |")
        means.append(mean)
        errors.append(error)
    if not means:
        return ""
    together = Gap(float(np.mean(means)), float(np.sqrt(np.sum(np.square(errors))) / len(means)))
    lines.append(f"| **mean** | **{together}** | {together.verdict.value} |")
    table = ["| task | default - best float | rows |", "|---|---:|---|", *lines]
    return "\n".join([INTRODUCTION, "", *table]) + "\n"


def counted(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those of all groups together, where there are such rows."""
    return [row for row in rows if row["group"] == ALL] or rows

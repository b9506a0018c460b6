# SPDX-License-Identifier: Apache-2.0
"""The tables and plots of the accuracy benchmarks, made from their runs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.comparison import Comparison
from benchmarks.gaps import WITHIN, Gap
from benchmarks.methods import (
    BEST_FLOAT,
    DEFAULT,
    FLOAT32,
    FLOAT_BACKWARD,
    FORMATS,
    FOUND_FLOAT32,
    FOUND_FLOAT_BACKWARD,
    INTEGER,
    NEAREST,
    NOT_PRECONDITIONED,
    RATE_FOUND,
)
from benchmarks.store import BenchmarkRun
from benchmarks.task import Task

ALL = "all"
# What the default's gap to the best float practice is the sum of.
SPLIT = {
    "preconditioning": (DEFAULT, NOT_PRECONDITIONED),
    "backward pass": (NOT_PRECONDITIONED, FOUND_FLOAT_BACKWARD),
    "int8 forward pass": (FOUND_FLOAT_BACKWARD, FOUND_FLOAT32),
    "rate": (FOUND_FLOAT32, FLOAT32),
    "SGD at batch 1": (FLOAT32, BEST_FLOAT),
}
SECONDS = ("search_seconds", "seconds")


@dataclass(frozen=True)
class TaskRow:
    """A scheme, and a group or all of them: mean scores by method, and gaps."""

    scheme: str
    group: str
    pairs: int
    before: float
    before_float: float
    after: dict[str, float]
    best: Gap  # of the default, to the best float practice
    split: dict[str, Gap]  # its parts, by the names of SPLIT
    gaps: dict[str, Gap]  # of integer training, by yardstick, at the same rate
    formats: dict[str, Gap]  # of the other formats, by name, less E12 and int8.8
    rates: tuple[float, float, float]  # least, middle and greatest that the product found
    search_seconds: float  # what the product took to find them, a run
    seconds: float  # and to train then

    @classmethod
    def of(cls, scheme: str, group: str, runs: Iterable[BenchmarkRun]) -> TaskRow:
        by_method: dict[str, list[BenchmarkRun]] = {}
        for run in runs:
            if run.scheme == scheme and group in (ALL, run.group):
                by_method.setdefault(run.method, []).append(run)

        def gap(ours: str, theirs: str) -> Gap:
            return Gap.of(by_method[ours], by_method[theirs])

        others = [m for m in by_method if m in FORMATS and m not in (*RATE_FOUND, INTEGER)]
        of_default = by_method[DEFAULT]
        found = sorted(run.found for run in of_default)
        return cls(
            scheme,
            group,
            len(by_method[INTEGER]),
            *(float(np.mean([r.before for r in by_method[m]])) for m in (INTEGER, FLOAT32)),
            {m: float(np.mean([run.after for run in rs])) for m, rs in by_method.items()},
            gap(DEFAULT, BEST_FLOAT),
            {name: gap(*pair) for name, pair in SPLIT.items()},
            {m: gap(INTEGER, m) for m in (FLOAT32, FLOAT_BACKWARD)},
            {m: gap(m, INTEGER) for m in others},
            (found[0], found[len(found) // 2], found[-1]),
            *(float(np.mean([getattr(run, s) for run in of_default])) for s in SECONDS),
        )


def rows_of(task: Task, runs: list[BenchmarkRun]) -> list[TaskRow]:
    """A score below 0, such as the explained variance of a run that diverges, counts as 0: one
    diverged run would be all that a mean tells."""
    rows, runs = [], [replace(run, after=max(run.after, 0.0)) for run in runs]
    for scheme in task.schemes:
        if task.group_rows:
            rows += [TaskRow.of(scheme, group, runs) for group in task.groups]
        if task.has_mean:
            rows.append(TaskRow.of(scheme, ALL, runs))
    return rows


def markdown(found: Comparison, rows: list[TaskRow]) -> str:
    """The task's section of docs/accuracy.md."""
    task = found.task
    lines = [f"## {task.title}", "", task.setting, ""]
    lines += [f"The default against the best float practice, {task.metric} in %:", ""]
    lines += best_table(task, rows)
    lines += [
        "",
        f"{counted(task.epochs)}; the rate falls to 0 in the second half of the steps.",
        "",
    ]
    lines += best_practices(found, rows)
    lines += ["", "At the same rate, by SGD at batch 1:", "", *same_table(task, rows), ""]
    lines.append(
        "Rates: " + ", ".join(f"`{s}` {rate_text(t.same_rate)}" for s, t in found.tuned.items())
    )
    lines[-1] += "."
    if task.formats:
        lines += ["", *format_table(task, rows)]
    return "\n".join(lines) + "\n"


def table(task: Task, rows: list[TaskRow], columns: dict[str, list[str]]) -> list[str]:
    """A line for each row, with its scheme and, where there are rows of groups, its group."""
    first = ["update", "group"] if task.group_rows else ["update"]
    lines = [f"| {' | '.join([*first, *columns])} |"]
    lines.append("|" + "---|" * len(first) + "---:|" * len(columns))
    for k, row in enumerate(rows):
        named = [f"`{row.scheme}`", row.group][: len(first)]
        lines.append(f"| {' | '.join([*named, *(cells[k] for cells in columns.values())])} |")
    return lines


def best_table(task: Task, rows: list[TaskRow]) -> list[str]:
    columns = {"before": [f"{row.before:.2f}" for row in rows]}
    columns |= {m: [f"{row.after[m]:.2f}" for row in rows] for m in (DEFAULT, BEST_FLOAT)}
    columns["default - best float"] = [judged(row.best) for row in rows]
    columns |= {name: [f"{row.split[name].mean:+.2f}" for row in rows] for name in SPLIT}
    columns["`auto`, s"] = [f"{row.search_seconds:.2f}" for row in rows]
    columns["training, s"] = [f"{row.seconds:.2f}" for row in rows]
    columns["pairs"] = [str(row.pairs) for row in rows]
    return table(task, rows, columns)


def best_practices(found: Comparison, rows: list[TaskRow]) -> list[str]:
    """What float took to be best, and which rates the product found."""
    lines = []
    for scheme, tuned in found.tuned.items():
        mine = [row.rates for row in rows if row.scheme == scheme]
        least, most = min(r[0] for r in mine), max(r[2] for r in mine)
        middle = mine[-1][1]  # of all groups, where there is such a row
        edge = "" if tuned.is_interior else " (no rate beyond it was better or tried)"
        lines.append(
            f"- `{scheme}`: best float is {tuned.practice}, {rate_text(tuned.rate)}{edge}; the "
            f"product found {rate_text(middle)} ({rate_text(least)} to {rate_text(most)})."
        )
    return lines


def same_table(task: Task, rows: list[TaskRow]) -> list[str]:
    columns = {
        "before, int8": [f"{row.before:.2f}" for row in rows],
        "before, float32": [f"{row.before_float:.2f}" for row in rows],
    }
    methods = (INTEGER, FLOAT32, FLOAT_BACKWARD, NEAREST)
    columns |= {m: [f"{row.after[m]:.2f}" for row in rows] for m in methods}
    for m in (FLOAT32, FLOAT_BACKWARD):
        columns[f"integer - {m}"] = [judged(row.gaps[m]) for row in rows]
    columns["pairs"] = [str(row.pairs) for row in rows]
    return table(task, rows, columns)


def judged(gap: Gap) -> str:
    return f"{gap} {gap.verdict.value}"


def format_table(task: Task, rows: list[TaskRow]) -> list[str]:
    """Points that the other formats gain or lose against the usual ones, paired."""
    names = [name for name in FORMATS if name in task.formats]
    lines = ["Other formats at the same rate, points against E12 errors and int8.8 weights:", ""]
    lines.append(f"| update | {' | '.join(names)} |")
    lines.append("|---|" + "---:|" * len(names))
    for row in rows:
        if row.group == ALL:
            lines.append(f"| `{row.scheme}` | {' | '.join(str(row.formats[n]) for n in names)} |")
    return lines


def counted(epochs: int) -> str:
    return "One epoch" if epochs == 1 else f"{epochs} epochs"


def rate_text(rate: float) -> str:
    exponent = np.log2(rate)
    return f"2^{exponent:.0f}" if exponent == round(exponent) else f"{rate:g}"


def plot(task: Task, rows: list[TaskRow], path: Path) -> None:
    """Scores by scheme and method as bars; the gaps of each row with their standard errors."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    methods = (DEFAULT, BEST_FLOAT, INTEGER, FLOAT32, FLOAT_BACKWARD, NEAREST)
    labels = [r.scheme if r.group == ALL else f"{r.scheme}\n{r.group}" for r in rows]
    at = np.arange(len(rows))
    width = max(7.0, 0.8 * len(rows))
    figure, (upper, lower) = plt.subplots(
        2, 1, figsize=(width, 6), sharex=True, height_ratios=(2, 1), layout="constrained"
    )
    for k, method in enumerate(methods):
        values = [row.after[method] for row in rows]
        upper.bar(at + 0.14 * (k - 2.5), values, 0.14, label=method)
    upper.plot(at, [row.before for row in rows], "k_", markersize=24, label="before training")
    upper.set(ylabel=f"{task.metric}, %", title=task.title)
    upper.legend(fontsize="small", ncols=7)
    all_gaps = {
        f"{DEFAULT} - {BEST_FLOAT}": [row.best for row in rows],
        f"{INTEGER} - {FLOAT32}": [row.gaps[FLOAT32] for row in rows],
        f"{INTEGER} - {FLOAT_BACKWARD}": [row.gaps[FLOAT_BACKWARD] for row in rows],
    }
    for k, (label, gaps) in enumerate(all_gaps.items()):
        errors = [gap.error if np.isfinite(gap.error) else 0 for gap in gaps]
        lower.errorbar(
            at + 0.2 * (k - 1), [gap.mean for gap in gaps], errors,
            fmt="o", capsize=3, label=label,
        )  # fmt: skip
    lower.axhline(0, color="black", linewidth=0.8)
    lower.axhline(-WITHIN, color="red", linewidth=0.8, linestyle="--")
    lower.set(ylabel="gap, points", xticks=at, xticklabels=labels)
    lower.tick_params(axis="x", labelsize="small", rotation=0 if len(rows) < 8 else 90)
    lower.legend(fontsize="small")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)

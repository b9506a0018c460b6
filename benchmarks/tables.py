# SPDX-License-Identifier: Apache-2.0
"""The tables and plots of the accuracy benchmarks, made from their runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.methods import FLOAT32, FLOAT_BACKWARD, FORMATS, INTEGER, NEAREST
from benchmarks.runs import BenchmarkRun
from benchmarks.task import Task

WITHIN = 0.5  # points: a row is met if its gap and one standard error reach -WITHIN
ALL = "all"


@dataclass(frozen=True)
class Gap:
    """The mean of paired differences, in points, and its standard error."""

    mean: float
    error: float

    @classmethod
    def of(cls, runs: Sequence[BenchmarkRun], others: Sequence[BenchmarkRun]) -> Gap:
        """Each run less its twin: the same group and seed."""
        twin = {(run.group, run.seed): run.after for run in others}
        gaps = np.array([run.after - twin[run.group, run.seed] for run in runs])
        error = float(gaps.std(ddof=1) / np.sqrt(len(gaps))) if len(gaps) > 1 else 0.0
        return cls(float(gaps.mean()), error)

    @property
    def is_met(self) -> bool:
        return self.mean + self.error >= -WITHIN

    def __str__(self) -> str:
        return f"{self.mean:+.2f} ± {self.error:.2f}"


@dataclass(frozen=True)
class TaskRow:
    """A scheme, and a group or all of them: mean accuracy by method, gaps by yardstick."""

    scheme: str
    group: str
    pairs: int
    before: float
    before_float: float
    after: dict[str, float]
    gaps: dict[str, Gap]  # of integer training, by yardstick
    formats: dict[str, Gap]  # of the other formats, by name, less the default's

    @classmethod
    def of(cls, scheme: str, group: str, runs: Iterable[BenchmarkRun]) -> TaskRow:
        by_method: dict[str, list[BenchmarkRun]] = {}
        for run in runs:
            if run.scheme == scheme and group in (ALL, run.group):
                by_method.setdefault(run.method, []).append(run)
        ours = by_method[INTEGER]
        return cls(
            scheme,
            group,
            len(ours),
            *(float(np.mean([r.before for r in by_method[m]])) for m in (INTEGER, FLOAT32)),
            {m: float(np.mean([run.after for run in rs])) for m, rs in by_method.items()},
            {m: Gap.of(ours, by_method[m]) for m in (FLOAT32, FLOAT_BACKWARD)},
            {m: Gap.of(rs, ours) for m, rs in by_method.items() if m in FORMATS and m != INTEGER},
        )


def rows_of(task: Task, runs: list[BenchmarkRun]) -> list[TaskRow]:
    rows = []
    for scheme in task.schemes:
        if task.group_rows:
            rows += [TaskRow.of(scheme, group, runs) for group in task.groups]
        if task.has_mean:
            rows.append(TaskRow.of(scheme, ALL, runs))
    return rows


def markdown(task: Task, rates: dict[str, float], rows: list[TaskRow]) -> str:
    """The task's section of docs/accuracy.md."""
    lines = [f"## {task.title}", "", task.setting, ""]
    named = "| group " if task.group_rows else ""
    lines.append(
        f"| update {named}| before, int8 | before, float32 | integer | float32 | float backward "
        "| int8 nearest | integer - float32 | integer - float backward | pairs |"
    )
    lines.append("|---|" + ("---|" if named else "") + "---:|" * 9)
    for row in rows:
        group = f"| {row.group} " if task.group_rows else ""
        after = [f"{row.after[m]:.2f}" for m in (INTEGER, FLOAT32, FLOAT_BACKWARD, NEAREST)]
        gaps = [f"{gap}{'' if gap.is_met else ' **missed**'}" for gap in row.gaps.values()]
        before = [f"{row.before:.2f}", f"{row.before_float:.2f}"]
        cells = " | ".join([*before, *after, *gaps, str(row.pairs)])
        lines.append(f"| `{row.scheme}` {group}| {cells} |")
    lines += ["", "Learning rates: " + ", ".join(f"`{s}` {rate_text(rates[s])}" for s in rates)]
    lines[-1] += f"; {counted(task.epochs)}, the step schedule, batch 1."
    if task.formats:
        lines += ["", *format_table(task, rows)]
    return "\n".join(lines) + "\n"


def format_table(task: Task, rows: list[TaskRow]) -> list[str]:
    """Points that the other formats gain or lose against the default, paired."""
    names = [name for name in FORMATS if name in task.formats]
    lines = ["Other formats, points against the default (E12 errors, int8.8 weights):", ""]
    lines.append(f"| update | {' | '.join(names)} |")
    lines.append("|---|" + "---:|" * len(names))
    for row in rows:
        if row.group == ALL:
            lines.append(f"| `{row.scheme}` | {' | '.join(str(row.formats[n]) for n in names)} |")
    return lines


def counted(epochs: int) -> str:
    return "one epoch" if epochs == 1 else f"{epochs} epochs"


def rate_text(rate: float) -> str:
    exponent = np.log2(rate)
    return f"2^{exponent:.0f}" if exponent == round(exponent) else f"{rate:g}"


def plot(task: Task, rows: list[TaskRow], path: Path) -> None:
    """Accuracy by scheme and method as bars; the gap of each row with its standard error."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    methods = (INTEGER, FLOAT32, FLOAT_BACKWARD, NEAREST)
    labels = [r.scheme if r.group == ALL else f"{r.scheme}\n{r.group}" for r in rows]
    at = np.arange(len(rows))
    width = max(7.0, 0.8 * len(rows))
    figure, (upper, lower) = plt.subplots(
        2, 1, figsize=(width, 6), sharex=True, height_ratios=(2, 1), layout="constrained"
    )
    for k, method in enumerate(methods):
        values = [row.after[method] for row in rows]
        upper.bar(at + 0.2 * (k - 1.5), values, 0.2, label=method)
    upper.plot(at, [row.before for row in rows], "k_", markersize=24, label="before training")
    upper.set(ylabel="accuracy, %", title=task.title)
    upper.legend(fontsize="small", ncols=5)
    for k, yardstick in enumerate((FLOAT32, FLOAT_BACKWARD)):
        gaps = [row.gaps[yardstick] for row in rows]
        lower.errorbar(
            at + 0.15 * (2 * k - 1), [g.mean for g in gaps], [g.error for g in gaps],
            fmt="o", capsize=3, label=f"integer - {yardstick}",
        )  # fmt: skip
    lower.axhline(0, color="black", linewidth=0.8)
    lower.axhline(-WITHIN, color="red", linewidth=0.8, linestyle="--")
    lower.set(ylabel="gap, points", xticks=at, xticklabels=labels)
    lower.tick_params(axis="x", labelsize="small", rotation=0 if len(rows) < 8 else 90)
    lower.legend(fontsize="small")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)

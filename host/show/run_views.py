# SPDX-License-Identifier: Apache-2.0
"""What a report's document says of runs, as charts and tables of a page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mcutrain.host.show.charts import LineChart, Series, bars, line_chart, smoothed
from mcutrain.host.show.pages import (
    PageTable,
    number,
    seconds,
    share,
    significant,
    size,
)
from mcutrain.host.show.words import term

Run = dict[str, Any]
COLOURS = 4
PART_NAMES = {"train": "training", "val": "validation", "test": "test", "old": "old"}

METRICS = frozenset(("accuracy", "mse", "loss"))


def colour(k: int) -> int:
    return k % COLOURS + 1


def loss_chart(runs: Sequence[Run]) -> LineChart | None:
    """The loss of each step, and its running mean, of every target."""
    series = []
    for k, (targets, run) in enumerate(alike(runs, "curve")):
        curve = run["curve"]
        steps = enumerate(curve["values"])
        points = [(1.0 + i * curve["every"], v) for i, v in steps if v is not None]
        width, means = smoothed(points)
        many = width * curve["every"]
        each = "each step" if curve["every"] == 1 else f"mean of {curve['every']} steps"
        series.append(Series(f"{targets}, {each}", points, colour(k), faint=True))
        series.append(Series(f"{targets}, mean of {many} steps", means, colour(k), dashed=k > 0))
    return line_chart("Loss of each step", "step", "loss", series)


def validation_chart(runs: Sequence[Run]) -> LineChart | None:
    """What the validation samples said after each epoch, and which state was kept."""
    series, metric = [], "accuracy"
    guarded = [run for run in runs if run["guard"] and "curve" in run["guard"]]
    for k, (targets, run) in enumerate(alike(guarded, "guard")):
        guard = run["guard"]
        metric = judged_by(run)
        points = [(float(one["epoch"]), one[metric]) for one in guard["curve"]]
        kept = points[guard["best_epoch"] : guard["best_epoch"] + 1]
        series.append(Series(targets, points, colour(k), dashed=k > 0, marked=True))
        series.append(Series(f"{targets}, kept", kept, 3, marked=True))
    title = f"{metric.capitalize()} on validation samples after each epoch"
    return line_chart(title, "epoch", metric, series, percent=metric == "accuracy")


def data_table(runs: Sequence[Run]) -> PageTable | None:
    """Samples of each class in each part of the data."""
    run = runs[0]
    parts: dict[str, Any] = run["samples"]
    if not parts:
        return None
    classes = max((len(part["classes"]) for part in parts.values()), default=0)
    names = [class_name(run, k) for k in range(classes)]
    rows = [(n, *(number(p["classes"][k]) for p in parts.values())) for k, n in enumerate(names)]
    rows.append(("all", *(number(part["samples"]) for part in parts.values())))
    return PageTable("", ("class", *(PART_NAMES[part] for part in parts)), rows)


def class_name(run: Run, k: int) -> str:
    names = run["class_names"]
    return str(names[k]) if k < len(names) else str(k)


def moved_table(run: Run) -> PageTable | None:
    movement = run["movement"]
    if not movement:
        return None
    head = ("layer", "what learns", "values", "changed", "mean change", "greatest change")
    rows = [
        (
            m["layer"], m["kind"], number(m["values"]),
            f"{number(m['changed'])} ({share(m['changed'] / max(1, m['values']))})",
            significant(m["mean"]), number(m["most"]),
        )
        for m in movement["moved"]
    ]  # fmt: skip
    return PageTable("", head, rows, {1})


def limit_table(run: Run) -> PageTable | None:
    movement = run["movement"]
    if not movement or not movement["limited"]:
        return None
    head = ("layer", "weights before", "weights after", "outputs before", "outputs after")
    unknown = (None, None)
    rows = [
        (row["layer"], *map(share, (*(row["weights"] or unknown), *(row["outputs"] or unknown))))
        for row in movement["limited"]
    ]
    return PageTable("", head, rows)


def memory_views(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """RAM and flash by kind of each run; runs that have the same bytes share a view."""
    found = []
    for targets, run in alike(runs, "ram", "flash"):
        for kind, whole in (("ram", "sram_bytes"), ("flash", "flash_bytes")):
            parts = run[kind]
            total = run["cost"][whole] or sum(parts.values())
            name = "RAM" if kind == "ram" else "Flash"
            known = "" if run["cost"][whole] else ", as far as a plan knows it"
            title = f"{name}, {targets}: {size(total)}{known}"
            found.append({"title": title, "bars": bars(parts, "bytes", colour=1 + (kind != "ram"))})
    return found


def judged_by(run: Run) -> str:
    """The metric that the guard judges by: not the accuracy where positions have classes. Raises
    KeyError where a document has something else in its place."""
    metric = run.get("guard_metric", run["metric"])
    if not METRICS.issuperset((metric, run["metric"])):
        raise KeyError("metric")
    return str(metric)


def alike(runs: Sequence[Run], *keys: str) -> list[tuple[str, Run]]:
    """The runs that differ in ``keys``, each with the targets of all that are equal to it."""
    found: list[tuple[list[str], Run]] = []
    for run in runs:
        for targets, other in found:
            if all(run[key] == other[key] for key in keys):
                targets.append(run["target"])
                break
        else:
            found.append(([run["target"]], run))
    return [(" and ".join(targets), run) for targets, run in found]


def link_table(runs: Sequence[Run]) -> PageTable | None:
    linked = [run for run in runs if run["link"]]
    if not linked:
        return None
    steps = [max(1, run["steps"]) for run in linked]

    counts = {
        "requests": "requests",
        "sent again": "resent",
        term("frame", "frames that came damaged"): "damaged",
        "bytes to the device": "sent_bytes",
        "bytes from the device": "received_bytes",
    }
    rows: list[tuple[object, ...]] = [
        (name, *(number(run["link"][key]) for run in linked)) for name, key in counts.items()
    ]
    times = [seconds(run["step_seconds"] / n) for run, n in zip(linked, steps, strict=True)]
    rows.append(("time per step, link and verification included", *times))
    return PageTable("", ("", *(run["target"] for run in linked)), rows)

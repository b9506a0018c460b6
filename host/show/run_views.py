# SPDX-License-Identifier: Apache-2.0
"""What a report's document says of runs, as charts and tables of a page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from mcutrain.host.show.charts import Bar, LineChart, Series, bars, line_chart, smoothed
from mcutrain.host.show.pages import (
    PageTable,
    joules,
    number,
    seconds,
    share,
    significant,
    size,
)
from mcutrain.host.show.words import term

Run = dict[str, Any]
COLOURS = 4
PARTS = ("forward", "backward", "update")  # of a step, in the colours 1 to 3
MOST_LAYERS = 40  # bars that can be read
PART_NAMES = {"train": "training", "val": "validation", "test": "test", "old": "old"}


def colour(k: int) -> int:
    return k % COLOURS + 1


def loss_chart(runs: Sequence[Run]) -> LineChart | None:
    """The loss of each step, and its running mean, of every target."""
    series = []
    for k, run in enumerate(runs):
        curve = run["curve"]
        steps = enumerate(curve["values"])
        points = [(1.0 + i * curve["every"], v) for i, v in steps if v is not None]
        width, means = smoothed(points)
        many = width * curve["every"]
        series.append(Series(f"{run['target']}, each step", points, colour(k), faint=True))
        series.append(
            Series(f"{run['target']}, mean of {many} steps", means, colour(k), dashed=k > 0)
        )
    return line_chart("Loss of each step", "step", "loss", series)


def validation_chart(runs: Sequence[Run]) -> LineChart | None:
    """What the validation samples said after each epoch, and which state was kept."""
    series, metric = [], "accuracy"
    for k, run in enumerate(runs):
        guard = run["guard"]
        if not guard or "curve" not in guard:
            continue
        metric = run["metric"]
        points = [(float(one["epoch"]), one[metric]) for one in guard["curve"]]
        kept = points[guard["best_epoch"] : guard["best_epoch"] + 1]
        series.append(Series(run["target"], points, colour(k), dashed=k > 0, marked=True))
        series.append(Series(f"{run['target']}, kept", kept, 3, marked=True))
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
    rows = [
        (each["layer"], *(share(v) for key in ("weights", "outputs") for v in each[key] or (None,) * 2))
        for each in movement["limited"]
    ]  # fmt: skip
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


def work_views(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Instructions of a step by layer."""
    return [work_view(targets, run["work"]) for targets, run in alike(runs, "work")]


def work_view(targets: str, work: dict[str, Any]) -> dict[str, Any]:
    rows = [(row["name"], row["instructions"]) for row in work["layers"]]
    rows = [(name, parts) for name, parts in rows if sum(parts.values())]
    order = sorted(range(len(rows)), key=lambda k: -sum(rows[k][1].values()))
    shown = sorted(order[:MOST_LAYERS])
    top = max((sum(parts.values()) for _, parts in rows), default=1)
    drawn = [
        Bar(
            rows[k][0],
            100.0,
            f"{sum(rows[k][1].values()):,}",
            parts=[
                (part, 100 * rows[k][1].get(part, 0) / top, 1 + n, number(rows[k][1].get(part, 0)))
                for n, part in enumerate(PARTS)
            ],
        )
        for k in shown
    ]
    counted = work["step_is_counted"]
    says = [
        f"A step takes {work['step']:,} instructions, an inference {work['inference']:,}.",
        "They were counted in QEMU and are exact." if counted
        else f"They are predicted for a {work['core']}; --count-instructions on a simulated board "
        "counts them.",
    ]  # fmt: skip
    if counted and work["by_layer"] == "predicted":
        says.append("The bars of the layers are predicted; --profile counts them.")
    if work["cycles"]:
        per = work["cycles"] / work["step"] if work["step"] else 0.0
        says.append(
            f"The estimate is {work['cycles']:,} cycles, {per:.2f} for each instruction, by Arm's "
            "manuals and without wait states."
        )
    else:
        says.append("Instructions are not cycles: a core takes one or more cycles for each.")
    if len(rows) > len(shown):
        says.append(f"The {len(rows) - len(shown)} smallest layers are left out.")
    return {
        "title": targets,
        "bars": drawn,
        "says": " ".join([*says, *map(sentence, work["notes"])]),
    }


def sentence(note: str) -> str:
    return f"{note[:1].upper()}{note[1:]}."


def board_table(run: Run) -> PageTable | None:
    boards = run["work"]["boards"]
    if not boards:
        return None
    head = (
        "chip", "core", "instructions", "cycles for each", "time of a step", "energy of a step",
        "time of an inference", f"all {run['steps']:,} steps",
    )  # fmt: skip
    rows = [
        (
            b["chip"], core(b["core"]),
            f"{number(b['step_instructions'])}, {'counted' if b['counted'] else 'predicted'}",
            f"{b['cycles_per_instruction']:.2f}", seconds(b["step_seconds"]),
            joules(b["step_joules"]), seconds(b["inference_seconds"]),
            f"{seconds(b['step_seconds'] * run['steps'])}, {joules(b['step_joules'] * run['steps'])}",
        )
        for b in boards
    ]  # fmt: skip
    return PageTable("Estimates", head, rows)


def sheet_table(run: Run) -> PageTable:
    head = ("chip", "a board with it", "clock", "current", "voltage", "source")
    rows = [
        (
            b["chip"], b["boards"], f"{b['clock_mhz']:g} MHz", f"{b['current_ma']:g} mA",
            f"{b['volts']:g} V", b["source"],
        )
        for b in run["work"]["boards"]
    ]  # fmt: skip
    return PageTable("", head, rows, {1, 5})


def core(name: str) -> str:
    return name.replace("cortex-m", "Cortex-M")


def link_table(runs: Sequence[Run]) -> PageTable | None:
    linked = [run for run in runs if run["link"]]
    if not linked:
        return None
    steps = [max(1, run["steps"]) for run in linked]

    def row(name: object, cells: Iterable[str]) -> tuple[object, ...]:
        return (name, *cells)

    pairs = list(zip(linked, steps, strict=True))
    rows = [
        row("requests", (number(r["link"]["requests"]) for r in linked)),
        row("sent again", (number(r["link"]["resent"]) for r in linked)),
        row(term("frame", "frames that came damaged"), (number(r["link"]["damaged"]) for r in linked)),
        row("bytes to the device", (number(r["link"]["sent_bytes"]) for r in linked)),
        row("bytes from the device", (number(r["link"]["received_bytes"]) for r in linked)),
        row(
            "time per step, link and verification included",
            (seconds(r["step_seconds"] / n) for r, n in pairs),
        ),
    ]  # fmt: skip
    return PageTable("", ("", *(run["target"] for run in linked)), rows)

# SPDX-License-Identifier: Apache-2.0
"""One self-contained HTML page about a model that was made smaller, made of its JSON."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mcutrain.host.files import write_whole
from mcutrain.host.show.charts import Bar, LineChart, Series, line_chart
from mcutrain.host.show.pages import Key, PageTable, filled, number, share, size
from mcutrain.host.show.shrunk import FRONT, front_rows, metric_cells, of_metric, what_stays

SECTIONS = {
    "quality": "What it is worth", "cost": "What training takes", "channels": "Channels",
    "front": "Schemes and sizes", "curve": "On the way", "stays": "What cannot be cut",
    "notes": "Notes", "next": "Train it",
}  # fmt: skip


def write_page(path: Path, found: Mapping[str, Any]) -> None:
    """Raises Error."""
    write_whole(path, page(found))


def page(found: Mapping[str, Any]) -> str:
    stays = [*what_stays(found["stays"])]
    notes = [note["text"] for note in found["notes"]]
    chart = curve(found)
    absent = {
        name
        for name, there in (
            ("channels", found["groups"]), ("front", found["search"]), ("curve", chart),
            ("stays", stays), ("notes", notes),
        )
        if not there
    }  # fmt: skip
    return filled(
        "shrink.html",
        "report.js",
        title=f"{found['model']}: made smaller",
        key_figures=key_figures(found),
        quality_says=quality_says(found),
        stages=stage_table(found),
        prices=price_table(found),
        channels=channel_bars(found),
        groups=group_table(found),
        chart=chart,
        front=None if found["search"] is None else front_table(found["search"]),
        stays=stays,
        notes=notes,
        command=found["command"],
        sections=[(name, text) for name, text in SECTIONS.items() if name not in absent],
    )


def key_figures(found: Mapping[str, Any]) -> list[Key]:
    first, last = found["prices"][0], found["prices"][-1]
    kept, units = (sum(g[key] for g in found["groups"]) for key in ("kept", "units"))
    stage = found["stages"][-1]
    figures = [
        Key("RAM to train it", number(last["sram_bytes"]),
            f"{number(first['sram_bytes'])} for the original", "bytes"),
        Key("File", number(found["bytes"]), f"{number(found['original_bytes'])} before", "bytes"),
        Key("Agrees with the original", share(stage["agreement"]),
            f"on {number(found['held_out_inputs'])} held-out inputs"),
    ]  # fmt: skip
    if units:
        figures.append(Key("Channels", number(kept), f"of {number(units)} stay"))
    if stage["accuracy"] is not None:
        before = found["stages"][0]["accuracy"]
        figures.append(Key("Accuracy", share(stage["accuracy"]), f"{share(before)} before"))
    return figures


def quality_says(found: Mapping[str, Any]) -> str:
    said = (
        f"Each row is the model behind a phase, on {found['held_out_inputs']:,} inputs that no "
        f"phase has seen; {found['inputs']:,} others were there to repair it."
    )
    if found["adaptation"] is not None:
        said += " The last rows were trained, too, as the new file would be."
    return said


def stage_table(found: Mapping[str, Any]) -> PageTable:
    rows = found["stages"]
    head = ["", "agrees with the original"]
    if rows[0]["mse"] is not None or rows[0]["accuracy"] is not None:
        head.insert(1, "accuracy" if rows[0]["mse"] is None else "mean squared error")
    cells: list[tuple[str, ...]] = [
        (row["stage"], *metric_cells(row, head), share(row["agreement"])) for row in rows
    ]
    adapted = found["adaptation"]
    if adapted is not None:
        cells.append((f"trained ({adapted['update']})", of_metric(adapted, "smaller"), ""))
        if adapted["original"] is not None:
            cells.append(("original, trained alike", of_metric(adapted, "original"), ""))
    return PageTable("", head, cells)


def price_table(found: Mapping[str, Any]) -> PageTable:
    head = ("", "RAM", "constants", "MACs of a step", "instructions of a step")
    rows = [
        (
            row["model"], size(row["sram_bytes"]), size(row["constant_bytes"]),
            number(row["step_macs"]), number(row["predicted_instructions"]),
        )
        for row in found["prices"]
    ]  # fmt: skip
    if (build := found["build"]) is not None:
        sizes = size(build["sram_bytes"]), size(build["flash_bytes"])
        rows.append((f"smaller, built for {build['target']}", *sizes, "", ""))
    return PageTable("", head, rows)


def front_table(search: Mapping[str, Any]) -> PageTable:
    caption = f"Pareto front of {len(search['trained'])} trainings; * is what was chosen"
    return PageTable(caption, FRONT, [*front_rows(search)], {1})


def channel_bars(found: Mapping[str, Any]) -> list[Bar]:
    return [
        Bar(g["name"], 100 * g["kept"] / g["units"], f"{g['kept']} of {g['units']}")
        for g in found["groups"]
    ]


def group_table(found: Mapping[str, Any]) -> PageTable:
    rows = [
        (g["name"], number(g["kept"]), number(g["units"]), number(g["nbytes"]),
         number(g["was_bytes"]))
        for g in found["groups"]
    ]  # fmt: skip
    return PageTable(
        "Groups of channels", ("group", "stay", "of", "bytes of weights", "were"), rows
    )


def curve(found: Mapping[str, Any]) -> LineChart | None:
    """Of several points; one says nothing."""
    points = sorted((p["sram"], p["loss"]) for p in found["curve"])
    if len(points) < 2:
        return None
    series = [Series("loss of channels that left", points, 1, marked=True)]
    return line_chart("Loss by bytes of RAM", "bytes of RAM", "loss", series)

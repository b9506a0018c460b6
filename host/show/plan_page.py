# SPDX-License-Identifier: Apache-2.0
"""One self-contained HTML page about a plan, or two: the arena to walk through, and the figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from mcutrain.host.files import write_all
from mcutrain.host.kinds import ARENA_KINDS
from mcutrain.host.show.arena import Arena, Box
from mcutrain.host.show.arena_view import PARTS, arena_view, boxes_of_layers, when
from mcutrain.host.show.charts import Bar
from mcutrain.host.show.pages import Key, PageTable, core_name, filled, number
from mcutrain.host.show.picture import Pictured, png
from mcutrain.host.show.work import WorkSource

COLUMNS = ("slot", "kind", "bytes", "offset", "memory", "from", "to", "in the model's file")
STEP_PARTS = ("forward", "backward", "update")


def write_pictures(plans: Sequence[Pictured], page_at: Path | None, png_at: Path | None) -> None:
    """Write the page and the picture, where they are asked for. Raises Error."""
    files: dict[Path, bytes | str] = {}
    if page_at is not None:
        files[page_at] = page(plans)
    if png_at is not None:
        files[png_at] = png(plans)
    write_all(files)


def page(plans: Sequence[Pictured]) -> str:
    columns = max(p.arena.starts[-1] for p in plans)
    top = max(1, *(p.plan.memory.arena_bytes for p in plans))
    work = [WorkSource(p.plan).to_json() for p in plans]
    kinds = {box.kind for p in plans for box in p.arena.boxes}
    return filled(
        "plan.html",
        "plan.js",
        title=" and ".join(p.title for p in plans),
        key_figures=key_figures(plans[0], work[0]) if len(plans) == 1 else [],
        plans=[
            {
                "title": p.title,
                "summary": summary(p),
                "number": k,
                "view": arena_view(p.arena, k, columns, top),
                "layers": layer_rows(p.arena, work[k]),
                "peak": peak_table(p),
                "slots": slot_table(p),
            }
            for k, p in enumerate(plans)
        ],
        kinds=[(k, kind) for k, kind in enumerate(ARENA_KINDS) if kind in kinds],
        parts=list(enumerate(PARTS)),
        bar_views=[
            {"title": title, "bars": compared([getattr(p, kind) for p in plans])}
            for title, kind in (("RAM", "ram"), ("Flash", "flash"))
        ],
        figures=figure_table(plans),
        sections=[
            ("arena", "Arena"), ("layers", "Layers"), ("memory", "Memory"), ("figures", "Figures"),
            ("slots", "Slots"),
        ],
    )  # fmt: skip


def key_figures(pictured: Pictured, work: dict[str, Any]) -> list[Key]:
    plan, cost = pictured.plan, pictured.cost
    ram, flash = cost["sram_bytes"], cost["flash_bytes"]
    predicted = f"predicted for a {core_name(work['core'])}"
    built = "of the build" if ram else "of the plan, without stack and link"
    return [
        Key("RAM", number(ram or sum(pictured.ram.values())), built, "bytes"),
        Key("Arena", number(plan.memory.arena_bytes),
            f"{plan.memory.lower_bound:,} is the least for this order", "bytes"),
        Key("Flash", number(flash or sum(pictured.flash.values())),
            "of the build" if flash else "of constants", "bytes"),
        Key("Instructions per step", number(work["step"]), predicted),
        Key("MACs per step", number(plan.step_macs), f"{plan.forward_macs:,} of them forward"),
    ]  # fmt: skip


def summary(pictured: Pictured) -> str:
    """What the picture says, in words."""
    arena, memory = pictured.arena, pictured.plan.memory
    names = ", ".join(when(arena, k) for k in arena.peaks)
    return (
        f"The arena has {memory.arena_bytes:,} bytes; with this order of the nodes none can have "
        f"less than {memory.lower_bound:,}. Most are in use, {arena.in_use[arena.peaks[0]]:,}, "
        f"at {names}."
    )


def layer_rows(arena: Arena, work: dict[str, Any]) -> list[dict[str, Any]]:
    """The layers with their bytes and instructions, and the numbers of their boxes."""
    rows = [row for row in work["layers"] if "operator" in row]
    boxes = boxes_of_layers(arena, [row["operator"] for row in rows])
    learned = {
        node.index: sum(t.type.nbytes for t in node.inputs if t in arena.plan.learned)
        for node in arena.plan.forward
    }
    found = []
    for row, held in zip(rows, boxes, strict=True):
        in_ram = learned.get(row["operator"], 0)
        arena_bytes = sum(arena.boxes[k].slot.size for k in held)
        found.append(
            {
                "name": row["name"],
                "boxes": held,
                "cells": (
                    row["kind"], "x".join(map(str, row["output"])), number(row["macs"]),
                    number(arena_bytes), number(in_ram), number(row["weight_bytes"] - in_ram),
                    *(number(row["instructions"][part]) for part in STEP_PARTS),
                ),
            }
        )  # fmt: skip
    return found


def compared(values: Sequence[dict[str, int]]) -> list[list[Bar]]:
    """For each kind, a bar of each plan."""
    top = max(1, *(nbytes for found in values for nbytes in found.values()))
    return [
        [
            Bar(kind, 100 * found.get(kind, 0) / top, f"{found.get(kind, 0):,} bytes", 1 + k)
            for k, found in enumerate(values)
        ]
        for kind in dict.fromkeys(kind for found in values for kind in found)
    ]


def figure_table(plans: Sequence[Pictured]) -> PageTable:
    """Bytes by kind and operations, a column per plan; of two plans the difference too."""
    each = [figures(p) for p in plans]
    rows = []
    for name in dict.fromkeys(name for found in each for name in found):
        values = [found.get(name, 0) for found in each]
        cells = [f"{value:,}" for value in values]
        if len(values) == 2:
            cells.append(f"{values[1] - values[0]:+,}" if values[0] != values[1] else "0")
        rows.append((name, *cells))
    difference = ["difference"] if len(plans) == 2 else []
    return PageTable("Bytes and operations", ["", *(p.title for p in plans), *difference], rows)


def figures(pictured: Pictured) -> dict[str, int]:
    plan, ram, flash = pictured.plan, pictured.ram, pictured.flash
    return {
        **{f"RAM, {kind}": nbytes for kind, nbytes in ram.items()},
        "RAM, of these": sum(ram.values()),
        **{f"RAM, in {m['name']}": m["used_bytes"] for m in pictured.cost["memories"] or ()},
        **{f"flash, {kind}": nbytes for kind, nbytes in flash.items()},
        "flash, of these": sum(flash.values()),
        "arena, lower bound": plan.memory.lower_bound,
        "arena, in use at the peak": max(pictured.arena.in_use),
        "MACs, forward": plan.forward_macs,
        "MACs, training step": plan.step_macs,
        **({"MACs, done twice": plan.recomputed_macs} if plan.recomputed_macs else {}),
    }


def peak_table(pictured: Pictured) -> PageTable:
    arena = pictured.arena
    step = arena.peaks[0]
    caption = f"{pictured.title}: in the arena at the peak, {when(arena, step)}"
    return PageTable(caption, COLUMNS, rows_of(arena, arena.live(step)), {1, 5, 6, 7})


def slot_table(pictured: Pictured) -> PageTable:
    caption = f"{pictured.title}: all slots of the arena"
    return PageTable(caption, COLUMNS, rows_of(pictured.arena, pictured.arena.boxes), {1, 5, 6, 7})


def rows_of(arena: Arena, boxes: Iterable[Box]) -> list[tuple[str, ...]]:
    return [
        (
            box.name, box.kind, f"{box.slot.size:,}", f"{box.slot.offset:,}", box.slot.memory,
            when(arena, box.slot.first), when(arena, box.slot.last), box.label,
        )
        for box in boxes
    ]  # fmt: skip

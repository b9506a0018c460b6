# SPDX-License-Identifier: Apache-2.0
"""One self-contained HTML page about a plan, or two: the picture, and its figures as tables."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from pathlib import Path

from mcutrain.host.files import write_all
from mcutrain.host.show.arena import Arena, Box, plain
from mcutrain.host.show.pages import PageTable, filled
from mcutrain.host.show.picture import Pictured, box_id, png, svg

COLUMNS = ("slot", "kind", "bytes", "offset", "memory", "from", "to", "in the model's file")


def write_pictures(plans: Sequence[Pictured], page_at: Path | None, png_at: Path | None) -> None:
    """Write the page and the picture, where they are asked for. Raises Error."""
    files: dict[Path, bytes | str] = {}
    if page_at is not None:
        files[page_at] = page(plans)
    if png_at is not None:
        files[png_at] = png(plans)
    write_all(files)


def page(plans: Sequence[Pictured]) -> str:
    from markupsafe import Markup

    return filled(
        "plan.html",
        title=" and ".join(p.title for p in plans),
        summaries=[summary(p) for p in plans],
        picture=Markup(picture(plans)),
        figures=figure_table(plans),
        at_the_peak=[peak_table(p) for p in plans],
        all_slots=[slot_table(p) for p in plans],
    )


def summary(pictured: Pictured) -> str:
    """What the picture says, in words."""
    arena, memory = pictured.arena, pictured.plan.memory
    names = ", ".join(plain(arena.nodes[k].name) for k in arena.peaks)
    return (
        f"{pictured.title}: the arena has {memory.arena_bytes:,} bytes; with this order of the "
        f"nodes none can have less than {memory.lower_bound:,}. Most are in use, "
        f"{arena.in_use[arena.peaks[0]]:,}, at {names}."
    )


def picture(plans: Sequence[Pictured]) -> str:
    """The SVG; over a rectangle the pointer shows what it is."""
    drawn = svg(plans).decode()
    drawn = drawn[drawn.index("<svg ") :]
    for k, pictured in enumerate(plans):
        for j, box in enumerate(pictured.arena.boxes):
            mark = f'<g id="{box_id(k, j)}">'
            text = html.escape(described(pictured.arena, box))
            drawn = drawn.replace(mark, f"{mark}<title>{text}</title>", 1)
    label = "The arena over the step, and RAM and flash by kind; the tables below say the same."
    return drawn.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)


def described(arena: Arena, box: Box) -> str:
    """A box in a few words, as the pointer over it shows them."""
    first, last = when(arena, box.slot.first), when(arena, box.slot.last)
    label = f" ({box.label})" if box.label not in ("", box.name) else ""
    time = f"during {first}" if first == last else f"from {first} to {last}"
    return f"{box.name}{label}: {box.kind}, {box.slot.size:,} bytes at {box.slot.offset:,}, {time}"


def when(arena: Arena, step: int) -> str:
    if 0 <= step < len(arena.nodes):
        return plain(arena.nodes[step].name)
    return "before the step" if step < 0 else "behind the step"


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
    return PageTable(caption, COLUMNS, rows_of(arena, arena.live(step)))


def slot_table(pictured: Pictured) -> PageTable:
    caption = f"{pictured.title}: all slots of the arena"
    return PageTable(caption, COLUMNS, rows_of(pictured.arena, pictured.arena.boxes))


def rows_of(arena: Arena, boxes: Iterable[Box]) -> list[tuple[str, ...]]:
    return [
        (
            box.name, box.kind, f"{box.slot.size:,}", f"{box.slot.offset:,}", box.slot.memory,
            when(arena, box.slot.first), when(arena, box.slot.last), box.label,
        )
        for box in boxes
    ]  # fmt: skip

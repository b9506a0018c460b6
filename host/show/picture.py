# SPDX-License-Identifier: Apache-2.0
"""A picture of one plan, or of two side by side: the arena over the step, RAM and flash by kind."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mcutrain.host.kinds import ARENA_KINDS, flash_bytes, ram_bytes
from mcutrain.host.show.arena import Arena, Box, plain
from mcutrain.host.show.arena_view import box_id
from mcutrain.trainer.training_plan import TrainingPlan

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# After Okabe and Ito: told apart by colour-blind readers too.
COLOURS = dict(
    zip(
        ARENA_KINDS,
        ("#56b4e9", "#0072b2", "#cc79a7", "#f0e442", "#d55e00", "#999999", "#009e73"),
        strict=True,
    )
)
PARTS = {"forward": "#cfe3f1", "loss": "#b8dccb", "backward": "#f6d6c0", "update": "#e3d5ee"}
BARS = ("#44617b", "#c98a3c")  # of the first plan and of the second
HEIGHT, COLUMN, LEAST, MOST, SIDE = 8.0, 0.105, 7.0, 15.0, 3.4  # inches
POINTS = 72  # per inch
WIDTH_OF_A_LETTER = 0.62  # of the font's size, about
DPI = 110
PALETTE = 160
INK, PEAK, HATCH = "#222222", "#b00000", "/////"
STRIP = 0.03  # height of the parts of the step, of the arena


@dataclass(frozen=True)
class Pictured:
    """A plan with its cost (host.cost) and what to call it."""

    plan: TrainingPlan
    cost: dict[str, Any]
    label: str

    @cached_property
    def arena(self) -> Arena:
        return Arena(self.plan)

    @property
    def title(self) -> str:
        return plain(self.label)

    @cached_property
    def ram(self) -> dict[str, int]:
        return ram_bytes(self.plan, self.cost)

    @cached_property
    def flash(self) -> dict[str, int]:
        return flash_bytes(self.cost)


def png(plans: Sequence[Pictured]) -> bytes:
    """With a palette: a third of the bytes."""
    import matplotlib
    from PIL import Image  # matplotlib needs it too

    # Names are no formulas.
    settings: dict[Any, Any] = {"text.parse_math": False, "hatch.linewidth": 0.4}
    whole = io.BytesIO()
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # of a name, that the font lacks
        figure_of(plans).savefig(whole, format="png", dpi=DPI)
    buffer = io.BytesIO()
    image = Image.open(whole).convert("RGB")
    image = image.quantize(PALETTE, Image.Quantize.MAXCOVERAGE)
    image.save(buffer, format="png", optimize=True)
    return buffer.getvalue()


def figure_of(plans: Sequence[Pictured]) -> Figure:
    from matplotlib.figure import Figure

    columns = max(p.arena.starts[-1] for p in plans)
    width = min(MOST, max(LEAST, COLUMN * columns))
    figure = Figure(figsize=(len(plans) * width + SIDE, HEIGHT), layout="constrained")
    shares = [*[width] * len(plans), SIDE]
    grid = figure.add_gridspec(2, len(shares), width_ratios=shares, height_ratios=[5, 2])
    scale = Scale(columns, max(p.plan.memory.arena_bytes for p in plans), width)
    arenas = []
    for k, pictured in enumerate(plans):
        axes = figure.add_subplot(grid[:, k])
        draw_arena(axes, pictured, k, scale)
        arenas.append(axes)
    draw_bars(figure.add_subplot(grid[0, -1]), [p.ram for p in plans], "RAM, bytes")
    draw_bars(figure.add_subplot(grid[1, -1]), [p.flash for p in plans], "flash, bytes")
    legend(figure, arenas, plans)
    figure.draw_without_rendering()
    for axes, pictured in zip(arenas, plans, strict=True):
        name_boxes(axes, pictured.arena)
    return figure


@dataclass(frozen=True)
class Scale:
    """What the axes of all plans have: columns, bytes, and the width in inches, about."""

    columns: int
    top: int
    width: float

    @property
    def font_size(self) -> float:
        """Of a name that stands upright in one column."""
        return max(2.5, min(7.0, 0.75 * self.width * POINTS / (self.columns + 2)))


def draw_arena(axes: Axes, pictured: Pictured, index: int, scale: Scale) -> None:
    """Offset against node."""
    from matplotlib.ticker import MultipleLocator, StrMethodFormatter

    arena, memory, top = pictured.arena, pictured.plan.memory, scale.top
    axes.set_xlim(-1, scale.columns + 1)
    axes.set_ylim(-STRIP * top, 1.09 * top)
    draw_parts(axes, arena, STRIP * top)
    draw_boxes(axes, arena, index)
    draw_memories(axes, arena)
    draw_regions(axes, arena, memory.arena_bytes + 0.012 * top)
    draw_peaks(axes, arena, top)
    end = arena.starts[-1] + 1
    axes.hlines(memory.arena_bytes, -1, end, color=INK, linewidth=1.2)
    axes.hlines(memory.lower_bound, -1, end, color=INK, linewidth=1.2, linestyle="--", zorder=4)
    names = [name for names in arena.columns for name in names]
    places = [k + 0.5 for k in range(len(names))]
    axes.set_xticks(places, names, rotation=90, fontsize=scale.font_size)
    axes.tick_params(axis="x", length=0, pad=1)
    axes.yaxis.set_major_locator(MultipleLocator(2 ** math.ceil(math.log2(max(8, top / 12)))))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.set_ylabel("offset in the arena, bytes")
    told = (
        f"arena {memory.arena_bytes:,} bytes, lower bound {memory.lower_bound:,}, "
        f"{arena.in_use[arena.peaks[0]]:,} in use at the peak"
    )
    axes.set_title(f"{pictured.title}\n{told}", fontsize=10, loc="left")


def draw_boxes(axes: Axes, arena: Arena, index: int) -> None:
    """A rectangle for each slot, and hatching where an output lies over its input."""
    from matplotlib.patches import Rectangle

    for k, box in enumerate(arena.boxes):
        begin, end = arena.span(box)
        colour = COLOURS[box.kind]
        rectangle = Rectangle(
            (begin, arena.bottom(box)), end - begin, box.slot.size, facecolor=(colour, 0.65),
            edgecolor=INK, linewidth=0.4, gid=box_id(index, k),
        )  # fmt: skip
        axes.add_patch(rectangle)
    starts = arena.starts
    for step, bottom, size in arena.shared:
        place, width = (starts[step], bottom), starts[step + 1] - starts[step]
        axes.add_patch(
            Rectangle(place, width, size, fill=False, edgecolor=INK, linewidth=0, hatch=HATCH)
        )


def draw_memories(axes: Axes, arena: Arena) -> None:
    """A line and a name where each memory begins, if there are several."""
    end = arena.starts[-1] + 1
    for name, floor in arena.floors.items() if len(arena.floors) > 1 else ():
        axes.hlines(floor, -1, end, color=INK, linewidth=1.2)
        axes.text(end, floor, name, fontsize=8, va="bottom", ha="right", zorder=6)


def draw_parts(axes: Axes, arena: Arena, height: float) -> None:
    """The parts of the step as a strip under the arena."""
    starts = arena.starts
    loss = next(first for part, first, _ in arena.parts if part == "loss")
    for part, first, end in arena.parts:
        axes.broken_barh(
            [(starts[first], starts[end] - starts[first])], (-height, height), color=PARTS[part]
        )
    centre: dict[str, Any] = {"va": "center", "ha": "center", "fontsize": 8}
    axes.text(starts[loss] / 2, -height / 2, "forward", **centre)
    axes.text((starts[loss + 1] + starts[-1]) / 2, -height / 2, "backward, updates", **centre)
    for edge in (starts[loss], starts[loss + 1]):
        axes.axvline(edge, color="#009e73", linewidth=0.7, linestyle=":", zorder=1)


def draw_regions(axes: Axes, arena: Arena, height: float) -> None:
    """A span over the columns of each region, and a bar at ``height``."""
    for k in arena.regions:
        begin, end = arena.starts[k], arena.starts[k + 1]
        axes.axvspan(begin, end, color=COLOURS["rings"], alpha=0.13, linewidth=0, zorder=0)
        axes.hlines(height, begin + 0.1, end - 0.1, color=COLOURS["rings"], linewidth=4)


def draw_peaks(axes: Axes, arena: Arena, top: int) -> None:
    """The columns of the nodes that need most, with the name of the first."""
    for step in arena.peaks:
        begin, end = arena.starts[step], arena.starts[step + 1]
        axes.axvspan(begin, end, edgecolor=PEAK, facecolor="none", linewidth=1.1, zorder=5)
    first = arena.peaks[0]
    begin, end = arena.starts[first], arena.starts[first + 1]
    others = f" and {len(arena.peaks) - 1} more" if len(arena.peaks) > 1 else ""
    is_right = begin > arena.starts[-1] / 2
    axes.text(
        begin - 0.5 if is_right else end + 0.5,
        1.055 * top,
        f"peak: {plain(arena.nodes[first].name)}{others}, {arena.in_use[first]:,} bytes in use",
        color=PEAK, fontsize=8, va="center", ha="right" if is_right else "left",
    )  # fmt: skip


def name_boxes(axes: Axes, arena: Arena) -> None:
    """The names of the boxes that have room for them, once the axes have their place."""
    scale = axes.transData.transform([(0, 0), (1, 1)]) * POINTS / axes.figure.dpi
    column, byte = (scale[1] - scale[0]).tolist()
    for box in arena.boxes:
        begin, end = free_span(arena, box)
        width, height = (end - begin) * column, box.slot.size * byte
        is_upright = height > width
        along, across = (height, width) if is_upright else (width, height)
        size = min(7.0, 0.8 * across, along / (WIDTH_OF_A_LETTER * (len(box.name) + 1)))
        if size >= 3.5:
            axes.text(
                (begin + end) / 2, arena.bottom(box) + box.slot.size / 2, box.name, fontsize=size,
                rotation=90 if is_upright else 0, ha="center", va="center", zorder=6,
                rotation_mode="anchor",
            )  # fmt: skip


def free_span(arena: Arena, box: Box) -> tuple[int, int]:
    """The columns of a box that it has to itself, if it has any; else all."""
    begin, end = arena.span(box)
    low, starts = arena.bottom(box), arena.starts
    at = {
        k
        for k, bottom, size in arena.shared
        if low < bottom + size and bottom < low + box.slot.size
    }
    first, last = box.slot.first, box.slot.last
    inner = (
        starts[first + 1] if first in at else begin,
        starts[last] if last in at else end,
    )
    return inner if inner[0] < inner[1] else (begin, end)


def draw_bars(axes: Axes, values: Sequence[dict[str, int]], title: str) -> None:
    """A bar for each kind, of each plan, with its bytes."""
    kinds = list(dict.fromkeys(kind for found in values for kind in found))
    thick = 0.8 / len(values)
    for k, found in enumerate(values):
        sizes = [found.get(kind, 0) for kind in kinds]
        places = [row + (k - (len(values) - 1) / 2) * thick for row in range(len(kinds))]
        bars = axes.barh(places, sizes, 0.92 * thick, color=BARS[k % len(BARS)])
        axes.bar_label(bars, [f"{size:,}" for size in sizes], padding=2, fontsize=7)
    axes.set_yticks(range(len(kinds)), kinds, fontsize=8)
    axes.invert_yaxis()
    axes.set_xticks([])
    axes.set_xlim(0, 1.45 * max(size for found in values for size in found.values()))
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    sums = " and ".join(f"{sum(found.values()):,}" for found in values)
    axes.set_title(f"{title}: {sums}", fontsize=9, loc="left")


def legend(figure: Figure, arenas: Sequence[Axes], plans: Sequence[Pictured]) -> None:
    """The kinds there are, the parts of the step, the lines, and the plans if there are two."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    there = {box.kind for p in plans for box in p.arena.boxes}
    keys: list[Patch | Line2D] = [
        Patch(facecolor=(COLOURS[kind], 0.65), edgecolor=INK, linewidth=0.4, label=kind)
        for kind in ARENA_KINDS
        if kind in there
    ]
    if any(p.arena.shared for p in plans):
        over = "output over its input"
        keys.append(Patch(facecolor="none", edgecolor=INK, hatch=HATCH, label=over))
    keys.append(Line2D([], [], color=INK, linestyle="--", label="lower bound"))
    if any(p.arena.regions for p in plans):
        keys.append(Line2D([], [], color=COLOURS["rings"], linewidth=4, label="region, by rows"))
    keys += [Patch(color=colour, label=part) for part, colour in PARTS.items()]
    if len(plans) > 1:
        keys += [Patch(color=c, label=p.title) for c, p in zip(BARS, plans, strict=True)]
    figure.legend(handles=keys, loc="outside lower center", ncols=8, fontsize=8, frameon=False)

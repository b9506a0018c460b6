# SPDX-License-Identifier: Apache-2.0
"""Charts as numbers: templates/macros.html draws them, and so they follow light, dark and width."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SIDE = 1000  # of the square that lines are drawn in; the page stretches it
TICKS = 5
ALMOST_ALL = 0.98

Point = tuple[float, float]


@dataclass(frozen=True)
class Series:
    """A line through points (x, y). A ``faint`` one is a background to others of its colour, a
    ``marked`` one has a dot at each point."""

    name: str
    points: Sequence[Point]
    colour: int  # 1 to 4, of the page's
    faint: bool = False
    dashed: bool = False
    marked: bool = False


@dataclass(frozen=True)
class Tick:
    """A place on an axis, in percent of it, and what stands there."""

    at: float
    text: str


@dataclass(frozen=True)
class Line:
    """A series in the square: the points of an SVG polyline, and of its dots in percent."""

    series: Series
    points: str
    dots: Sequence[Point]


@dataclass(frozen=True)
class LineChart:
    """Lines over a common grid. ``readout`` is what the page's script shows under the pointer:
    (name, colour, points)."""

    title: str
    x_name: str
    y_name: str
    lines: Sequence[Line]
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]
    readout: Mapping[str, object]


def line_chart(
    title: str, x_name: str, y_name: str, series: Sequence[Series], percent: bool = False
) -> LineChart | None:
    """The chart of all series that have points; None without any. With ``percent`` y is a share."""
    drawn = [each for each in series if each.points]
    if not drawn:
        return None
    xs = [x for each in drawn for x, _ in each.points]
    ys = [y for each in drawn for y in heights(each)]
    left, right = min(xs), max(max(xs), min(xs) + 1)
    tops = [0.0, 1.0] if percent else nice(0.0 if min(ys) >= 0 else min(ys), max(ys))
    low, high = tops[0], tops[-1]

    def place(point: Point) -> Point:
        x, y = point
        return (x - left) / (right - left), 1 - (min(y, high) - low) / (high - low)

    lines = [
        Line(
            each,
            " ".join(f"{SIDE * x:.1f},{SIDE * y:.1f}" for x, y in map(place, each.points)),
            [(100 * x, 100 * y) for x, y in map(place, each.points)] if each.marked else (),
        )
        for each in drawn
    ]
    levels = [k / 4 for k in range(5)] if percent else tops
    text = (lambda v: f"{100 * v:.0f} %") if percent else short
    return LineChart(
        title,
        x_name,
        y_name,
        lines,
        [Tick(100 * place((x, low))[0], f"{x:,.0f}") for x in whole(nice(left, right, True))],
        [Tick(100 * place((left, y))[1], text(y)) for y in levels],
        {
            "left": left,
            "right": right,
            "x": x_name,
            "series": [
                {"name": s.name, "points": [[round(v, 4) for v in p] for p in s.points]}
                for s in drawn
                if not s.faint
            ],
            "percent": percent,
        },
    )


def heights(series: Series) -> list[float]:
    """The values that the chart must have room for: of a faint line but the greatest hundredth,
    since a few samples with a great loss would press all others flat."""
    values = sorted(y for _, y in series.points)
    return values[: max(1, math.ceil(ALMOST_ALL * len(values)))] if series.faint else values


def nice(low: float, high: float, within: bool = False) -> list[float]:
    """Round numbers from ``low`` to ``high``, the ends beyond them, or ``within``.

    >>> nice(0, 7.3), nice(0, 1049, within=True)
    ([0.0, 2.0, 4.0, 6.0, 8.0], [0.0, 250.0, 500.0, 750.0, 1000.0])
    """
    span = high - low if high > low else abs(high) or 1.0
    rough = span / TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9) if within else math.floor(low / step + 1e-9)
    last = math.floor(high / step + 1e-9) if within else math.ceil(high / step - 1e-9)
    return [round(k * step, 12) for k in range(first, max(last, first + (not within)) + 1)]


def whole(values: Sequence[float]) -> list[float]:
    """The whole numbers of some: steps and epochs have no others."""
    return [value for value in values if value == round(value)]


def short(value: float) -> str:
    """A number for an axis.

    >>> short(0.25), short(2.0), short(12000.0)
    ('0.25', '2', '12,000')
    """
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def smoothed(points: Sequence[Point]) -> tuple[int, list[Point]]:
    """How many points a running mean is of, a thirtieth of them, and the means."""
    width = max(1, len(points) // 30)
    found, total = [], 0.0
    for k, (x, y) in enumerate(points):
        total += y - (points[k - width][1] if k >= width else 0.0)
        if k + 1 >= width:
            found.append((x, total / width))
    return width, found


@dataclass(frozen=True)
class Bar:
    """One bar, in percent of the chart's width, and what is said behind it; ``colour`` as of
    Series. A bar may have parts: (name, percent, colour, said)."""

    name: str
    percent: float
    text: str
    colour: int = 1
    parts: Sequence[tuple[str, float, int, str]] = ()


def bars(values: Mapping[str, float], unit: str, most: float = 0.0, colour: int = 1) -> list[Bar]:
    """A bar for each value with its unit, against the greatest of all or ``most``."""
    top = most or max(values.values(), default=0.0) or 1.0
    return [
        Bar(name, 100 * value / top, f"{value:,.0f} {unit}", colour)
        for name, value in values.items()
    ]

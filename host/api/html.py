# SPDX-License-Identifier: Apache-2.0
"""Small pieces of HTML that notebooks show. They take the colours of the page around them, so they
are light where it is light and dark where it is dark."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from mcutrain.host.api.curve import Line, scaled

Cell = str | int | float | None
LEFT, RIGHT = "text-align:left", "text-align:right;font-variant-numeric:tabular-nums"
WIDTH, HEIGHT, MARGIN = 480, 160, 56


def shown(value: Cell) -> str:
    """A cell's text: whole numbers with separators, others with four figures.

    >>> shown(12251), shown(0.83871), shown(None), shown("a<b")
    ('12,251', '0.8387', '-', 'a&lt;b')
    """
    if value is None:
        return "-"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else escape(value)


def page_table(caption: str, head: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """A table; the first cell of a row is its heading."""
    heads = "".join(table_cell("th", k, escape(text)) for k, text in enumerate(head))
    body = "".join(
        "<tr>" + "".join(table_cell("td" if k else "th", k, shown(v)) for k, v in enumerate(row))
        for row in rows
    )
    style = "text-align:left;font-weight:bold;caption-side:top"
    return f"<table><caption style='{style}'>{escape(caption)}</caption><tr>{heads}{body}</table>"


def table_cell(kind: str, column: int, text: str) -> str:
    """A cell with text that is escaped already."""
    return f"<{kind} style='{RIGHT if column else LEFT};font-weight:normal'>{text}"


def curve(caption: str, lines: Sequence[Line], x: str = "step", dots: bool = False) -> str:
    """An SVG of lines over a common range, with the ends of both axes written out."""
    if not any(line.values for line in lines):
        return ""
    paths, low, high, last = scaled(lines, WIDTH - MARGIN - 8, HEIGHT - 44)
    drawn = []
    for k, (line, points) in enumerate(zip(lines, paths, strict=True)):
        look = f"stroke='currentColor' opacity='{0.35 if k == 0 and len(lines) > 1 else 1}'"
        at = " ".join(f"{MARGIN + px:.1f},{10 + py:.1f}" for px, py in points)
        title = f"<title>{escape(line.name)}</title>"
        if dots:
            circles = "".join(
                f"<circle cx='{p.split(',')[0]}' cy='{p.split(',')[1]}' r='3'/>" for p in at.split()
            )
            drawn.append(f"<g fill='currentColor' opacity='0.8'>{title}{circles}</g>")
        else:
            drawn.append(f"<polyline fill='none' {look} points='{at}'>{title}</polyline>")
    base = HEIGHT - 34
    texts = (
        f"<text x='{MARGIN - 4}' y='16' text-anchor='end'>{high:.3g}</text>"
        f"<text x='{MARGIN - 4}' y='{base}' text-anchor='end'>{low:.3g}</text>"
        f"<text x='{MARGIN}' y='{HEIGHT - 14}'>0</text>"
        f"<text x='{WIDTH - 8}' y='{HEIGHT - 14}' text-anchor='end'>{escape(x)} {last:,.6g}</text>"
    )
    axis = (
        f"<path d='M{MARGIN} 8V{base}H{WIDTH - 8}' fill='none' stroke='currentColor' opacity='.4'/>"
    )
    return (
        f"<figure style='margin:.5em 0;max-width:{WIDTH}px'><svg viewBox='0 0 {WIDTH} {HEIGHT}' "
        f"role='img' aria-label='{escape(caption)}' style='width:100%;height:auto;"
        f"font:11px sans-serif;fill:currentColor'>{axis}{''.join(drawn)}{texts}</svg>"
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )

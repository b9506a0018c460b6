# SPDX-License-Identifier: Apache-2.0
"""Confusion, changes of each class, and the samples with wrong answers, as a page shows them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mcutrain.host.show.pages import PageTable, number, share, significant
from mcutrain.host.show.run_views import Run, alike, class_name

MOST_CELLS = 16  # classes of a matrix that is a table; a larger one is a picture
MOST_CHANGES = 30  # classes
MOST_MIXED = 10
TINT = 0.62  # of a full cell: the text on it stays readable
LEAST_SPOT = 0.25  # of a cell that is not empty, in a picture

Matrix = list[list[int]]


def class_views(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """The confusion of each run that has classes; runs that answer alike share a view."""
    judged = [run for run in runs if run["confusion_after"] or run["confusion_before"]]
    groups = alike(judged, "confusion_before", "confusion_after")
    return [{"targets": targets, **class_view(run)} for targets, run in groups]


def class_view(run: Run) -> dict[str, Any]:
    states = {"before training": run["confusion_before"], "after training": run["confusion_after"]}
    matrices = [(title, matrix) for title, matrix in states.items() if matrix]
    names = [class_name(run, k) for k in range(max(len(m) for _, m in matrices))]
    return {
        "names": names,
        "matrices": [drawn(title, matrix, names) for title, matrix in matrices],
        "changes": change_table(run["class_changes"] or ()),
        "mixed": mixed_table(run["confusion_after"], names) if run["confusion_after"] else None,
    }


def drawn(title: str, matrix: Matrix, names: Sequence[str]) -> dict[str, Any]:
    """A matrix as cells of a table, or as the spots of a picture where there are many classes."""
    cells = [
        [cell(matrix, true, answer, names) for answer in range(len(matrix))]
        for true in range(len(matrix))
    ]
    if len(matrix) <= MOST_CELLS:
        return {"title": title, "cells": cells}
    spots = [
        {**one, "row": true, "column": answer, "tint": max(one["tint"], LEAST_SPOT)}
        for true, row in enumerate(cells)
        for answer, one in enumerate(row)
        if one["count"]
    ]
    return {"title": title, "cells": None, "side": len(matrix), "spots": spots}


def cell(matrix: Matrix, true: int, answer: int, names: Sequence[str]) -> dict[str, Any]:
    count, whole = int(matrix[true][answer]), max(1, sum(matrix[true]))
    text = f"{names[true]}, answered as {names[answer]}: {count:,} of {sum(matrix[true]):,}"
    return {"count": count, "right": true == answer, "tint": TINT * count / whole, "text": text}


def change_table(changes: Sequence[dict[str, Any]]) -> PageTable | None:
    """How many of each class's samples are right, before and after; of many classes those that
    changed most."""
    if not changes:
        return None
    most = sorted(changes, key=lambda one: -abs(one["change"]))[:MOST_CHANGES]
    shown = changes if len(changes) <= MOST_CHANGES else most
    rows = [
        (
            str(one["name"]), number(one["samples"]), share(one["recall_before"]),
            share(one["recall_after"]), f"{100 * one['change']:+.1f}" if one["change"] else "0",
        )
        for one in shown
    ]  # fmt: skip
    left = len(changes) - len(shown)
    caption = f"The {left} classes that changed least are left out." if left else ""
    return PageTable(caption, ("class", "samples", "before", "after", "points"), rows)


def mixed_table(matrix: Matrix, names: Sequence[str]) -> PageTable | None:
    """The pairs of a true class and a wrong answer that have most samples."""
    pairs = [
        (count, true, answer)
        for true, row in enumerate(matrix)
        for answer, count in enumerate(row)
        if count and true != answer
    ]
    rows = [
        (names[true], names[answer], number(count))
        for count, true, answer in sorted(pairs, key=lambda p: (-p[0], p[1:]))[:MOST_MIXED]
    ]
    return PageTable("", ("true class", "answered as", "samples"), rows, {1}) if rows else None


def answer_views(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """The test samples that a page draws; runs that answer alike share a view."""
    views: dict[int, dict[str, Any]] = {}
    for k, run in enumerate(runs):
        found = run["answers"]
        if not found:
            continue
        first = found.get("same_as", k)
        if first in views:
            views[first]["targets"] += f" and {run['target']}"
        else:
            views[k] = {"targets": run["target"], **answer_view(found)}
    return list(views.values())


def answer_view(found: dict[str, Any]) -> dict[str, Any]:
    shown = found["shown"]
    is_drawn = bool(shown) and shown[0]["kind"] != "values"
    return {
        "says": " ".join(said(found)),
        "shown": [{**one, "says": caption(one)} for one in shown] if is_drawn else [],
        "rows": None if is_drawn or not shown else value_table(shown),
    }


def said(found: dict[str, Any]) -> Iterator[str]:
    samples, wrong, shown = found["samples"], found["wrong"], len(found["shown"])
    if wrong is None:
        yield f"The page shows {shown:,} of {samples:,} test samples."
        return
    if not wrong:
        yield f"The network gets all {samples:,} test samples right."
    else:
        left = f", of which the page shows {shown:,}" if shown < wrong else ""
        yield f"The network gets {wrong:,} of {samples:,} test samples wrong{left}."
    if found["gained"] is not None:
        yield (
            f"Training made {found['gained']:,} of them right that were wrong before, and "
            f"{found['lost']:,} wrong that were right."
        )


def caption(one: dict[str, Any]) -> str:
    if "label" not in one:
        before = one["loss_before"]
        return "" if before is None else f"loss {significant(before)} before training"
    text = f"{one['label']}, answered as {one['predicted']}"
    before = one.get("predicted_before")
    if before is None or before == one["predicted"]:
        return text
    return f"{text}, before training as {before}"


def value_table(shown: Sequence[dict[str, Any]]) -> PageTable:
    head = ("sample", "answer", "loss", "its values, int8")
    rows = [
        (str(one["index"]), caption(one), significant(one["loss"]), values_text(one))
        for one in shown
    ]
    return PageTable("", head, rows, {1, 3})


def values_text(one: dict[str, Any]) -> str:
    """The first values of a sample."""
    more = ", …" if one["size"] > len(one["values"]) else ""
    return ", ".join(map(str, one["values"])) + more

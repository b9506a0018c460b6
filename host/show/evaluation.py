# SPDX-License-Identifier: Apache-2.0
"""An evaluation on the terminal: figures, confusion, the worst samples; 80 columns are enough."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from rich.markup import escape
from rich.table import Table

from mcutrain.host.show.terminal import lines, out, percent
from mcutrain.host.training.evaluate_command import Evaluated
from mcutrain.host.training.evaluation import Evaluation, finite

MOST_COLUMNS = 10  # classes of a matrix that fits 80 columns
LONGEST = 14  # letters of a class's name
LISTED = 10  # rows of what is abridged
SAMPLE_LETTERS = 40


def evaluation_tables(of: Evaluated, worst: int) -> None:
    """What `mcutrain evaluate` prints."""
    found, job = of.found, of.job
    lines(headline(found, f"{job.split} samples of {job.data}"))
    if found.classes:
        if found.classes <= MOST_COLUMNS:
            what = "samples" if found.label_maps is None else "positions"
            lines([f"{what} of each class (rows), by what the model said (columns):"])
            out.print(matrix(found))
        else:
            lines([f"the {LISTED} of {found.classes} classes with the least recall:"])
            out.print(least_recalled(found))
            lines(confusions(found))
    elif len(found.mse_per_output) <= MOST_COLUMNS:
        errors = ", ".join(f"{value:.4g}" for value in found.mse_per_output)
        lines([f"mean squared error of each output: {errors}"])
    if worst:
        lines([f"the {min(worst, len(found))} worst samples:"])
        out.print(worst_table(of, worst))


def headline(found: Evaluation, of: str) -> Iterator[str]:
    if not found.classes:
        yield f"mean squared error {found.loss:.4g} on {len(found)} {of}"
        return
    labels, predicted = found.pairs
    right, all_of = int((labels == predicted).sum()), f"{len(labels)} {of}"
    if found.mean_iou is not None:
        all_of = f"{len(labels)} positions of {len(found)} {of}"
    yield f"accuracy {percent(found.accuracy)}: {right} of {all_of}"
    iou = "" if found.mean_iou is None else f"mean IoU {percent(found.mean_iou)}; "
    yield (
        f"balanced accuracy, the mean of each class's own, {percent(found.balanced_accuracy)}; "
        f"{iou}loss {found.loss:.4g}"
    )


def class_name(found: Evaluation, label: int) -> str:
    """A class's number, and its name if it has one, short enough for a table."""
    name = found.name_of(label)
    shown = str(label) if name == str(label) else f"{label} {name}"
    return escape(shown if len(shown) <= LONGEST else shown[: LONGEST - 1] + "…")


def share(value: float) -> str:
    number = finite(value)
    return "-" if number is None else f"{100 * number:.0f}%"


def matrix(found: Evaluation) -> Table:
    """How many samples, or positions, of each class, in rows, were taken for each, in columns."""
    table = Table()
    table.add_column("class", no_wrap=True)
    for label in range(found.classes):
        table.add_column(str(label), justify="right", no_wrap=True)
    table.add_column("recall", justify="right", no_wrap=True)
    table.box, table.padding = None, (0, 1, 0, 0)
    for label in range(found.classes):
        counts = [str(n) if n else "." for n in found.confusion[label]]
        table.add_row(class_name(found, label), *counts, share(found.recall[label]))
    table.add_row("precision", *map(share, found.precision), "", style="dim")
    if found.mean_iou is not None:
        table.add_row("IoU", *map(share, found.iou), "", style="dim")
    return table


def least_recalled(found: Evaluation) -> Table:
    """The classes that are told worst."""
    table = Table()
    table.box, table.padding = None, (0, 1, 0, 0)
    for name in ("class", "samples", "recall", "precision"):
        table.add_column(name, justify="left" if name == "class" else "right", no_wrap=True)
    there = np.flatnonzero(found.samples)
    for label in there[np.argsort(found.recall[there], kind="stable")][:LISTED]:
        cells = share(found.recall[label]), share(found.precision[label])
        table.add_row(class_name(found, label), str(found.samples[label]), *cells)
    return table


def confusions(found: Evaluation) -> Iterator[str]:
    """The pairs of classes that are taken for each other most often."""
    labels, predicted = found.pairs
    wrong = labels != predicted
    pairs, counts = np.unique(
        np.stack([labels[wrong], predicted[wrong]], 1), axis=0, return_counts=True
    )
    if len(pairs):
        yield "most frequent mistakes:"
    for k in np.argsort(-counts, kind="stable")[:LISTED]:
        true, said = (found.name_of(int(label)) for label in pairs[k])
        yield f"  {true} taken for {said}: {counts[k]}"


def worst_table(of: Evaluated, count: int) -> Table:
    """The samples with the greatest loss, those of a wrong class first."""
    rows, table = of.worst(count), Table()
    table.box, table.padding = None, (0, 1, 0, 0)
    table.add_column("sample", no_wrap=True)
    has_classes = of.found.labels is not None
    for name in ("class", "the model said") if has_classes else ():
        table.add_column(name, no_wrap=True)
    table.add_column("loss", justify="right", no_wrap=True)
    for row in rows:
        name = row["sample"]
        shown = name if len(name) <= SAMPLE_LETTERS else "…" + name[1 - SAMPLE_LETTERS :]
        classes = [escape(row[key][:LONGEST]) for key in ("class", "predicted") if has_classes]
        table.add_row(escape(shown), *classes, f"{row['loss']:.4g}")
    return table

# SPDX-License-Identifier: Apache-2.0
"""What a user would want to know of a data set: what its figures cannot say, or training not do."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

import numpy as np

from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.notes import NOTE, WARNING, Note

FEW_SAMPLES = 10  # of a test: one sample is then more than 10 % of the accuracy
SAME_SAMPLES = 0.1  # share of the test samples that are training samples; a few are chance
LISTED = 5  # labels


def label_notes(arrays: Mapping[str, Array], classes: int, is_new: bool) -> Iterator[Note]:
    """Of the labels that are there, of ``classes``; a head that ``is_new`` was asked for."""
    trained = {int(v) for key in ("y_train", "y_old") if key in arrays for v in arrays[key]}
    if len(trained) < 2:
        text = (
            f"y_train holds the label {min(trained)} alone: a classifier that learns one class "
            "gives it for every sample"
        )
        yield Note("y_train", "one label", float(min(trained)), text, WARNING)
    tested = {int(v) for v in arrays["y_test"]} if len(arrays.get("y_test", ())) > 1 else set()
    if len(tested) == 1:
        text = (
            f"y_test holds the label {min(tested)} alone: a classifier that gives it for every "
            "sample is 100 % right; test other classes too"
        )
        yield Note("y_test", "one label", float(min(tested)), text, WARNING)
    for key in ("y_test", "y_val"):
        unknown = {int(v) for v in arrays[key]} - trained if key in arrays else set()
        if unknown:
            share = float(np.isin(arrays[key], list(unknown)).mean())
            text = (
                f"{100 * share:.1f} % of {key} is {labels(unknown)}, of which x_train has no "
                "sample: it cannot be learned"
            )
            yield Note(key, "unknown labels", share, text, WARNING)
    missing = set(range(classes)) - trained
    if missing and len(trained) > 1:
        advice = "" if is_new else f"; --classes {max(trained) + 1} gives a head without them"
        text = f"x_train has no sample of {labels(missing)} ({classes} classes)"
        if max(trained) + 1 < classes:
            text += advice
        yield Note("y_train", "no samples", float(len(missing)), text, NOTE)


def labels(found: Iterable[int]) -> str:
    """Some labels as words.

    >>> labels([3]), labels(range(9))
    ('label 3', 'labels 0, 1, 2, 3, 4 and 4 more')
    """
    first, more = sorted(found)[:LISTED], len(set(found)) - LISTED
    names = ", ".join(map(str, first)) + (f" and {more} more" if more > 0 else "")
    return f"label{'s' if len(first) > 1 else ''} {names}"


def sample_notes(arrays: Mapping[str, Array], unfit: Collection[str]) -> Iterator[Note]:
    """Of the samples themselves, (N, size) int8. In ``unfit`` arrays different samples have become
    the same: so much is said of them elsewhere."""
    if len(arrays["x_train"]) == 1:
        text = "x_train holds one sample: no more than that sample can be learned"
        yield Note("x_train", "one sample", 1.0, text, WARNING)
    elif "x_train" not in unfit and are_alike(arrays["x_train"]):
        text = (
            f"all {len(arrays['x_train']):,} samples of x_train are alike: nothing in them tells "
            "one answer from another"
        )
        yield Note("x_train", "samples alike", 1.0, text, WARNING)
    test = arrays["x_test"]
    if len(test) < FEW_SAMPLES:
        text = (
            f"x_test has {len(test)} sample{'s' * (len(test) != 1)}, too few to judge by: "
            f"each of them is {100 / len(test):.0f} % of the accuracy"
        )
        yield Note("x_test", "few samples", float(len(test)), text, NOTE)
    for key in ("x_test", "x_val"):
        if key in arrays and not {key, "x_train"} & set(unfit):
            rows = [row.tobytes() for row in arrays[key]]
            wanted = set(rows)
            known = {raw for row in arrays["x_train"] if (raw := row.tobytes()) in wanted}
            share = float(np.mean([raw in known for raw in rows]))
            if share >= SAME_SAMPLES:
                text = (
                    f"{100 * share:.1f} % of {key} is in x_train too, as int8: the figures say "
                    "less about samples that are new"
                )
                yield Note(key, "same samples", share, text, WARNING)


def are_alike(samples: Array) -> bool:
    """Whether all of (N, size) are the same sample. Most sets tell at the second one, and no array
    of their size is made."""
    return all(np.array_equal(sample, samples[0]) for sample in samples)

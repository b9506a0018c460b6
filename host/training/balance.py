# SPDX-License-Identifier: Apache-2.0
"""A balanced order: classes with many samples give as many steps as those with few.

The order is made on the host, so a device needs nothing for it, and a verified run replays it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mcutrain.host.training.rates import NO_SAMPLE
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.notes import NOTE, WARNING, Note

OFF, ON, AUTO = "off", "on", "auto"
BALANCES = (AUTO, ON, OFF)
RATIO = 3  # samples of the largest class to those of the smallest, from which auto balances
REPEATS = 10  # most passes over a class in an epoch: more would learn its few samples by heart


def class_counts(labels: Array) -> dict[int, int]:
    """Samples of each class that has some."""
    found, counts = np.unique(labels, return_counts=True)
    return dict(zip(found.tolist(), counts.tolist(), strict=True))


def balances(option: str, labels: Array) -> bool:
    """Whether the order of samples with these labels is to be balanced."""
    if option != AUTO:
        return option == ON
    counts = class_counts(labels).values()
    return len(counts) > 1 and max(counts) >= RATIO * min(counts)


def shares(counts: list[int]) -> list[int]:
    """Steps of each class in an epoch, of as many steps as there are samples.

    Each class gets the same number, but no more than REPEATS for each of its samples. The largest
    takes what is left over, which is never more: all classes together have that many samples.

    >>> shares([5, 91, 5]), shares([98, 1, 1])
    ([33, 34, 34], [80, 10, 10])
    """
    left, given = sum(counts), [0] * len(counts)
    for k, c in enumerate(sorted(range(len(counts)), key=lambda c: counts[c])):
        given[c] = min(REPEATS * counts[c], left // (len(counts) - k))
        left -= given[c]
    return given


def balanced_order(
    labels: Array, epochs: int, seed: int, first_step: int = 0, left_out: int = 0
) -> Array:
    """(epochs * N,) indices of samples with these labels, behind ``first_step`` steps.

    An epoch has a step for each sample, each class its share of them. A class goes through all of
    its samples before one comes again, over the ends of epochs. Where samples were ``left_out``, as
    many steps more end each epoch, with the index NO_SAMPLE.
    """
    total = len(labels)
    first, done = divmod(first_step, total + left_out)
    members = [np.flatnonzero(labels == label) for label in class_counts(labels)]
    given = shares([len(m) for m in members])
    found = []
    for epoch in range(first, first + epochs + (done > 0)):
        each = zip(members, given, strict=True)
        picked = [some_of(m, (seed, 0, 2, c), epoch * n, n) for c, (m, n) in enumerate(each)]
        # The numbers that order an epoch without balance.
        mixed = np.random.default_rng([seed, epoch]).permutation(total)
        found += [np.concatenate(picked)[mixed], np.full(left_out, NO_SAMPLE)]
    order = np.concatenate(found) if found else np.zeros(0, np.int64)
    return order[done : done + epochs * (total + left_out)]


def some_of(members: Array, seed: tuple[int, ...], first: int, count: int) -> Array:
    """``count`` of a class's samples from the ``first`` on, in rounds that are each a new
    permutation of them all."""
    round_, start = divmod(first, len(members))
    rounds = range(round_, round_ + 1 + (start + count) // len(members))
    each = [np.random.default_rng([*seed, r]).permutation(members) for r in rounds]
    return np.concatenate(each)[start : start + count]


def balance_notes(labels: Array, option: str) -> Iterator[Note]:
    """What is done about classes with unlike numbers of samples, and what that costs."""
    counts = class_counts(labels)
    largest, smallest = max(counts, key=lambda c: counts[c]), min(counts, key=lambda c: counts[c])
    if counts[largest] < RATIO * counts[smallest]:
        return
    share = counts[largest] / len(labels)
    text = (
        f"label {largest} is {100 * share:.0f} % of y_train, with {counts[largest]} samples, "
        f"label {smallest} has {counts[smallest]}: "
    )
    if balances(option, labels):
        text += (
            "each class gets as many steps (--balance off takes samples as they come), and few "
            "samples are repeated"
        )
        yield Note("y_train", "balanced", share, text, NOTE)
    else:
        text += (
            f"giving {largest} for every sample looks {100 * share:.0f} % right; --balance on "
            "gives each class as many steps"
        )
        yield Note("y_train", "unbalanced", share, text, WARNING)

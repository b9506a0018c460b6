# SPDX-License-Identifier: Apache-2.0
"""A balanced order: its shares, its rounds, and that a run that goes on gets what it would have."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcutrain.host.training.balance import (
    AUTO,
    OFF,
    ON,
    RATIO,
    REPEATS,
    balance_notes,
    balanced_order,
    balances,
    shares,
)

COUNTS = st.lists(st.integers(1, 60), min_size=1, max_size=8)


def labels_of(*counts: int) -> np.ndarray:
    return np.repeat(np.arange(len(counts)), counts)


@given(COUNTS)
def test_an_epoch_has_as_many_steps_as_samples_and_no_class_is_worn_out(counts: list[int]) -> None:
    given = shares(counts)

    assert sum(given) == sum(counts)
    assert all(1 <= n <= REPEATS * count for n, count in zip(given, counts, strict=True))
    free = [n for n, count in zip(given, counts, strict=True) if n < REPEATS * count]
    assert max(free) - min(free) < len(counts)  # of a division with remainder
    assert all(n <= max(free) for n in given)


@settings(max_examples=40)
@given(COUNTS, st.integers(0, 3), st.integers(0, 200))
def test_a_run_that_goes_on_has_the_order_of_the_whole_run(
    counts: list[int], seed: int, done: int
) -> None:
    y = labels_of(*counts)
    whole = balanced_order(y, 4 + done // len(y), seed)

    rest = balanced_order(y, 3, seed, done)

    assert np.array_equal(rest, whole[done : done + 3 * len(y)])


def test_each_sample_of_a_class_comes_before_one_comes_again() -> None:
    y = labels_of(90, 6, 4)
    order = balanced_order(y, 9, seed=5)

    for label in range(3):
        drawn = order[y[order] == label]
        times = np.bincount(drawn, minlength=100)[y == label]
        assert times.max() - times.min() <= 1
    assert [np.bincount(y[order[e : e + 100]]).tolist() for e in (0, 800)] == [[34, 33, 33]] * 2


def test_the_order_is_drawn_by_the_seed() -> None:
    y = labels_of(9, 3)

    assert np.array_equal(balanced_order(y, 2, 1), balanced_order(y, 2, 1))
    assert not np.array_equal(balanced_order(y, 2, 1), balanced_order(y, 2, 2))
    assert balanced_order(y, 0, 1).tolist() == []


@pytest.mark.parametrize(
    ("option", "counts", "expected"),
    [
        (AUTO, (5 * RATIO, 5), True), (AUTO, (5 * RATIO - 1, 5), False), (AUTO, (9,), False),
        (ON, (5, 5), True), (OFF, (90, 1), False),
    ],
)  # fmt: skip
def test_auto_balances_classes_that_are_far_apart(
    option: str, counts: tuple[int, ...], expected: bool
) -> None:
    assert balances(option, labels_of(*counts)) is expected


def test_what_is_done_about_nine_tenths_of_the_data_is_said() -> None:
    (done,) = balance_notes(labels_of(90, 6, 4), ON)
    (warned,) = balance_notes(labels_of(90, 6, 4), OFF)

    assert str(done) == (
        "note: label 0 is 90 % of y_train, with 90 samples, label 2 has 4: each class gets as many "
        "steps (--balance off takes samples as they come), and few samples are repeated"
    )
    assert str(warned) == (
        "warning: label 0 is 90 % of y_train, with 90 samples, label 2 has 4: giving 0 for every "
        "sample looks 90 % right; --balance on gives each class as many steps"
    )
    assert not list(balance_notes(labels_of(9, 6, 4), OFF))

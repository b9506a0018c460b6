# SPDX-License-Identifier: Apache-2.0
"""Folds: each sample that can be is held out once, whatever the classes are like."""

from __future__ import annotations

from functools import cache

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mcutrain.host.training.dataset import Dataset
from mcutrain.host.training.fold_guard import undecidable
from mcutrain.host.training.folds import ENOUGH, FOLDS, Fold, Pool
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.guarded import small_plan


@cache
def plan(loss: str = "cross-entropy") -> TrainingPlan:
    return small_plan("head", loss=loss)


def pool_of(labels: Array | list[int], old: int = 0) -> Pool:
    """Samples that say which one they are."""
    y = np.array(labels, np.int64)
    return Pool(np.arange(len(y)).reshape(-1, 1), y, old)


def folds(pool: Pool, seed: int = 0, in_order: bool = False) -> list[Fold]:
    return pool.folds(plan(), seed, in_order)


# So many samples of each class, the classes in any order among each other.
counts = st.lists(st.integers(0, 12), min_size=1, max_size=6)


def mixed(counted: list[int], seed: int) -> Array:
    labels = np.repeat(np.arange(len(counted)), counted)
    return np.random.default_rng(seed).permutation(labels)


@given(counts, st.integers(0, 99), st.booleans())
def test_each_sample_of_a_class_of_two_is_held_out_once(
    counted: list[int], seed: int, in_order: bool
) -> None:
    pool = pool_of(mixed(counted, seed))
    found = folds(pool, seed, in_order)
    held = [int(k) for fold in found for k in fold.held]
    several = [k for k, label in enumerate(pool.y) if counted[label] > 1]

    assert sorted(held) == several
    assert len(found) <= FOLDS
    for fold in found:
        assert len(fold.held)
        assert sorted([*fold.learned, *fold.held]) == list(range(len(pool.x)))
        assert (np.diff(fold.learned) > 0).all() and (np.diff(fold.held) > 0).all()


@given(counts, st.integers(0, 99), st.booleans())
def test_each_fold_learns_from_each_class(counted: list[int], seed: int, in_order: bool) -> None:
    """And holds out a fifth of it, to a sample; one sample where a class has fewer than five."""
    pool = pool_of(mixed(counted, seed))
    for fold in folds(pool, seed, in_order):
        learned, held = (
            np.bincount(pool.y[part], minlength=len(counted)) for part in (fold.learned, fold.held)
        )
        for label, count in enumerate(counted):
            assert learned[label] or not count
            assert held[label] <= -(-count // min(FOLDS, max(count, 1)))
            assert held[label] >= count // FOLDS


def test_classes_of_one_two_and_three_samples() -> None:
    pool = pool_of([0, 1, 1, 2, 2, 2])
    found = folds(pool)

    assert [len(fold.held) for fold in found] == [1] * 5
    assert all(0 in fold.learned and 0 not in fold.held for fold in found)
    assert pool.classes(plan()) == {0: 1, 1: 2, 2: 3}
    assert pool.classes(plan("mse")) == {}


def test_small_classes_make_folds_of_one_size() -> None:
    found = folds(pool_of([label for label in range(10) for _ in range(2)]))

    assert [len(fold.held) for fold in found] == [4] * FOLDS


def test_a_seed_draws_its_folds() -> None:
    pool = pool_of(mixed([10, 10], 0))
    first, again, other = (folds(pool, seed) for seed in (1, 1, 2))

    assert [f.held.tolist() for f in first] == [f.held.tolist() for f in again]
    assert [f.held.tolist() for f in first] != [f.held.tolist() for f in other]


@given(counts, st.integers(0, 99))
def test_in_order_each_fold_holds_out_a_stretch_of_a_class(counted: list[int], seed: int) -> None:
    pool = pool_of(mixed(counted, seed))
    found = folds(pool, seed, in_order=True)

    for label in range(len(counted)):
        members = np.flatnonzero(pool.y == label)
        for fold in found:
            places = np.flatnonzero(np.isin(members, fold.held))
            assert (np.diff(places) == 1).all()
    assert [f.held.tolist() for f in found] == [f.held.tolist() for f in folds(pool, 100, True)]


def test_values_are_of_one_stratum() -> None:
    """Samples whose targets are no labels, even where each target is another."""
    pool = Pool(np.zeros((7, 3), np.int8), np.arange(14).reshape(7, 2))
    found = pool.folds(plan("mse"), 0, False)

    assert sorted(len(fold.held) for fold in found) == [1, 1, 1, 2, 2]


def test_no_more_folds_are_trained_than_hold_out_enough() -> None:
    many = folds(pool_of([0, 1] * 1200))
    all_at_once = folds(pool_of([0, 1] * (FOLDS * ENOUGH // 2)))

    assert [len(fold.held) for fold in many] == [480] * 3
    assert [len(fold.held) for fold in all_at_once] == [ENOUGH]


def test_small_classes_are_in_the_folds_that_are_trained() -> None:
    """Each that has two samples is judged, also where most folds are left out."""
    for counted in ([6000, 2, 3], [1300, 3, 3, 2, 4]):
        pool = pool_of(mixed(counted, 1))
        held = np.concatenate([fold.held for fold in folds(pool)])

        assert len(folds(pool)) < FOLDS
        assert set(pool.y[held]) == {*range(len(counted))}


def test_a_stream_holds_out_old_samples_too() -> None:
    x = np.arange(12).reshape(-1, 1)
    y = np.arange(12) % 2
    data = Dataset(x[8:], y[8:], x[:2], y[:2], x_old=x[:8], y_old=y[:8])
    pool = Pool.of(data, is_stream=True)
    found = folds(pool, in_order=True)

    assert (pool.x == x).all() and pool.old == 8
    assert len(Pool.of(data, is_stream=False).x) == 4
    for fold in found:
        mine = pool.without(data, fold)
        old = np.zeros((0, 1), int) if mine.x_old is None else mine.x_old
        assert sorted([*old[:, 0], *mine.x_train[:, 0], *fold.held]) == list(range(12))
        assert (old < 8).all() and (mine.x_train >= 8).all()
        assert (mine.y_train == mine.x_train[:, 0] % 2).all()


def test_what_cannot_be_held_out_cannot_be_judged() -> None:
    assert undecidable(plan(), pool_of([0, 1, 1])) == ""
    assert "each class has only one sample" in undecidable(plan(), pool_of([0, 1, 2]))
    assert "only one sample" in undecidable(plan("mse"), pool_of([0]))
    assert undecidable(plan("mse"), pool_of([0, 1])) == ""

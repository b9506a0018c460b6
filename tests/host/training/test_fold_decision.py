# SPDX-License-Identifier: Apache-2.0
"""The rule by which held-out samples say whether training helps."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcutrain.host.training.fold_decision import (
    CHANCE,
    KNOWING_CHANCE,
    FoldDecision,
    Judged,
    chance_of,
)

TWO = {0: 20, 1: 20}


def decision(
    before: Judged, after: Judged, metric: str = "accuracy", classes: dict[int, int] = TWO
) -> FoldDecision:
    return FoldDecision(metric, before, after, classes if metric == "accuracy" else {}, 5, 100, 1.0)


def judged(right: list[bool], loss: list[float]) -> Judged:
    return Judged(np.array(right), np.array(loss, np.float64))


def of_counts(both: int, gained: int, lost: int, neither: int, falls: list[float]) -> FoldDecision:
    """So many samples right before and after, and so on; ``falls`` of their losses, repeated."""
    before = [True] * both + [False] * gained + [True] * lost + [False] * neither
    after = [True] * both + [True] * gained + [False] * lost + [False] * neither
    change = np.resize(falls, len(before))
    return decision(judged(before, [1.0] * len(before)), judged(after, list(1 - change)))


@given(st.integers(0, 6), st.integers(0, 6))
def test_chance_is_the_share_of_all_ways_in_which_they_could_have_changed(
    gained: int, lost: int
) -> None:
    """McNemar's test: each sample that differs is as likely gained as lost."""
    ways = list(product((0, 1), repeat=gained + lost))
    extreme = [way for way in ways if sum(way) >= gained]

    assert chance_of(gained, lost) == len(extreme) / len(ways)


def by_coins(gained: int, lost: int) -> Fraction:
    """The same, a coin at a time, for more of them than can be listed."""
    shares = [Fraction(1)]
    for _ in range(gained + lost):
        shares = [
            (a + b) / 2 for a, b in zip([*shares, Fraction(0)], [Fraction(0), *shares], strict=True)
        ]
    return sum(shares[gained:], Fraction(0))


@given(st.integers(0, 40), st.integers(0, 40))
def test_chance_is_exact(gained: int, lost: int) -> None:
    assert chance_of(gained, lost) == float(by_coins(gained, lost))


def test_chance_holds_for_as_many_samples_as_there_can_be() -> None:
    assert chance_of(5000, 0) == 0.0
    assert chance_of(0, 5000) == 1.0
    assert chance_of(2600, 2400) == pytest.approx(0.0024, abs=0.0001)


# More right.


@pytest.mark.parametrize(
    ("gained", "lost", "helps"),
    [(3, 0, True), (2, 0, False), (5, 1, True), (4, 2, False), (0, 3, False), (40, 30, True)],
)
def test_more_is_right_than_chance_explains(gained: int, lost: int, helps: bool) -> None:
    """Whatever the loss: here it rises."""
    found = of_counts(20, gained, lost, 20, [-0.5])

    assert found.changed == (gained, lost)
    assert (found.chance < CHANCE) is helps is found.helps


@pytest.mark.parametrize(("gained", "lost", "helps"), [(4, 0, False), (5, 0, True), (4, 1, False)])
def test_a_state_that_knows_its_task_asks_for_more(gained: int, lost: int, helps: bool) -> None:
    found = of_counts(90, gained, lost, 1, [-0.5])

    assert (found.chance < KNOWING_CHANCE) is helps is found.helps


# As many right.


@pytest.mark.parametrize("both", [10, 38])
def test_where_as_many_are_right_the_loss_decides(both: int) -> None:
    """Where nearly all are right before, it must have fallen beyond chance."""
    is_knowing = both == 38
    a_little, clearly = [0.9, -0.8], [0.5, 0.1]

    assert of_counts(both, 1, 1, 40 - both, a_little).helps is not is_knowing
    assert of_counts(both, 1, 1, 40 - both, clearly).helps
    assert not of_counts(both, 1, 1, 40 - both, [-0.1, 0.05]).helps
    assert not of_counts(both, 1, 2, 40 - both, clearly).helps


def test_what_changes_nothing_does_not_help() -> None:
    same = judged([True, False], [0.5, 0.7])

    assert not decision(same, same).helps
    assert not decision(same, same, "mse").helps
    alike = judged([True, False], [0.4, 0.6])  # each by a tenth: no chance is left
    assert decision(same, alike).helps


def test_one_class_says_nothing_of_the_others() -> None:
    before, after = judged([False] * 9, [2.0] * 9), judged([True] * 9, [0.1] * 9)
    alone = decision(before, after, classes={3: 9})

    assert decision(before, after).helps and not alone.helps
    assert "label 3 alone says nothing of the other classes" in alone.told()


def test_samples_that_are_alike_teach_no_more_than_the_most_frequent_answer() -> None:
    before, after = judged([False] * 9, [2.0] * 9), judged([True] * 9, [0.1] * 9)
    same = replace(decision(before, after), alike=True)

    assert not same.helps and same.to_json()["rolled_back"] and same.to_json()["samples_alike"]
    assert "all samples are alike, and nothing in them tells one answer from another" in same.told()


# Values.


@pytest.mark.parametrize(
    ("falls", "helps"),
    [
        ([1.0, 1.0, 0.9, 1.1], True),
        ([0.1, 0.1, 0.1, 0.1, 0.1, -3.0], False),  # nearer in most, but one is far off now
        ([3.0, -0.1, -0.1, -0.1, -0.1], False),  # one is nearer, the others are farther
        ([0.3, 0.2, 0.1, -0.05], True),
        ([-0.1] * 9, False),
    ],
)
def test_values_are_judged_by_their_loss(falls: list[float], helps: bool) -> None:
    nothing, before = [False] * len(falls), np.full(len(falls), 4.0)
    after = before - falls
    found = decision(judged(nothing, list(before)), judged(nothing, list(after)), "mse")

    assert found.helps is helps
    assert f"{sum(f > 0 for f in falls)} nearer" in found.told()


samples = st.lists(
    st.tuples(st.booleans(), st.booleans(), st.floats(0, 9), st.floats(0, 9)),
    min_size=1, max_size=30,
)  # fmt: skip


@given(samples, st.sampled_from(["accuracy", "mse"]))
def test_no_training_helps_both_ways(
    drawn: list[tuple[bool, bool, float, float]], metric: str
) -> None:
    right, right_then, loss, loss_then = map(list, zip(*drawn, strict=True))
    if metric == "mse":
        right = right_then = [False] * len(drawn)
    one, two = judged(right, loss), judged(right_then, loss_then)
    there, back = decision(one, two, metric), decision(two, one, metric)

    assert there.changed == back.changed[::-1]
    assert not (there.helps and back.helps)
    assert 0 <= there.chance <= 1


def test_what_is_told_has_the_figures() -> None:
    found = of_counts(10, 5, 1, 4, [0.25])
    told, figures = found.told(), json.loads(json.dumps(found.to_json()))

    assert told.startswith("guard: training helps, and all samples are learned: ")
    assert (
        "55.0 % before, 75.0 % after on 20 held-out samples (5 newly right, 1 newly wrong" in told
    )
    assert "loss 1 before, 0.75 after" in told and "5 trainings" in told
    assert figures["accuracy_before"] == 0.55 and figures["accuracy_after"] == 0.75
    assert (figures["gained"], figures["lost"]) == (5, 1)
    assert figures["chance"] == chance_of(5, 1)
    assert figures["rolled_back"] is False and figures["samples"] == 20
    refused = of_counts(10, 0, 5, 5, [-0.25])
    assert (
        "guard: the first state stays, since training does not help (--no-guard" in refused.told()
    )
    assert refused.to_json()["rolled_back"] is True


def test_classes_that_were_not_judged_are_named() -> None:
    before, after = judged([False] * 9, [2.0] * 9), judged([True] * 9, [0.1] * 9)
    found = decision(before, after, classes={0: 9, 1: 1, 4: 1})

    assert found.unjudged == [1, 4] == found.to_json()["unjudged_classes"]
    assert "not judged, with one sample each: labels 1, 4" in found.told()

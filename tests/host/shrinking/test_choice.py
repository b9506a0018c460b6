# SPDX-License-Identifier: Apache-2.0
"""Which channels leave, where bytes are a formula."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcutrain.host.search.budget import Cost
from mcutrain.host.shrinking.choice import GRAIN, WIDE, Choice, Greedy, choose
from mcutrain.host.shrinking.prices import Price
from mcutrain.trainer.errors import BudgetError
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.shrinking.cut import Kept
from mcutrain.trainer.shrinking.groups import Group, Groups

Counts = Mapping[str, int]


@dataclass
class Formula:
    """Prices by a formula of how many units stay; ``full`` are the calls' bytes in use."""

    units: dict[str, int]
    limit: int
    full: Callable[[Counts], list[int]]
    asked: set[tuple[int, ...]] = field(default_factory=set)

    @property
    def groups(self) -> Groups:
        made = (Group(name, units, {}, {}, (), ()) for name, units in self.units.items())
        return Groups(tuple(made), {})

    def counts(self, kept: Kept) -> dict[str, int]:
        return {name: len(kept.get(name, range(units))) for name, units in self.units.items()}

    def __call__(self, kept: Kept) -> Price:
        counts = self.counts(kept)
        self.asked.add(tuple(counts.values()))
        in_use = self.full(counts)
        excess, above = max(0.0, max(in_use) / self.limit - 1), (b - self.limit for b in in_use)
        return Price(Cost(max(in_use), 0, 0, 0), excess, sum(max(0, each) for each in above))

    def refusal(self, kept: Kept) -> BudgetError:
        needed = max(self.full(self.counts(kept)))
        return BudgetError(f"{needed} bytes", needed, self.limit)

    def chosen(self, scores: Mapping[str, Array], **more: Mapping[str, Array]) -> Choice:
        return choose(self.groups, scores, self, **more)


def weighed(**each: int) -> Callable[[Counts], list[int]]:
    """So many bytes for each unit of a group."""
    return lambda counts: [sum(each[name] * count for name, count in counts.items())]


def test_units_leave_where_a_byte_costs_least() -> None:
    case = Formula({"dear": 16, "cheap": 16}, 1600, weighed(dear=10, cheap=100))
    found = case.chosen({"dear": np.ones(16), "cheap": np.ones(16)})

    assert set(found.cut.kept) == {"cheap"}
    assert len(found.cut.kept["cheap"]) == 14
    assert found.cut.loss == 2.0


def test_units_of_the_least_score_leave() -> None:
    case = Formula({"a": 8}, 50, weighed(a=10))
    found = case.chosen({"a": np.array([5.0, 1.0, 8.0, 2.0, 7.0, 3.0, 9.0, 4.0])})

    assert found.cut.kept == {"a": (0, 2, 4, 6, 7)}
    assert found.cut.loss == 1.0 + 2.0 + 3.0


def test_what_fits_is_left_alone() -> None:
    case = Formula({"a": 8}, 80, weighed(a=10))
    found = case.chosen({"a": np.ones(8)})

    assert found.cut.kept == {}
    assert len(found.path) == 1


def test_a_group_without_scores_stays_whole() -> None:
    case = Formula({"a": 8, "b": 8}, 100, weighed(a=10, b=10))
    found = case.chosen({"b": np.ones(8)})

    assert set(found.cut.kept) == {"b"}


def test_constant_units_leave_first_and_unasked() -> None:
    constant = np.zeros(8, bool)
    constant[[2, 5]] = True
    scores = {"a": np.arange(8.0)}
    whole = Formula({"a": 8}, 80, weighed(a=10)).chosen(scores, constant={"a": constant})
    less = Formula({"a": 8}, 50, weighed(a=10)).chosen(scores, constant={"a": constant})

    assert whole.cut.kept == {"a": (0, 1, 3, 4, 6, 7)}
    assert whole.cut.loss == 0.0
    assert less.cut.kept == {"a": (1, 3, 4, 6, 7)}


def test_of_units_that_are_all_constant_one_stays() -> None:
    case = Formula({"a": 4}, 80, weighed(a=10))
    found = case.chosen({"a": np.ones(4)}, constant={"a": np.ones(4, bool)})

    assert len(found.cut.kept["a"]) == 1


def test_two_places_that_are_equally_full_are_both_cleared() -> None:
    """No group alone saves a byte of the fullest place."""
    case = Formula({"a": 16, "b": 16}, 100, lambda c: [10 * c["a"], 10 * c["b"], 10 * c["b"]])
    found = case.chosen({"a": np.ones(16), "b": np.ones(16)})

    assert {name: len(kept) for name, kept in found.cut.kept.items()} == {"a": 10, "b": 10}


def test_what_the_last_step_saved_too_much_is_given_back() -> None:
    units = WIDE * 4
    case = Formula({"a": units}, 10 * units - 1, weighed(a=10))
    found = case.chosen({"a": np.ones(units)})

    assert len(found.cut.kept["a"]) == units - GRAIN
    assert len(found.path) == 2


@pytest.mark.parametrize(("room", "kept"), [(120, 12), (119, 11), (90, 9)])
def test_a_narrow_group_gets_a_multiple_of_four_back_if_that_fits(room: int, kept: int) -> None:
    case = Formula({"a": 16}, room, weighed(a=10))
    search = Greedy(case.groups, {"a": np.ones(16)}, case, {})
    search.counts = {"a": 9}
    search.give_back(GRAIN)
    assert search.counts == {"a": 12 if kept == 12 else 9}
    search.give_back(1)

    assert search.counts == {"a": kept}


def test_a_budget_that_no_cut_reaches_is_refused_by_the_greatest_cut() -> None:
    case = Formula({"a": 8, "b": 64}, 29, weighed(a=10, b=20))

    with pytest.raises(BudgetError, match="30 bytes"):
        case.chosen({"a": np.ones(8), "b": np.ones(64)})
    assert case.asked == {(8, 64), (1, 1)}


def test_of_many_groups_few_are_tried_in_each_step() -> None:
    names = [f"g{k}" for k in range(40)]
    case = Formula(
        dict.fromkeys(names, 32), 40 * 32 * 10 // 2, lambda c: [10 * sum(c.values())]
    )  # fmt: skip
    rng = np.random.default_rng(1)
    found = case.chosen({name: rng.random(32) for name in names})

    assert len(case.asked) < 8 * len(found.path)


@settings(max_examples=60)
@given(st.data())
def test_a_choice_fits_and_keeps_what_is_worth_most(data: st.DataObject) -> None:
    names = "abcd"[: data.draw(st.integers(1, 4))]
    units = {name: data.draw(st.integers(2, 80)) for name in names}
    each = {name: data.draw(st.integers(1, 50)) for name in units}
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    scores = {name: rng.random(count).round(2) for name, count in units.items()}
    whole, least = sum(each[n] * u for n, u in units.items()), sum(each.values())
    case = Formula(units, data.draw(st.integers(least, whole)), weighed(**each))
    found = case.chosen(scores)

    assert found.cut.price.excess == 0
    assert found.cut.price == case(found.cut.kept)
    losses = [cut.loss for cut in found.path[:-1]]
    assert losses == sorted(losses)
    left = {name: set(range(units[name])) - set(kept) for name, kept in found.cut.kept.items()}
    assert found.cut.loss == pytest.approx(sum(scores[n][list(k)].sum() for n, k in left.items()))
    for name, kept in found.cut.kept.items():
        assert kept and list(kept) == sorted(kept)
        assert scores[name][list(left[name])].max() <= scores[name][list(kept)].min()

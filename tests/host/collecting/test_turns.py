# SPDX-License-Identifier: Apache-2.0
"""Who says what a sample is (host/collecting/turns.py)."""

from __future__ import annotations

from mcutrain.host.collecting.turns import Buttons, Keys, Turns


def test_turns_tell_of_each_class_once_before_its_samples() -> None:
    begun = list[int]()
    turns, taken = Turns([2, 0], 3, begun.append), list[tuple[int | None, int]]()
    while not turns.is_over:
        assert turns.look() and turns.look()
        taken.append((turns.label(1), len(begun)))
        turns.took()

    assert taken == [(2, 1)] * 3 + [(0, 2)] * 3
    assert begun == [2, 0]


def test_keys_choose_a_class_pause_and_end() -> None:
    presses = iter(["", "2", "", "9", "x", "0", "1", " ", "q"])
    keys = Keys(lambda: next(presses), 3)
    seen = list[tuple[bool, int | None]]()
    while not keys.is_over:
        seen.append((keys.look(), keys.label(7)))

    assert [label for _, label in seen] == [7, 1, 1, 1, 1, 7, 0, 7, 7]
    assert [is_awaited for is_awaited, _ in seen] == [label != 7 for _, label in seen]


def test_buttons_end_after_a_number_of_samples_or_never() -> None:
    few, endless = Buttons(2), Buttons(0)
    for buttons in (few, endless):
        for _ in range(2):
            assert not buttons.is_over and buttons.look()
            assert (buttons.label(None), buttons.label(4)) == (None, 4)
            buttons.took()

    assert few.is_over and not endless.is_over

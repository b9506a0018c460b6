# SPDX-License-Identifier: Apache-2.0
"""Who says which class a sample is of: a list of turns, the keys of a keyboard, or the device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

QUIT = "q"
PAUSE = (" ", "0")


class Labels(Protocol):
    """What the next sample is."""

    @property
    def is_over(self) -> bool:
        """Whether no more samples are wanted."""
        ...

    def look(self) -> bool:
        """Look whose turn it is: whether a sample is waited for."""
        ...

    def label(self, of_device: int | None) -> int | None:
        """Of a sample that has come, for which the device's buttons say ``of_device``; None where
        nobody says it."""
        ...

    def took(self) -> None:
        """A sample with that label was kept."""
        ...


@dataclass
class Turns:
    """``count`` samples of each of some classes, one class after another. ``begin`` is called
    before the samples of a class, with its label."""

    order: Sequence[int]
    count: int
    begin: Callable[[int], None]
    done: int = 0
    begun: int = 0

    @property
    def is_over(self) -> bool:
        return self.done == len(self.order) * self.count

    def look(self) -> bool:
        """True: the samples of a turn are waited for."""
        if self.begun <= self.done // self.count:
            self.begun += 1
            self.begin(self.order[self.done // self.count])
        return True

    def label(self, of_device: int | None) -> int | None:
        return self.order[self.done // self.count]

    def took(self) -> None:
        self.done += 1


@dataclass
class Keys:
    """The keys 1 to 9 choose the class that samples are of from then on, 0 or the space bar none,
    and q ends. While no key has chosen one, the device's buttons say it."""

    pressed: Callable[[], str]
    classes: int
    chosen: int | None = None
    is_over: bool = False

    def look(self) -> bool:
        """Whether a key has chosen a class: nobody waits for the device's buttons."""
        key = self.pressed()
        if key.lower() == QUIT:
            self.is_over = True
        elif key in PAUSE and key:
            self.chosen = None
        elif key.isascii() and key.isdigit() and int(key) <= self.classes:
            self.chosen = int(key) - 1
        return self.chosen is not None

    def label(self, of_device: int | None) -> int | None:
        return of_device if self.chosen is None else self.chosen

    def took(self) -> None:
        """Nothing is counted."""


@dataclass
class Buttons:
    """The device's own buttons say it, until ``count`` samples are there; 0 for no end."""

    count: int
    done: int = 0

    @property
    def is_over(self) -> bool:
        return 0 < self.count <= self.done

    def look(self) -> bool:
        """True: whoever has no keyboard waits for the device."""
        return True

    def label(self, of_device: int | None) -> int | None:
        return of_device

    def took(self) -> None:
        self.done += 1

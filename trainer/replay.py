# SPDX-License-Identifier: Apache-2.0
"""Which samples of a stream a bounded buffer keeps, and which it replays (SPEC 1.10).

Twin of firmware/learning/replay.h.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mcutrain.trainer.fixedpoint import seed_op

OFFER_NODE = 0x40000000  # in place of an operator's number in the random numbers
DRAW_NODE = 0x40000001
MOST_SLOTS = 0xFFFF


def below(random: int, limit: int) -> int:
    """A number in 0..limit - 1 from 32 random bits (Lemire 2019, without its rejection).

    >>> [below(r, 10) for r in (0, 2**31, 2**32 - 1)]
    [0, 5, 9]
    """
    return random * limit >> 32


@dataclass
class ClassBalance:
    """What the buffer knows of one class. A full one has been among the largest."""

    seen: int = 0
    kept: int = 0
    is_full: bool = False


@dataclass
class ReplayBuffer:
    """Class-balancing reservoir sampling (Chrysakis and Moens 2020) over ``slots`` labels.

    Within a full class it is a reservoir (Vitter 1985, algorithm R); any other class takes slots
    from the largest ones. The samples themselves are stored by whoever asks.
    """

    slots: int
    classes: int
    seed: int = 0
    labels: list[int] = field(default_factory=list)
    offered: int = 0
    drawn: int = 0

    def __post_init__(self) -> None:
        self.balance = [ClassBalance() for _ in range(self.classes)]

    def offer(self, label: int) -> int | None:
        """The slot in which to store a sample of the stream; None if it is not kept."""
        own = self.balance[label]
        random = int(seed_op(self.seed, self.offered, OFFER_NODE))
        self.offered += 1
        own.seen += 1
        if len(self.labels) < self.slots:
            own.kept += 1
            self.labels.append(label)
            return len(self.labels) - 1
        largest = max(c.kept for c in self.balance)
        for c in self.balance:
            c.is_full |= c.kept == largest
        if own.is_full:
            index = below(random, own.seen)
            if index >= own.kept:
                return None
            return self._slots_of([label])[index]
        victims = [k for k, c in enumerate(self.balance) if c.kept == largest]
        members = self._slots_of(victims)
        slot = members[below(random, len(members))]
        self.balance[self.labels[slot]].kept -= 1
        own.kept += 1
        self.labels[slot] = label
        return slot

    def draw(self) -> int | None:
        """The slot of a kept sample to replay, each as likely; None if nothing is kept."""
        if not self.labels:
            return None
        random = int(seed_op(self.seed, self.drawn, DRAW_NODE))
        self.drawn += 1
        return below(random, len(self.labels))

    def _slots_of(self, classes: list[int]) -> list[int]:
        return [slot for slot, label in enumerate(self.labels) if label in classes]

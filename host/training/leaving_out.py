# SPDX-License-Identifier: Apache-2.0
"""Data without some of their samples, for a training that must not have seen them.

The numbers of all other samples and of all steps stay: a step that would have learned from a sample
that is left out is not taken, but counts. So the schedule, the epochs and the random rounding of
all other steps stay too. Whatever is decided from samples is decided from those that are left.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from mcutrain.host.training.dataset import Dataset
from mcutrain.trainer.errors import DataError

PART = re.compile(r"(?:(train|val|test|old):)?(\d{1,9})(?:-(\d{1,9}))?")
MOST = 1_000_000  # numbers in one range


@dataclass(frozen=True)
class LeftOut:
    """The numbers of the samples that are left out of each split, ascending."""

    train: tuple[int, ...] = ()
    val: tuple[int, ...] = ()
    test: tuple[int, ...] = ()
    old: tuple[int, ...] = ()

    @classmethod
    def parse(cls, text: str) -> LeftOut:
        """Numbers and ranges with commas between; those of another split than train begin with its
        name. Raises DataError.

        >>> LeftOut.parse("7,3,10-12,val:2")
        LeftOut(train=(3, 7, 10, 11, 12), val=(2,), test=(), old=())
        """
        found: dict[str, set[int]] = {}
        for part in text.split(","):
            match = PART.fullmatch(part.strip())
            first, last = (int(match[2]), int(match[3] or match[2])) if match else (1, 0)
            if match is None or not 0 <= last - first < MOST:
                raise DataError(
                    f"--without: '{part.strip()[:24]}' is no number of a sample and no range: give "
                    "numbers such as 3,7,10-12; val:2, test:2 or old:2 for other splits"
                )
            found.setdefault(match[1] or "train", set()).update(range(first, last + 1))
        return cls(**{split: tuple(sorted(numbers)) for split, numbers in found.items()})

    def parts(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """The splits that lose samples, with the numbers of those."""
        for each in fields(self):
            if numbers := getattr(self, each.name):
                yield each.name, numbers

    def joined(self, other: LeftOut) -> LeftOut:
        """What either leaves out."""
        both = {f.name: {*getattr(self, f.name), *getattr(other, f.name)} for f in fields(self)}
        return LeftOut(**{name: tuple(sorted(numbers)) for name, numbers in both.items()})

    def __str__(self) -> str:
        each = ((split, number) for split, numbers in self.parts() for number in numbers)
        return ",".join(f"{n}" if split == "train" else f"{split}:{n}" for split, n in each)


NOTHING = LeftOut()


def without(data: Dataset, left_out: LeftOut, gone: LeftOut = NOTHING) -> Dataset:
    """The data without these samples, of which they lack those that are ``gone`` already: numbers
    are those of data that have all. Raises DataError for a sample that there is not, and where none
    would be left."""
    changed: dict[str, Any] = {}
    for split, numbers in left_out.parts():
        x, y = getattr(data, f"x_{split}"), getattr(data, f"y_{split}")
        lost = getattr(gone, split)
        count = len(lost) + (0 if x is None else len(x))
        if numbers[-1] >= count:
            there = f"0 to {count - 1}" if count else "none"
            raise DataError(
                f"--without: there is no sample {numbers[-1]} in {split}: its numbers are {there}"
            )
        there_are = np.setdiff1d(np.arange(count), lost)
        kept = np.flatnonzero(~np.isin(there_are, numbers))
        if not len(kept) and split in ("train", "test"):
            raise DataError(f"--without: no sample of {split} would be left: leave some there")
        changed[f"x_{split}"], changed[f"y_{split}"] = (
            (x[kept], y[kept]) if len(kept) else (None,) * 2
        )
        if split == "old":
            changed["old_numbers"] = there_are[kept]
        if split == "train":
            changed |= {"numbers": there_are[kept], "left_out": len(numbers)}
        changed["names"] = {**changed.get("names", data.names)}
        if names := changed["names"].get(split):
            changed["names"][split] = tuple(names[k] for k in kept)
        if split == "train" and data.groups_train is not None:
            changed["groups_train"] = data.groups_train[kept]
    return replace(data, **changed)

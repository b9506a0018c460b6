# SPDX-License-Identifier: Apache-2.0
"""How the samples of a folder or a CSV file are read. Nothing here may import NumPy."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, fields

SPLITS = TRAIN, TEST, VAL = "train", "test", "val"


@dataclass(frozen=True)
class DataOptions:
    """What `--data` is told beside its path; None stands for the default that each has.

    ``label`` and ``group`` are columns of a CSV file, ``window`` and ``hop`` numbers of its rows.
    ``pixels`` are the real values of black and white, such as "0:1". ``sample_rate`` is in Hz.
    ``split_seed`` chooses the test samples of data that have no split of their own.
    """

    label: str | None = None
    group: str | None = None
    window: int | None = None
    hop: int | None = None
    pixels: str | None = None
    sample_rate: int | None = None
    split_seed: int | None = None

    def given(self) -> list[str]:
        """The flags of what was given."""
        names = [each.name for each in fields(self) if getattr(self, each.name) is not None]
        return [f"--{name.replace('_', '-')}" for name in names]

    def arguments(self) -> list[str]:
        """What was given as the command line has it, quoted for a shell."""
        values = (getattr(self, each.name) for each in fields(self))
        told = (str(value) for value in values if value is not None)
        return [
            f"{flag} {shlex.quote(value)}" for flag, value in zip(self.given(), told, strict=True)
        ]


DEFAULT_DATA_OPTIONS = DataOptions()

# SPDX-License-Identifier: Apache-2.0
"""How the samples of a folder or a CSV file are read. Nothing here may import NumPy."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class DataOptions:
    """What `--data` is told beside its path; None stands for the default that each has.

    ``label`` and ``group`` are columns of a CSV file, ``window`` and ``hop`` numbers of its rows.
    ``pixels`` are the real values of black and white, such as "0:1". ``sample_rate`` is in Hz.
    ``seed`` chooses the test samples of data that have no split of their own.
    """

    label: str | None = None
    group: str | None = None
    window: int | None = None
    hop: int | None = None
    pixels: str | None = None
    sample_rate: int | None = None
    seed: int | None = None

    def given(self) -> list[str]:
        """The flags of what was given."""
        names = [each.name for each in fields(self) if getattr(self, each.name) is not None]
        return [f"--{flag(name)}" for name in names]


def flag(name: str) -> str:
    """The flag of a field, without its dashes."""
    return "split-seed" if name == "seed" else name.replace("_", "-")


DEFAULT_DATA_OPTIONS = DataOptions()

# SPDX-License-Identifier: Apache-2.0
"""Says on a console what a user would want to know of a plan and its data."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console

from mcutrain.trainer.notes import Note


def tell(notes: Iterable[Note], console: Console) -> None:
    for note in notes:
        console.print(str(note), markup=False, highlight=False, soft_wrap=True)

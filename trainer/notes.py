# SPDX-License-Identifier: Apache-2.0
"""What a user would want to know although it is no error: of a plan, of the data."""

from __future__ import annotations

from dataclasses import dataclass

WARNING, NOTE = "warning", "note"


@dataclass(frozen=True)
class Note:
    """One thing to know: about what, of which kind, a figure, and all of it in a sentence.

    A ``level`` of WARNING says that figures computed with it cannot be trusted.
    """

    about: str
    kind: str
    figure: float
    text: str
    level: str = NOTE

    def __str__(self) -> str:
        return f"{self.level}: {self.text}"

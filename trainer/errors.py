# SPDX-License-Identifier: Apache-2.0
"""What can go wrong, by what the user does next. Each message says what, where and what to do."""

from __future__ import annotations

from dataclasses import dataclass


class Error(Exception):
    """Root of every error the command line prints as one line."""


@dataclass(frozen=True)
class Obstacle:
    """One thing that keeps a model from being read: at which operator of the file, None for the
    file as a whole, with its name in the schema; what it is, and what to do."""

    operator: int | None
    kind: str
    text: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.text}; {self.remedy}"


class ModelError(Error):
    """The model file cannot be used: change or re-export the model.

    ``remedy`` says how, where the kind of operator alone does not; ``obstacles`` are all that the
    file has, where it was read to its end.
    """

    def __init__(
        self, message: str, remedy: str = "", obstacles: tuple[Obstacle, ...] = ()
    ) -> None:
        super().__init__(f"{message}; {remedy}" if remedy else message)
        self.cause, self.remedy, self.obstacles = message, remedy, obstacles


class UnsupportedOpError(ModelError):
    """The model holds an operator, or an option of one, that is not supported."""


class SchemeError(Error):
    """The update scheme does not fit the model: change the scheme."""


class DataError(Error):
    """The data set does not fit the model: change the data."""


class BudgetError(Error):
    """The plan does not fit the memory: train fewer or later layers, or take a board with more."""

    def __init__(self, message: str, needed_bytes: int, available_bytes: int) -> None:
        super().__init__(message)
        self.needed_bytes = needed_bytes
        self.available_bytes = available_bytes

    def __reduce__(self) -> tuple[type[BudgetError], tuple[str, int, int]]:
        """As it was made: it may have been raised in another process."""
        return type(self), (str(self), self.needed_bytes, self.available_bytes)

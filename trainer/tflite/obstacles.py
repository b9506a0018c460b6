# SPDX-License-Identifier: Apache-2.0
"""All that keeps a file from being read, collected while it is read to its end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mcutrain.trainer.errors import ModelError, Obstacle, UnsupportedOpError
from mcutrain.trainer.tflite.remedies import remedy_for


class Obstacles:
    """The errors of a file's parts, in the order in which they were met."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.found: list[Obstacle] = []
        self._first: type[ModelError] = ModelError

    @contextmanager
    def collected(self, operator: int | None = None, kind: str = "") -> Iterator[None]:
        """A ModelError inside becomes an obstacle at this operator."""
        try:
            yield
        except ModelError as err:
            if not self.found:
                self._first = type(err)
            unsupported = isinstance(err, UnsupportedOpError)
            remedy = err.remedy or remedy_for(kind, unsupported)
            cause = err.cause.removeprefix(f"{self.where}: ").removeprefix(f"{self.where} ")
            self.found.append(Obstacle(operator, kind, cause, remedy))

    def __bool__(self) -> bool:
        return bool(self.found)

    def error(self) -> ModelError:
        """Of all that was found: it names the first, and where the others are listed."""
        first, more = self.found[0], len(self.found) - 1
        link = " " if first.text.startswith(("has ", "is ", "cannot ")) else ": "
        others = f" ({more} more: `mcutrain inspect` lists them)" if more else ""
        message = f"{self.where}{link}{first.text}"
        return self._first(message, first.remedy + others, tuple(self.found))

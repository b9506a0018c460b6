# SPDX-License-Identifier: Apache-2.0
"""The checkpoints of one run: when they are written, and the one that it goes on from.

Whoever goes along with a run and keeps a place of its own, such as a record of its steps, joins
before the run begins: ``join("record", recorder)``. The recorder's ``position()`` then stands in
each checkpoint beside the run's, as JSON, taken when the run is between two steps; a run that goes
on calls ``resume(position)`` with what it gave, before its next step. So the recorder cuts off what
it wrote behind that position, and goes on there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from mcutrain.host.training.checkpoint_file import MISFORMED, Checkpoint, write_checkpoint
from mcutrain.trainer.errors import Error
from mcutrain.trainer.graph.tensor import Array

Json = Mapping[str, Any]


class Joined(Protocol):
    """What goes along with a run, and goes on with it."""

    def position(self) -> dict[str, Any]:
        """Where it is, as JSON: between two steps of the run."""
        ...

    def resume(self, position: dict[str, Any]) -> None:
        """Go on behind what ``position`` gave. Raises Error; and what MISFORMED names for what is
        no position of its own."""
        ...


@dataclass
class Checkpoints:
    """Where a run's checkpoints go, and how often; ``found`` is the one that it goes on from."""

    path: Path
    every: int | None  # steps, beside each epoch
    identity: Mapping[str, str]
    say: Callable[[str], None]
    found: Checkpoint | None = None
    written: int = 0
    _joined: dict[str, Joined] = field(default_factory=dict)
    _decided: tuple[Json, Mapping[str, Array]] = field(default_factory=lambda: ({}, {}))
    _fails: bool = False

    def join(self, name: str, part: Joined) -> None:
        """Take the part's position along. Raises Error if the run has gone on without it."""
        found = self.found
        if found is not None and found.reached is not None and name not in found.extra:
            raise Error(
                f"--{name}: the run of {self.path} has begun without it: leave --{name} out, or "
                "begin anew with --fresh"
            )
        self._joined[name] = part

    def resume_joined(self) -> None:
        """Let those who have joined go on where the checkpoint was taken. Raises Error."""
        assert self.found is not None
        for name, part in self._joined.items():
            try:
                part.resume(dict(self.found.extra[name]))
            except MISFORMED as err:
                raise self.found.damaged(f"where its --{name} stood: {err!r}") from err

    def is_due(self, steps: int) -> bool:
        """Whether one is to be written behind so many steps, within an epoch."""
        return self.every is not None and steps % self.every == 0

    def decide(self, decided: Json, arrays: Mapping[str, Array]) -> None:
        """Take down what was found before the first step."""
        self._decided = decided, arrays
        if self.found is None:
            self._write(Checkpoint(self.path, self.identity, decided, arrays=arrays))

    def reach(self, reached: Json, arrays: Mapping[str, Array]) -> None:
        """Write how far the run has come."""
        decided, first = self._decided
        extra = {name: part.position() for name, part in self._joined.items()}
        known = Checkpoint(self.path, self.identity, decided, reached, extra)
        self._write(replace(known, arrays={**first, **arrays}))

    def _write(self, checkpoint: Checkpoint) -> None:
        """The run goes on if that fails: the checkpoint before is still there, or none is."""
        try:
            write_checkpoint(checkpoint)
        except Error as err:
            if not self._fails:
                stays = "the one before stays" if self.path.exists() else "there is none yet"
                self.say(f"note: no checkpoint: {err}; {stays}, and the run goes on")
            self._fails = True
        else:
            self.written += 1
            self._fails = False

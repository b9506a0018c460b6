# SPDX-License-Identifier: Apache-2.0
"""Puts what was learned into files as soon as it is known, before anything is reported."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from mcutrain.host.files import unused
from mcutrain.host.request import Request
from mcutrain.host.training.export import export_state
from mcutrain.host.training.recording import Recorder
from mcutrain.host.training.state import save_state
from mcutrain.trainer.errors import Error
from mcutrain.trainer.training_plan import TrainingPlan


@dataclass
class Keeper:
    """Where what a run learns is to be kept, and what came of it.

    A file that cannot be written does not keep the other from being written: see ``failures``.
    ``record`` is told of all that this depends on.
    """

    save: Path | None = None  # an .npz of the tensors
    export: Path | None = None  # a model file
    record: Recorder | None = None
    is_decided: bool = False  # that the training helps: going on with it asks no guard again
    has_checkpoint: bool = False  # of this run: the same command goes on from it
    kept: set[Path] = field(default_factory=set)
    failures: list[Error] = field(default_factory=list)

    def keep(self, request: Request, plan: TrainingPlan, state: bytes) -> None:
        """Write the files; those of an earlier call are replaced."""
        self.failures = []
        if self.save is not None:
            path = self.save
            self._write(path, lambda: save_state(path, plan, state, request))
        if self.export is not None:
            model = self.export
            self._write(model, lambda: export_state(request, plan, state, model))
        if self.failures and not self.kept:
            self._rescue(request, plan, state)

    def _rescue(self, request: Request, plan: TrainingPlan, state: bytes) -> None:
        """Write the tensors where there is room, and let the first failure say where."""
        for folder in (Path.cwd(), Path(tempfile.gettempdir())):
            path = folder / f"{plan.name}-rescued.npz"
            path = unused(path) if path.exists() else path
            try:
                save_state(path, plan, state, request)
            except Error:
                continue
            failure = self.failures[0]
            told = f"{failure}; what was learned is in {path} instead: go on with --state {path}"
            self.failures[0] = type(failure)(told)
            return

    def _write(self, path: Path, write: Callable[[], object]) -> None:
        try:
            write()
            self.kept.add(path)
        except Error as err:
            self.failures.append(err)

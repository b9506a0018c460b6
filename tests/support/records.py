# SPDX-License-Identifier: Apache-2.0
"""Runs of a small network that are recorded, and their records as lists of objects."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mcutrain.host.record.writer import RecordWriter, chained
from mcutrain.host.request import Request
from mcutrain.host.training.job import asked_job
from mcutrain.host.training.keeping import Keeper
from mcutrain.host.training.run import run_job
from mcutrain.trainer.options import DEFAULT_OPTIONS
from tests.support.command import Run
from tests.support.guarded import samples, with_validation, write
from tests.support.small_models import residual_model

RATE = ("--lr", "0.03125")
PLAIN = ("--no-guard", *RATE)


@dataclass(frozen=True)
class Recorded:
    """The files of a run, and the options that tell `audit` of them."""

    folder: Path

    @property
    def model(self) -> Path:
        return self.folder / "small.tflite"

    @property
    def data(self) -> Path:
        return self.folder / "data.npz"

    @property
    def record(self) -> Path:
        return self.folder / "run.jsonl"

    @property
    def state(self) -> Path:
        return self.folder / "learned.npz"

    @property
    def exported(self) -> Path:
        return self.folder / "trained.tflite"

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.record.read_text().splitlines()]

    def write(self, lines: list[Any]) -> None:
        self.record.write_text("".join(json.dumps(line) + "\n" for line in lines))

    def audited(self, run: Run, *more: object) -> Any:
        """What `audit` says in JSON, whether it proves or not."""
        ran = run("audit", self.record, "--data", self.data, "--json", "-q", *more)
        found = json.loads(ran.out)
        assert ran.status == (0 if found["proves"] else 1)
        assert (
            found["proves"] or ran.err.splitlines()[-1] == f"error: not proved: {found['failure']}"
        )
        return found


def files(folder: Path, per_class: int = 4, validates: bool = False, old: bool = False) -> Recorded:
    """A model and its data, of ``per_class`` samples."""
    found = Recorded(folder)
    found.model.write_bytes(residual_model())
    data = samples(per_class)
    data = with_validation(data, 1) if validates else data
    if old:
        known = samples(2)
        x, y = np.ascontiguousarray(known.x_train[::-1]), known.y_train[::-1].copy()
        data = replace(data, x_old=x, y_old=y)
    write(found.data, data)
    return found


# Input shifts have a line of their own in a record, behind the first: a test asks for them.
OFF = ("--precondition", "off")


def recorded(run: Run, files: Recorded, *options: object) -> Recorded:
    """Train and record it, by default without input shifts."""
    ran = run(
        "train", files.model, "--data", files.data, "--update", "last:2", "-q",
        *(() if "--replay" in options else ("--epochs", 2)),
        "--record", files.record, "--save", files.state, *OFF, *options,
    )  # fmt: skip
    assert ran.status == 0, ran.err
    return files


def recorded_here(files: Recorded, **options: Any) -> Recorded:
    """The same, without a command; ``options`` are of asked_job."""
    plans = {name: options.pop(name) for name in [*options] if hasattr(DEFAULT_OPTIONS, name)}
    plans = {"update": "last:2", "precondition": "off", **plans}
    request = chained(Request.of(files.model, **plans), None, None)
    epochs = None if "replay" in options else 2
    chosen = {"epochs": epochs, "guard": False, "lr": "0.03125", **options}
    job = asked_job(request, files.data, "reference", save=files.state, **chosen)
    run_job(job, keeper=Keeper(files.state, None, RecordWriter(files.record)))
    return files

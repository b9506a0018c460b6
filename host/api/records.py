# SPDX-License-Identifier: Apache-2.0
"""Proves, repeats and searches trainings that were recorded."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from mcutrain.host.api.data import Data, load_data
from mcutrain.host.api.errors import raises_errors
from mcutrain.host.api.trainer import path_of
from mcutrain.host.record.audit import AuditJob, run_audit
from mcutrain.host.record.blame import BlameJob, run_blame
from mcutrain.host.record.unlearn import UnlearnJob, run_unlearn
from mcutrain.host.training.leaving_out import LeftOut
from mcutrain.trainer.errors import Error

Place = str | os.PathLike[str]


@raises_errors
def audit(
    record: Place,
    data: Data,
    *,
    model: Place | None = None,
    state: Place | None = None,
    port: str | None = None,
) -> dict[str, Any]:
    """Prove what a state was learned from: every step of a record is taken again.

    Args:
        record: What ``Trainer(record=...)`` or ``mcutrain train --record`` wrote.
        data: The data that it learned from.
        model: The model file. By default the one that the record names, there or beside it.
        state: A state of ``Run.save``, or an exported model. By default the record's own end.
        port: The serial port of a board, whose state is proved.

    Returns:
        What ``mcutrain audit --json`` prints.

    Raises:
        Error: The record does not prove the state, and where they part; or nothing can be proved,
            as with another model.
    """
    job = AuditJob(Path(record), load_data(data).path, path_of(model), path_of(state), port)
    found = run_audit(job)
    if found.failure:
        raise Error(f"not proved: {found.failure}")
    return found.to_json()


@raises_errors
def unlearn(
    record: Place,
    data: Data,
    without: str,
    save: Place,
    *,
    new_record: Place | None = None,
    model: Place | None = None,
    unclaimed: bool = False,
) -> dict[str, Any]:
    """Learn again without some samples; all that was decided from samples is decided again.

    Args:
        record: The record of the training.
        data: The data that it learned from.
        without: The numbers of the samples, such as ``"3,7,10-12,val:2"``.
        save: Where what is learned is kept, as ``Run.save`` does.
        new_record: Where the record of the new training is written. By default nowhere.
        model: The model file. By default the one that the record names, there or beside it.
        unclaimed: Whether to learn also where it cannot be claimed that the new state never saw
            the samples.

    Returns:
        What ``mcutrain unlearn --json`` prints; ``never_saw_them`` is the claim.

    Raises:
        Error: It cannot be claimed, and why; or the files do not belong together.
    """
    job = UnlearnJob(
        Path(record), load_data(data).path, LeftOut.parse(without), Path(save),
        path_of(new_record), path_of(model), unclaimed,
    )  # fmt: skip
    return run_unlearn(job).to_json()


@raises_errors
def blame(
    record: Place,
    data: Data,
    *,
    model: Place | None = None,
    worst: int = 5,
    steps: int = 1000,
    samples: int = 100,
) -> dict[str, Any]:
    """Find the steps of a training that made held-out samples worse.

    Args:
        record: The record of the training.
        data: The data that it learned from, with the samples that validate or test.
        model: The model file. By default the one that the record names, there or beside it.
        worst: How many steps are told.
        steps: Behind how many steps the samples are measured at most; it may be twice the square
            root of all steps.
        samples: How many samples are measured at most.

    Returns:
        What ``mcutrain blame --json`` prints.

    Raises:
        Error: A number below 1, or the files do not belong together.
    """
    if min(worst, steps, samples) < 1:
        raise Error("worst, steps and samples are numbers of 1 or more")
    job = BlameJob(Path(record), load_data(data).path, path_of(model), worst, steps, samples)
    return run_blame(job).to_json()

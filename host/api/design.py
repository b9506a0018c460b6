# SPDX-License-Identifier: Apache-2.0
"""Designs a small net from scratch, for data and a budget of bytes."""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcutrain.host.api.data import Data, load_data
from mcutrain.host.api.errors import raises_errors
from mcutrain.host.api.html import page_table
from mcutrain.host.api.model import Model, load
from mcutrain.host.api.plan import options_of, size_of
from mcutrain.host.defaults import AUTO
from mcutrain.host.designing.command import DesignJob, DesignResult, run_design
from mcutrain.host.designing.effort import DesignPlan
from mcutrain.host.designing.samples import parse_shape
from mcutrain.host.request import Request
from mcutrain.host.search.budget import Limits
from mcutrain.host.training.rates import given_rate
from mcutrain.host.training.reporter import SILENT
from mcutrain.trainer.errors import Error


@dataclass(frozen=True)
class Design:
    """What a design has come to. ``design`` makes one.

    Attributes:
        result: All that is known of it.
        path: The file of the best net.
    """

    result: DesignResult
    path: Path

    @property
    def model(self) -> Model:
        """The best net, which ``plan`` and ``Trainer`` take."""
        return load(self.path)

    @property
    def update(self) -> str:
        """What shall learn in it, as ``plan(update=...)`` takes it."""
        return self.result.found.best.net.update

    @property
    def accuracy(self) -> float:
        """The mean after adaptation, over all seeds and people: the share that is right, from 0 to
        1, or the mean squared error where targets are values."""
        score = self.result.found.best.score
        return score.accuracy if score.mse is None else score.mse

    @property
    def verdict(self) -> str:
        """How the best net and the best of each other kind stand to each other."""
        return str(self.to_json()["verdict"])

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user would want to know of the data, a sentence each."""
        return tuple(map(str, self.result.notes))

    def to_json(self) -> dict[str, Any]:
        """What ``mcutrain design --json`` prints."""
        return self.result.to_json()

    def __repr__(self) -> str:
        return f"Design({self.result.found.best.net.shown})"

    def _repr_html_(self) -> str:
        told = self.to_json()
        rows = [
            (each["net"], each["ram_bytes"], each["flash_bytes"],
             each["confirmed"]["accuracy" if each["trial"]["mse"] is None else "mse"])
            for each in told["ranked"]
        ]  # fmt: skip
        return page_table(repr(self), ("net", "RAM, bytes", "flash, bytes", "after"), rows)


@raises_errors
def design(
    data: Data,
    sram: int | str,
    output: str | os.PathLike[str],
    *,
    own: Data | None = None,
    shape: str | None = None,
    instructions: int | None = None,
    trials: int = 24,
    promote: int = 4,
    seeds: int = 3,
    epochs: int = 40,
    adapt_epochs: int = 10,
    validation: float = 0.3,
    lr: float | str = AUTO,
    seed: int = 0,
    jobs: int = 1,
    study: str | os.PathLike[str] | None = None,
    **options: Any,
) -> Design:
    """Make a small net from scratch, so that training it fits a budget of bytes.

    Args:
        data: The general data that nets are pretrained on. ``group_train`` says whose each sample
            is: some of these people are held out, and judge.
        sram: Bytes of arena and learned state that training may take, such as ``"4K"``.
        output: Where the best net is written; a name that ends in ``.tflite``.
        own: Data of the user's own: nets are judged by adaptation to its training samples.
        shape: What a sample is: ``"50x6"``, time and channels, or ``"28x28x1"``.
        instructions: Instructions that a step may take, as predicted.
        trials: How many nets are tried beside those that were made by hand.
        promote: How many of the best are trained with every seed.
        seeds: Seeds of these, three at least; each holds out other people.
        epochs: Epochs of pretraining of these.
        adapt_epochs: Epochs over a person's samples.
        validation: The share of each class of a person's samples to judge with.
        lr: The learning rate of adaptations, or ``"auto"``.
        seed: The seed of all that is drawn.
        jobs: Processes. More than one start this program's main module again, so that a script
            needs ``if __name__ == "__main__":``.
        study: A folder that keeps what was measured, so that the same call goes on with it.
        **options: Options of the plan, as ``plan`` takes them, such as ``update`` or ``errors``.

    Returns:
        The best net, and how it stands beside those that were made by hand.

    Raises:
        Error: Nothing fits, the data are not enough, or the extra ``search`` is missing.
    """
    for name, value, least in (("trials", trials, 1), ("promote", promote, 1), ("seeds", seeds, 3),
                               ("epochs", epochs, 1), ("jobs", jobs, 1)):  # fmt: skip
        if value < least:
            raise Error(f"{name} is {value}: give {least} or more")
    samples = load_data(data)
    mine = None if own is None else load_data(own)
    request = Request.of(Path(), **options_of(options))
    limits = Limits(size_of("sram", sram), request.options.flash, instructions)
    with ExitStack() as stack:
        kept = Path(study) if study is not None else None
        if kept is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="mcutrain-design-"))
            kept = Path(folder)
        job = DesignJob(
            request, samples.path, limits, DesignPlan(trials, promote, seeds, epochs, seed),
            None if mine is None else mine.path, None if shape is None else parse_shape(shape),
            adapt_epochs, validation, given_rate(str(lr)), jobs, kept, Path(output),
            samples.reading,
        )  # fmt: skip
        return Design(run_design(job, SILENT), Path(output))

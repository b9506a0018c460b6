# SPDX-License-Identifier: Apache-2.0
"""Makes a model smaller, until its training fits a budget."""

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
from mcutrain.host.api.model import ModelFile, load
from mcutrain.host.api.plan import request_of, size_of
from mcutrain.host.building.target import REFERENCE
from mcutrain.host.defaults import AUTO, DISTILLED
from mcutrain.host.extras import require_extra
from mcutrain.host.files import write_whole
from mcutrain.host.shrinking.job import ShrinkJob, made
from mcutrain.host.shrinking.result import Shrunk
from mcutrain.host.training.rates import given_rate
from mcutrain.host.training.reporter import SILENT
from mcutrain.trainer.errors import Error


@dataclass(frozen=True)
class SmallModel:
    """A model that was made smaller. ``shrink`` makes one.

    Attributes:
        shrunk: All that is known of it.
    """

    shrunk: Shrunk

    @property
    def ram_bytes(self) -> int:
        """Bytes of arena and learned state of its training, by the plan."""
        return self.shrunk.prices[-1].cost.sram

    @property
    def options(self) -> tuple[str, ...]:
        """What its plan has beside what was asked for, as the command line writes it."""
        return self.shrunk.options

    @property
    def channels(self) -> tuple[int, int]:
        """How many channels stay, of how many that could leave."""
        return self.shrunk.sizes

    @property
    def agreement(self) -> float:
        """The share of held-out inputs whose class is that of the original; without classes, the
        share of the outputs' variance that is the original's."""
        return self.shrunk.stages[-1].quality.agreement

    @property
    def accuracy(self) -> float | None:
        """The share of held-out inputs that is right; None without labels of its classes."""
        return self.shrunk.stages[-1].quality.accuracy

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user would want to know of it, a sentence each."""
        return tuple(map(str, self.shrunk.notes))

    def to_json(self) -> dict[str, Any]:
        """What ``mcutrain shrink --json`` prints."""
        return self.shrunk.to_json()

    @raises_errors
    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the model as a ``.tflite`` file.

        Args:
            path: The file.

        Returns:
            The same path.

        Raises:
            Error: It cannot be written.
        """
        write_whole(Path(path), self.shrunk.data)
        return Path(path)

    @raises_errors
    def save_scheme(self, path: str | os.PathLike[str]) -> Path:
        """Write what a search found should learn, as a scheme file.

        Args:
            path: The file, whose name ends in ``.toml``.

        Returns:
            The same path.

        Raises:
            Error: Nothing was searched for, or the file cannot be written.
        """
        if self.shrunk.scheme is None:
            raise Error("nothing was searched for: give search=True to shrink")
        if Path(path).suffix != ".toml":
            raise Error(f"{path}: a scheme file ends in .toml, so that a plan can take it")
        write_whole(Path(path), self.shrunk.scheme)
        return Path(path)

    @raises_errors
    def report(self, path: str | os.PathLike[str]) -> Path:
        """Write a page about it.

        Returns:
            The same path.

        Raises:
            Error: A package of the extra ``report`` is missing, or the file cannot be written.
        """
        require_extra("report")
        from mcutrain.host.show.shrink_page import write_page

        write_page(Path(path), self.to_json())
        return Path(path)

    def __repr__(self) -> str:
        kept, units = self.channels
        return (
            f"SmallModel({self.shrunk.name}: {kept} of {units} channels, {self.ram_bytes:,} bytes "
            f"of RAM, agrees in {100 * self.agreement:.1f} %)"
        )

    def _repr_html_(self) -> str:
        rows = [
            (each.name, each.quality.accuracy, each.quality.mse, each.quality.agreement)
            for each in self.shrunk.stages
        ]
        head = ("", "accuracy", "mean squared error", "agrees with the original")
        return page_table(repr(self), head, rows)


@raises_errors
def shrink(
    model: ModelFile,
    data: Data,
    sram: int | str | None = None,
    *,
    instructions: int | None = None,
    max_loss: float | None = None,
    unlabelled: bool = False,
    search: bool = False,
    trials: int = 24,
    jobs: int = 1,
    epochs: int = 10,
    steps: int = DISTILLED,
    lr: float | str = AUTO,
    target: str = REFERENCE,
    seed: int = 0,
    study: str | os.PathLike[str] | None = None,
    **options: Any,
) -> SmallModel:
    """Make a model smaller, until its training fits a budget of bytes.

    Args:
        model: The model, or its path.
        data: The data. Inputs without labels are enough: ``x_train`` alone, for example.
        sram: Bytes of RAM there are, such as ``32768`` or ``"32K"``; by default any. With a
            target that is built for here, they are for all RAM of a build.
        instructions: Instructions that a step may take, as predicted for the chip.
        max_loss: The points that the smaller model may lose: of accuracy on held-out inputs, or of
            agreement with the original where there are no labels.
        unlabelled: Look at the inputs alone, and at no label or target.
        search: Search for what should learn, too, in the original and in several sizes of it.
        trials: How many schemes a search trains, over all sizes.
        jobs: Processes of a search. More than one start this program's main module again, so that
            a script needs ``if __name__ == "__main__":``.
        epochs: Epochs of a training that judges.
        steps: Steps of the distillation; no more than the default are shortened to 40 s, and 40
            more for each 100,000 parameters.
        lr: How far a batch of the distillation moves weights, as a share of their root mean
            square in the layer, or ``"auto"``, which is 0.01.
        target: The chip that plans and instructions are of, such as ``"sim:mps2_an386"``.
        seed: The seed of all that is drawn.
        study: A folder that keeps what was finished, so that the same call goes on with it.
        **options: Options of the plan, as ``plan`` takes them, such as ``update``, which is
            ``"full"`` by default, ``flash``, or ``frozen="int4"``.

    Returns:
        The smaller model, with what it is worth.

    Raises:
        Error: No cut fits, the model loses more than ``max_loss``, or the data do not fit it.
    """
    for name, value in (
        ("trials", trials),
        ("jobs", jobs),
        ("epochs", epochs),
        ("steps", steps),
    ):
        if value < 1:
            raise Error(f"{name} is {value}: give 1 or more")
    read = load(model, options.get("start"), options.get("end"))
    samples = load_data(data)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mcutrain-shrink-")))
        limit = None if sram is None else size_of("sram", sram)
        job = ShrinkJob(
            request_of(read, options), samples.path, limit,
            instructions, folder / "small.tflite", max_loss, unlabelled, search, trials, jobs,
            epochs, given_rate(str(lr)), target, seed, samples.reading,
            study=None if study is None else Path(study), steps=steps,
        )  # fmt: skip
        return SmallModel(made(job, SILENT))

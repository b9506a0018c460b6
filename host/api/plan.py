# SPDX-License-Identifier: Apache-2.0
"""What training takes, decided before anything is built."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from mcutrain.host.api.data import Data, Dataset, load_data
from mcutrain.host.api.errors import raises_errors
from mcutrain.host.api.found_scheme import FoundScheme
from mcutrain.host.api.html import Cell, page_table
from mcutrain.host.api.model import Model, ModelFile, load
from mcutrain.host.boards import core_of
from mcutrain.host.budget.command import Budget, fitted
from mcutrain.host.budget.fit import ram_bytes
from mcutrain.host.building.source import constant_bytes
from mcutrain.host.building.target import REFERENCE, Target
from mcutrain.host.cost import planned
from mcutrain.host.extras import require_extra
from mcutrain.host.prediction.density import traced
from mcutrain.host.prediction.predict import predict
from mcutrain.host.request import Request, read_class_names
from mcutrain.host.show.picture import Pictured
from mcutrain.host.show.pricing import pictured
from mcutrain.host.sizes import parse_bytes
from mcutrain.host.training.flash_latents import with_flash_latents
from mcutrain.host.training.reporter import SILENT
from mcutrain.trainer.errors import Error
from mcutrain.trainer.options import PlanOptions, Scheme, described
from mcutrain.trainer.training_plan import TrainingPlan

OPTIONS = {each.name: each for each in fields(PlanOptions)}


class Instructions(NamedTuple):
    """Predicted instructions, which are not cycles.

    Attributes:
        inference: Of an inference.
        step: Of a training step.
        core: The core that they are predicted for.
    """

    inference: int
    step: int
    core: str | None


@dataclass(frozen=True)
class Plan:
    """What a training step is, and where each of its values lies. ``plan`` makes one.

    Attributes:
        model: The model that is trained.
        target: Where it is to run, by its name.
        request: The options that it was made from.
        details: All that was decided, node by node.
        flash_latents: The data whose latents a build holds in flash, or None.
    """

    model: Model
    target: str
    request: Request
    details: TrainingPlan
    flash_latents: Dataset | None = None

    @property
    def name(self) -> str:
        """The model's name, which generated C has, too."""
        return self.details.name

    @property
    def update(self) -> str:
        """The name of the scheme: what learns."""
        return self.details.scheme.name

    @property
    def classes(self) -> int:
        """How many labels there are; 0 where targets are no labels."""
        return self.details.classes

    @property
    def learned(self) -> tuple[str, ...]:
        """The names of the weights and biases that learn."""
        return tuple(tensor.name for tensor in self.details.learned)

    @property
    def ram_bytes(self) -> int:
        """RAM that follows from the plan alone: the arena, what is learned, kept latents and the
        next sample. A build adds its stack and its link: ``Firmware.ram_bytes``."""
        return ram_bytes(self.details)

    @cached_property
    def flash_bytes(self) -> int:
        """Flash of the constants. A build adds its code: ``Firmware.flash_bytes``."""
        return constant_bytes(self.details)

    @cached_property
    def instructions(self) -> Instructions:
        """Predicted instructions on the target's core, without a build."""
        found = predict(self.details, core_of(self.details.chip.name), traced(self.details))
        return Instructions(found.inference, found.step, found.core or found.like)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user would want to know of it, a sentence each."""
        return tuple(map(str, self.details.notes))

    @raises_errors
    def to_json(self) -> dict[str, Any]:
        """What ``mcutrain plan --json`` prints for ``--target reference``: bytes by kind, layers,
        formats and their prices, predicted instructions."""
        return self._pictured().cost

    @raises_errors
    def html(self, path: str | os.PathLike[str]) -> Path:
        """Write a page that draws the arena over a step.

        Args:
            path: The page's file.

        Returns:
            The same path.

        Raises:
            Error: A package of the extra ``report`` is missing, or the file cannot be written.
        """
        require_extra("report")
        from mcutrain.host.show.plan_page import write_pictures

        write_pictures([self._pictured()], Path(path), None)
        return Path(path)

    def _pictured(self) -> Pictured:
        return pictured(self.request, self.details, planned(self.details))

    def __repr__(self) -> str:
        return (
            f"Plan({self.name}, {self.update}, {self.target}: {self.ram_bytes:,} bytes of RAM, "
            f"{self.flash_bytes:,} of flash)"
        )

    def _repr_html_(self) -> str:
        memory, steps = self.details.memory, self.instructions
        rows: list[tuple[str, Cell]] = [
            ("arena, bytes", memory.arena_bytes),
            ("learned weights and state, bytes", memory.state_bytes),
            ("RAM by the plan, bytes", self.ram_bytes),
            ("flash of constants, bytes", self.flash_bytes),
            ("instructions of an inference, predicted", steps.inference),
            ("instructions of a step, predicted", steps.step),
            ("what learns", ", ".join(self.learned)),
        ]
        return page_table(f"{self.name}, {self.update}, {self.target}", ("", ""), rows)


@raises_errors
def plan(
    model: ModelFile,
    update: str | os.PathLike[str] | Scheme | FoundScheme | None = None,
    *,
    classes: int | None = None,
    target: str = REFERENCE,
    sram: int | str | None = None,
    flash_latents: Data | None = None,
    **options: Any,
) -> Plan:
    """Decide what a training step is: what learns, in which order it is computed, where it lies.

    Args:
        model: The model, or its path.
        update: What learns: ``"head"``, ``"last:K"`` (the last K layers with weights), ``"bias"``,
            ``"full"``, the path of a scheme file ending in ``.toml``, or a scheme that ``search``
            found. By default the head; of an exported model, what learned before.
        classes: Outputs of a new, untrained head in place of the last layer; 1 is binary. By
            default the model's own head stays.
        target: Where it is to run: ``"reference"``, ``"native"``, ``"sim:BOARD"``,
            ``"unicorn:CORE"`` or, on a real board, ``"board:BOARD"``.
        sram: Bytes of RAM there are, such as ``65536`` or ``"64K"``: the cheapest options with
            which the plan fits are chosen.
        flash_latents: Data whose latents a build keeps in flash.
        **options: The options of ``mcutrain plan`` by their names, with ``_`` for ``-``, and
            ``start`` and ``end`` for ``--from`` and ``--to``: among them ``loss``, ``errors``,
            ``weights``, ``accumulate``, ``spare_classes``, ``class_names``, ``stream_input``,
            ``recompute``, ``optimize``.

    Returns:
        The plan.

    Raises:
        Error: An option is unknown, does not fit the model, or nothing fits ``sram``.
    """
    read, place = load(model, options.get("start"), options.get("end")), Target.parse(target)
    given = {"update": update, "classes": classes, **options}
    request = request_of(read, given).on(place.chip)
    kept = None if flash_latents is None else load_data(flash_latents)
    kept_path = None if kept is None else kept.path
    if sram is not None:
        nbytes = size_of("sram", sram)
        fit = fitted(request, Budget(nbytes, place, kept_path), SILENT)
        if fit.advice is not None:
            raise fit.advice.error()
        request = fit.request
    details = with_flash_latents(request.plan(), kept_path)
    return Plan(read, target, request, details, kept)


def request_of(model: Model, given: dict[str, Any]) -> Request:
    """The request of options by their names, for the part of the file that was read. Raises Error
    for an option that there is not."""
    section = model.content.section
    given = {**given, "start": section.start, "end": section.end}
    return Request.of(model.path, **options_of(given))


def options_of(given: dict[str, Any]) -> dict[str, Any]:
    """The options that are given, as PlanOptions has them. Raises Error for one that there is
    not."""
    found = dict[str, Any]()
    for name, value in given.items():
        if name not in OPTIONS:
            near = difflib.get_close_matches(name, OPTIONS, 1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(OPTIONS)}"
            raise Error(f"a plan has no option {name}: {hint}")
        if value is not None and value is not False:
            found[name] = option_value(name, value)
    return found


def option_value(name: str, value: Any) -> Any:
    """A value as PlanOptions has it. Raises Error for one of another kind."""
    about, default = described(OPTIONS[name]), OPTIONS[name].default
    if name == "update":
        value = value.scheme if isinstance(value, FoundScheme) else value
        return value if isinstance(value, str | Scheme) else path_of(name, value)
    if about.is_listed:
        if isinstance(value, str):
            return read_class_names(value)
        if not isinstance(value, Iterable) or not all(isinstance(each, str) for each in value):
            raise Error(f"{name} is {value!r}: give a list of texts")
        return tuple(value)
    if about.is_bytes:
        return size_of(name, value)
    unset: type = str if name in ("start", "end") else int
    wanted = unset if default is None else type(default)
    if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
        kind = {bool: "True or False", str: "a text", int: "a whole number"}[wanted]
        raise Error(f"{name} is {value!r}: give {kind}")
    if isinstance(value, int) and about.least is not None and value < about.least:
        raise Error(f"{name} is {value}: give {about.least} or more")
    return value


def path_of(name: str, value: Any) -> str:
    try:
        return str(Path(value))
    except TypeError as err:
        raise Error(
            f"{name} is {value!r}: give a text such as 'last:2', a path, or a scheme"
        ) from err


def size_of(name: str, value: Any) -> int:
    """Bytes, given as a number or as ``"64K"``. Raises Error."""
    try:
        return parse_bytes(str(value))
    except ValueError as err:
        raise Error(f"{name}: {err}") from err

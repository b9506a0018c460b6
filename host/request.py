# SPDX-License-Identifier: Apache-2.0
"""What to plan, as the commands take it: a model's file, and the options that were given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from mcutrain.trainer.chip import GENERIC, Chip
from mcutrain.trainer.errors import DataError, ModelError, SchemeError
from mcutrain.trainer.formats import Formats
from mcutrain.trainer.model import Model
from mcutrain.trainer.options import (
    DEFAULT_OPTIONS,
    OFF,
    Effect,
    PlanOptions,
    flag,
    learning_fields,
)
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import stored_state
from mcutrain.trainer.tflite.sections import load_or_advise
from mcutrain.trainer.training_plan import TrainingPlan
from mcutrain.trainer.training_state import TrainingState, resumed

FORMATS = tuple(each.name for each in fields(Formats))
# What begins a training anew, though the file holds one that could go on.
ANEW = {"update", "classes"}
MAY_CHANGE = {"class_names", "absent", "headroom"}  # where a training goes on
# What a training had that was stored before there was the option.
WHERE_NOT_STORED = {"precondition": OFF}


@dataclass(frozen=True)
class Request:
    """The arguments of ``make_plan``, with the model's file in place of the model.

    ``given`` names the options that were asked for: the others are what an exported file was
    trained with, if it is one. ``resumes``: the plan goes on from the file's training state.
    """

    model: Path
    options: PlanOptions = DEFAULT_OPTIONS
    given: frozenset[str] = frozenset()
    resumes: bool = False
    chip: Chip = GENERIC

    @classmethod
    def of(cls, model: Path, update: Any = None, **asked: Any) -> Request:
        """A request of the options that are ``asked`` for; None is an option that is not."""
        return cls(model).but(update=update, **asked)

    def but(self, **asked: Any) -> Request:
        """The request with these options given, too; None leaves an option as it is."""
        given = {name: value for name, value in asked.items() if value is not None}
        options = replace(self.options, **given)
        return replace(self, options=options, given=self.given | given.keys())

    def without(self, names: Iterable[str]) -> Request:
        """The request with these options as by default."""
        values = {name: getattr(DEFAULT_OPTIONS, name) for name in names}
        options = replace(self.options, **values)
        return replace(self, options=options, given=self.given - {*names})

    def in_formats(self, formats: Formats) -> Request:
        return self.but(**{name: getattr(formats, name) for name in FORMATS})

    def resolved(self) -> Request:
        """The request with all that an exported file says of its training, unless a scheme or a
        new head is asked for. Raises ModelError if it says otherwise than the request."""
        if self.resumes:
            return self
        state = stored_state(self.model)
        if state is None or self.given & ANEW:
            return self
        stored = TrainingState.unpack(state)
        found = read_options(stored.options, self.model)
        wanted = settled(self.options)
        for each in learning_fields():
            asked, was = getattr(wanted, each.name), getattr(found.options, each.name)
            if each.name in self.given - MAY_CHANGE and asked != was:
                raise ModelError(
                    f"{self.model} goes on with its training, where --{flag(each)} was {was}, not "
                    f"{asked}: leave it out, or give --update to begin anew"
                )
        kept = {each.name for each in learning_fields()} - (MAY_CHANGE & self.given)
        learned = {name: getattr(found.options, name) for name in kept}
        # The file's head has the room that it was given when its training began.
        learned["headroom"] = 1
        options = replace(self.options, update=stored.scheme, **learned)
        return replace(self, options=options, given=self.given | found.given, resumes=True)

    def leaves_state(self) -> bool:
        """Whether the file holds a training state that the plan does not go on from."""
        return not self.resumes and stored_state(self.model) is not None

    def plan(self) -> TrainingPlan:
        """The plan. Raises ModelError or SchemeError, and BudgetError as make_plan."""
        request = self.resolved()
        model = request.read()
        plan = request.plan_of(model)
        if request.resumes and model.training_state is not None:
            return resumed(plan, TrainingState.unpack(model.training_state))
        return plan

    def read(self) -> Model:
        """The part of the file's network that is asked for. Raises ModelError."""
        return load_or_advise(self.model, self.options.section)

    def on(self, chip: Chip) -> Request:
        """The request for another chip."""
        return replace(self, chip=chip)

    def plan_of(self, model: Model, *, thorough: bool = True) -> TrainingPlan:
        """The plan of ``model``, from its beginning."""
        return make_plan(model, self.options, self.chip, thorough=thorough)

    def stored(self) -> dict[str, Any]:
        """What a training goes on with, but for the model and the scheme, as JSON;
        ``read_options`` reads it."""
        return settled(self.options).to_json(Effect.LEARNING)


def settled(options: PlanOptions) -> PlanOptions:
    """The options with the formats that ``auto`` stands for. Raises SchemeError."""
    return Formats.of(options).within(options)


def read_options(stored: Mapping[str, Any], model: Path = Path()) -> Request:
    """The request of stored options, which may hold anything. Raises ModelError."""
    damaged = "the stored training options are damaged"
    found: dict[str, Any] = {}
    for each in learning_fields():
        value = stored.get(each.name, WHERE_NOT_STORED.get(each.name, each.default))
        is_kind = value is None or each.default is not None or kind_of(value) in str(each.type)
        if not is_kind or not is_sound(value, each.default):
            raise ModelError(f"{damaged}; give --update to begin anew")
        found[each.name] = tuple(value) if isinstance(value, list) else value
    try:
        options = settled(PlanOptions(**found))
    except SchemeError as err:
        raise ModelError(f"{damaged}: {err}") from err
    return Request(model, options, frozenset(found))


def kind_of(value: Any) -> str:
    """As annotations name it."""
    return type(value).__name__


def is_sound(value: Any, default: Any) -> bool:
    """Whether a stored value can be an option's that has this default: of the same kind, or of
    any where that is None. Texts are printable, numbers are not negative."""
    if isinstance(value, list | tuple):
        return isinstance(default, tuple) and all(
            isinstance(v, str) and v.isprintable() for v in value
        )
    if value is None or default is None:
        return default is None and (value is None or is_sound(value, type(value)()))
    if isinstance(value, str):
        return isinstance(default, str) and value.isprintable()
    return type(value) is type(default) and value >= 0


def read_class_names(given: str | None) -> tuple[str, ...]:
    """Names separated by commas, or a text file with one on each line. Raises DataError."""
    if given is None:
        return ()
    path = Path(given)
    try:
        is_file = path.is_file()
    except OSError:  # longer than a path can be
        is_file = False
    is_file = is_file or path.suffix in (".txt", ".csv")
    try:
        text = path.read_text(encoding="utf-8") if is_file else given.replace(",", "\n")
    except (OSError, UnicodeDecodeError) as err:
        raise DataError(
            f"cannot read the class names in {path}: {getattr(err, 'strerror', None) or err}"
        ) from err
    names = tuple(line.strip() for line in text.splitlines() if line.strip())
    if not names:
        raise DataError(f"there are no class names in '{given}'")
    return names

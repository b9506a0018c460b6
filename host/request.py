# SPDX-License-Identifier: Apache-2.0
"""What to plan, as the commands take it: a model, a scheme, a head, a loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from mcutrain.trainer.errors import DataError, ModelError, SchemeError
from mcutrain.trainer.formats import DEFAULT_FORMATS, Formats
from mcutrain.trainer.losses import CROSS_ENTROPY
from mcutrain.trainer.model import Model
from mcutrain.trainer.plan import TrainingPlan, make_plan
from mcutrain.trainer.scheme import Scheme
from mcutrain.trainer.tflite.reader import load
from mcutrain.trainer.training_state import TrainingState, resumed

DEFAULT_UPDATE = "head"
OPTIONS = {"start": "from"}  # fields that the command line calls otherwise
FORMATS = tuple(field.name for field in fields(Formats))


@dataclass(frozen=True)
class Request:
    """The arguments of ``make_plan``, with the model's file in place of the model.

    ``stream_input`` and ``receive_ahead`` change where things lie in memory and ``recompute`` how
    long, for an arena of so many bytes, or 0 for the least; none changes a bit of what is learned.
    ``update`` None stands for what a file that was exported was trained with, else for head;
    the others for their defaults. ``resumes``: the plan goes on from the file's training state.
    """

    model: Path
    update: str | Scheme | None = None
    classes: int | None = None
    spare_classes: int | None = None
    loss: str | None = None
    start: str | None = None
    class_names: tuple[str, ...] = ()
    resumes: bool = False
    errors: str | None = None
    weights: str | None = None
    accumulate: int | None = None
    stream_input: bool = False
    recompute: int | None = None
    receive_ahead: bool = False

    @property
    def formats(self) -> Formats:
        """Raises SchemeError for formats that there are not."""
        given = {name: getattr(self, name) for name in FORMATS}
        return Formats(**{name: value for name, value in given.items() if value is not None})

    def in_formats(self, formats: Formats) -> Request:
        return replace(
            self,
            errors=formats.errors,
            weights=formats.weights,
            accumulate=formats.accumulate,
        )

    def resolved(self) -> Request:
        """The request with all that an exported file says of its training, unless a scheme or a
        new head is asked for. Raises ModelError if it says otherwise than the request."""
        if self.resumes:
            return self
        model = load(self.model)
        if model.training_state is None or self.update is not None or self.classes is not None:
            return self
        stored = TrainingState.unpack(model.training_state)
        found = read_options(stored.options, self.model)
        for field in ("spare_classes", "loss", "start", *FORMATS):
            asked, was = getattr(self, field), getattr(found, field)
            if asked is not None and asked != was:
                option = OPTIONS.get(field, field).replace("_", "-")
                raise ModelError(
                    f"{self.model} goes on with its training, where --{option} was {was}, not "
                    f"{asked}: leave it out, or give --update to begin anew"
                )
        names = self.class_names or found.class_names
        return replace(
            found,
            update=stored.scheme,
            class_names=names,
            resumes=True,
            stream_input=self.stream_input,
            recompute=self.recompute,
            receive_ahead=self.receive_ahead,
        )

    def leaves_state(self) -> bool:
        """Whether the file holds a training state that the plan does not go on from."""
        return not self.resumes and load(self.model).training_state is not None

    def plan(self) -> TrainingPlan:
        """The plan. Raises ModelError or SchemeError."""
        request = self.resolved()
        model = load(request.model)
        plan = request.plan_of(model)
        if request.resumes and model.training_state is not None:
            return resumed(plan, TrainingState.unpack(model.training_state))
        return plan

    def plan_of(self, model: Model, *, thorough: bool = True) -> TrainingPlan:
        """The plan of ``model``, from its beginning."""
        return make_plan(
            model,
            DEFAULT_UPDATE if self.update is None else self.update,
            self.classes,
            spare_classes=self.spare_classes or 0,
            loss=self.loss or CROSS_ENTROPY,
            start=self.start,
            class_names=self.class_names,
            formats=self.formats,
            stream_input=self.stream_input,
            recompute=self.recompute,
            receive_ahead=self.receive_ahead,
            thorough=thorough,
        )

    def update_name(self) -> str:
        return self.update.name if isinstance(self.update, Scheme) else str(self.update)

    def arguments(self) -> list[str]:
        """The options of the command line, without the scheme and the class names."""
        given = {"classes": self.classes, "spare-classes": self.spare_classes or None,
                 "from": self.start}  # fmt: skip
        loss = [] if self.loss in (None, CROSS_ENTROPY) else [f"--loss {self.loss}"]
        default, formats = asdict(DEFAULT_FORMATS), asdict(self.formats)
        others = [f"--{k} {v}" for k, v in formats.items() if v != default[k]]
        others += ["--stream-input"] if self.stream_input else []
        if self.recompute is not None:
            others.append(f"--recompute-to {self.recompute}" if self.recompute else "--recompute")
        others += ["--receive-ahead"] if self.receive_ahead else []
        return [*(f"--{k} {v}" for k, v in given.items() if v is not None), *loss, *others]

    def options(self) -> dict[str, Any]:
        """All but the model and the scheme, as JSON; ``read_options`` reads it."""
        return {
            "classes": self.classes,
            "spare_classes": self.spare_classes or 0,
            "loss": self.loss or CROSS_ENTROPY,
            "start": self.start,
            "class_names": list(self.class_names),
            **asdict(self.formats),
        }


def read_options(stored: Mapping[str, Any], model: Path = Path()) -> Request:
    """The request of stored options, which may hold anything. Raises ModelError."""
    classes, spare = stored.get("classes"), stored.get("spare_classes", 0)
    loss, start = stored.get("loss", CROSS_ENTROPY), stored.get("start")
    names = stored.get("class_names", [])
    texts = [loss, *([] if start is None else [start]), *(names if isinstance(names, list) else [])]
    are_sound = all(isinstance(text, str) and text.isprintable() for text in texts) and (
        (classes is None or type(classes) is int)
        and (type(spare) is int and spare >= 0)
        and isinstance(names, list)
    )
    if not are_sound:
        raise ModelError("the stored training options are damaged; give --update to begin anew")
    formats = {name: stored[name] for name in FORMATS if name in stored}
    try:
        known = Formats(**formats)
    except SchemeError as err:
        raise ModelError(f"the stored training options are damaged: {err}") from err
    request = Request(model, None, classes, spare, loss, start, tuple(names))
    return request.in_formats(known)


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

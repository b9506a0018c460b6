# SPDX-License-Identifier: Apache-2.0
"""What to plan, as the commands take it: a model, a scheme, a head, a loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from trainer.errors import DataError, ModelError
from trainer.losses import CROSS_ENTROPY
from trainer.model import Model
from trainer.plan import TrainingPlan, make_plan
from trainer.scheme import Scheme
from trainer.tflite import load
from trainer.training_state import TrainingState, resumed

DEFAULT_UPDATE = "head"


@dataclass(frozen=True)
class Request:
    """The arguments of ``make_plan``, with the model's file in place of the model.

    ``update`` None stands for what a file that was exported was trained with, else for head.
    """

    model: Path
    update: str | Scheme | None = None
    classes: int | None = None
    spare_classes: int = 0
    loss: str = CROSS_ENTROPY
    start: str | None = None
    class_names: tuple[str, ...] = ()

    def plan(self) -> TrainingPlan:
        """The plan; of an exported file the one that goes on with its training, unless a scheme
        or a new head is asked for. Raises ModelError or SchemeError."""
        model = load(self.model)
        if model.training_state is None or self.update is not None or self.classes is not None:
            return self.plan_of(model)
        stored = TrainingState.unpack(model.training_state)
        options = read_options(stored.options)
        if self.class_names:
            options = replace(options, class_names=self.class_names)
        return resumed(replace(options, update=stored.scheme).plan_of(model), stored)

    def plan_of(self, model: Model) -> TrainingPlan:
        return make_plan(
            model,
            DEFAULT_UPDATE if self.update is None else self.update,
            self.classes,
            spare_classes=self.spare_classes,
            loss=self.loss,
            start=self.start,
            class_names=self.class_names,
        )

    def options(self) -> dict[str, Any]:
        """All but the model and the scheme, as JSON; ``read_options`` reads it."""
        return {
            "classes": self.classes,
            "spare_classes": self.spare_classes,
            "loss": self.loss,
            "start": self.start,
            "class_names": list(self.class_names),
        }


def read_options(stored: Mapping[str, Any], model: Path = Path()) -> Request:
    """The request of stored options, which may hold anything. Raises ModelError."""
    classes, spare = stored.get("classes"), stored.get("spare_classes", 0)
    loss, start = stored.get("loss", CROSS_ENTROPY), stored.get("start")
    names = stored.get("class_names", [])
    are_sound = (
        (classes is None or type(classes) is int)
        and (type(spare) is int and spare >= 0)
        and isinstance(loss, str)
        and (start is None or isinstance(start, str))
        and (isinstance(names, list) and all(isinstance(name, str) for name in names))
    )
    if not are_sound:
        raise ModelError("the stored training options are damaged; give --update to begin anew")
    return Request(model, None, classes, spare, loss, start, tuple(names))


def read_class_names(given: str | None) -> tuple[str, ...]:
    """Names separated by commas, or a text file with one on each line. Raises DataError."""
    if given is None:
        return ()
    path = Path(given)
    try:
        text = path.read_text(encoding="utf-8") if path.is_file() else given.replace(",", "\n")
    except (OSError, UnicodeDecodeError) as err:
        raise DataError(f"cannot read the class names in {path}: {err}") from err
    names = tuple(line.strip() for line in text.splitlines() if line.strip())
    if not names:
        raise DataError(f"there are no class names in '{given}'")
    return names

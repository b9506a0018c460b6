# SPDX-License-Identifier: Apache-2.0
"""A small net that is trained under the guard, with validation samples or without."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mcutrain.host.training.dataset import Dataset
from mcutrain.host.training.loop import train
from mcutrain.host.training.progress import Progress
from mcutrain.host.training.result import Result
from mcutrain.host.training.runners import ReferenceRunner
from mcutrain.host.training.training_options import TrainingOptions
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import parse
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.small_models import CLASSES, SHAPE, drawn_samples, residual_model

TOO_LARGE = 200.0  # a learning rate that breaks what was learned


def small_plan(update: str = "last:2", **options: Any) -> TrainingPlan:
    return make_plan(parse(residual_model(), "small"), PlanOptions(update, **options))


def samples(per_class: int = 12, classes: int = CLASSES) -> Dataset:
    """Of each class, and three of each to test; no validation samples."""
    (x, y), (x_test, y_test) = drawn_samples(per_class, classes)
    return Dataset(x.reshape(len(x), -1), y, x_test.reshape(len(x_test), -1), y_test)


def with_validation(data: Dataset, each: int = 2) -> Dataset:
    """The first samples ``each`` of a class validate, and are no longer trained on."""
    first = np.concatenate([np.flatnonzero(data.y_train == c)[:each] for c in range(CLASSES)])
    rest = np.setdiff1d(np.arange(len(data.x_train)), first)
    x, y = data.x_train, data.y_train
    return replace(data, x_train=x[rest], y_train=y[rest], x_val=x[first], y_val=y[first])


def write(path: Path, data: Dataset) -> Path:
    """As an .npz."""
    arrays = {key: value for key, value in vars(data).items() if isinstance(value, np.ndarray)}
    shaped = {k: v.reshape(-1, *SHAPE[1:]) if k[0] == "x" else v for k, v in arrays.items()}
    np.savez(path, **shaped)
    return path


def silent(progress: Progress) -> None:
    pass


def run(data: Dataset, state: bytes | None = None, **options: Any) -> Result:
    """In the reference, guarded."""
    plan = small_plan("full")
    chosen = TrainingOptions(**{"epochs": 3, "seed": 1, "guard": True, **options})
    return train(plan, data, ReferenceRunner(plan), chosen, silent, state)

# SPDX-License-Identifier: Apache-2.0
"""The inputs that a model is made smaller with: of any data set, with labels or without."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mcutrain.host.data.load import Wanted, is_read_here, load
from mcutrain.host.data.options import DEFAULT_DATA_OPTIONS, DataOptions
from mcutrain.host.data.table import names_a_label
from mcutrain.host.data.unlabelled import is_loose, load_loose
from mcutrain.host.files import digest_of_arrays
from mcutrain.host.search.command import GROUPS
from mcutrain.host.search.trial import check_groups
from mcutrain.host.training.dataset import KEYS, chosen, fitted, load_dataset, unneeded
from mcutrain.trainer.errors import DataError
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.notes import Note
from mcutrain.trainer.training_plan import TrainingPlan

LEAST = 20  # inputs, without which nothing can be said of a model
ENOUGH = 300  # with more, least squares becomes no better
HELD_SHARE = 0.2  # of inputs that have no part to test with


@dataclass(frozen=True)
class Inputs:
    """x (N, input size) int8 to make a model smaller with, and ``held_x`` to judge it by.

    ``y`` and ``held_y`` are labels or targets as of Dataset, both or neither; ``groups`` (N,) says
    whose each input is, where the data do.
    """

    x: Array
    held_x: Array
    y: Array | None = None
    held_y: Array | None = None
    groups: Array | None = None
    notes: tuple[Note, ...] = ()

    def digest(self) -> str:
        return digest_of_arrays(self.x, self.held_x, self.y, self.held_y, self.groups)


def read_inputs(
    path: Path, plan: TrainingPlan, reading: DataOptions, labelled: bool, seed: int
) -> Inputs:
    """The inputs in ``path`` as ``plan`` takes them, with their labels or targets if they have any
    and ``labelled`` asks for them. Raises DataError."""
    if is_read_here(path):
        found = of_files(path, plan, reading, labelled)
    elif reading != DEFAULT_DATA_OPTIONS:
        raise unneeded(path, reading)
    else:
        found = of_arrays(path, plan, labelled)
    check(found, path)
    return with_held_out(found, seed)


def of_arrays(path: Path, plan: TrainingPlan, labelled: bool) -> Inputs:
    """Of an .npz, which needs no more than ``x_train``."""

    def keys(there: Collection[str]) -> tuple[str, ...]:
        has_labels = wants and KEYS[1] in there
        found = [*(KEYS[:2] if has_labels else KEYS[:1])]
        tests = KEYS[2:] if has_labels else KEYS[2:3]
        found += tests if {*tests} <= {*there} else ()
        return (*found, *([GROUPS] if GROUPS in there else ()))

    wants = labelled and plan.task.target is not None
    with chosen(path, True, keys) as given:
        groups = given.pop(GROUPS, None)
        arrays, notes = fitted(given, path, plan)
        whose = None if groups is None else groups.read()
    if whose is not None:
        check_groups(whose, len(arrays["x_train"]))
    y, held_y = (arrays[key] if key in given else None for key in ("y_train", "y_test"))
    held = arrays.get("x_test", arrays["x_train"][:0])
    return Inputs(arrays["x_train"], held, y, held_y, whose, tuple(notes))


def of_files(path: Path, plan: TrainingPlan, reading: DataOptions, labelled: bool) -> Inputs:
    """Of a folder, with or without classes, or a CSV file, with or without a label."""
    loose = path.is_dir() and is_loose(path)
    is_table = not path.is_dir()
    if loose or not labelled or (is_table and not names_a_label(path, reading)):
        wanted = Wanted(plan.task.input.type, labels=False)
        raw = load_loose(path, wanted, reading) if loose else load(path, wanted, reading)
        parts = {f"x_{name}": part.x for name, part in raw.parts.items()}
        arrays, notes = fitted(parts, path, plan)
        held = arrays.get("x_test", arrays["x_train"][:0])
        groups = raw.parts["train"].groups
        return Inputs(arrays["x_train"], held, None, None, groups, (*raw.notes, *notes))
    data = load_dataset(path, plan, reading)
    return Inputs(
        data.x_train, data.x_test, data.y_train, data.y_test, data.groups_train, data.notes
    )


def check(inputs: Inputs, path: Path) -> None:
    """Raises DataError for inputs of which nothing can be learned."""
    count = len(inputs.x)
    if count < LEAST:
        raise DataError(
            f"{path} has {count} input{'s' * (count != 1)} to make the model smaller with: give "
            f"{LEAST} at least; "
            f"{ENOUGH} are enough for least squares, and thousands help where much is cut"
        )
    if (inputs.x == inputs.x[0]).all():
        raise DataError(
            f"{path}: all {count} inputs are the same, so that every channel is constant: give "
            "inputs as the device will see them"
        )


def with_held_out(inputs: Inputs, seed: int) -> Inputs:
    """The inputs with some of them held out, if they have no part to judge by."""
    if len(inputs.held_x):
        return inputs
    count = len(inputs.x)
    order = np.random.default_rng([seed, 1]).permutation(count)
    held = np.sort(order[: max(1, round(HELD_SHARE * count))])
    rest = np.setdiff1d(np.arange(count), held)
    y, held_y = (None if inputs.y is None else inputs.y[part] for part in (rest, held))
    groups = None if inputs.groups is None else inputs.groups[rest]
    text = f"there are no inputs to judge by: {len(held)} of {count} were held out (--seed {seed})"
    note = Note("x_test", "split", len(held) / count, text)
    return replace(
        inputs, x=inputs.x[rest], held_x=inputs.x[held], y=y, held_y=held_y, groups=groups,
        notes=(*inputs.notes, note),
    )  # fmt: skip

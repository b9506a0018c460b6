# SPDX-License-Identifier: Apache-2.0
"""The options that say how ``--data`` is read, declared once for all commands that take it.

Imported for every help page: nothing here may import NumPy.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from mcutrain.host.cli.panels import DATA
from mcutrain.host.data.options import DataOptions

HELP = (
    "Read samples from this .npz (x_train, y_train, x_test, y_test, and x_val, y_val if it has "
    "them; int8, or float in real units), this folder of images or of WAV or FLAC files "
    "(train/CLASS/FILE and test/CLASS/FILE, or CLASS/FILE), or this CSV file."
)


def declared(flag: str, kind: Any, metavar: str, help: str, least: int | None = None) -> Any:
    option = typer.Option(f"--{flag}", metavar=metavar, help=help, min=least, rich_help_panel=DATA)
    return Annotated[(kind | None, option)]


OPTIONS: dict[str, Any] = {
    "label": declared(
        "label", str, "COLUMN",
        "Take the label from this column of a CSV file. Default: the column named label, else the "
        "last one.",
    ),
    "group": declared(
        "group", str, "COLUMN",
        "Take from this column of a CSV file whose each row is: no window crosses two of them, and "
        "each is in training or in test.",
    ),
    "window": declared(
        "window", int, "N", "Take N rows of a CSV file that follow each other as a sample.", 1
    ),
    "hop": declared(
        "hop", int, "M", "Begin a window M rows behind the last. Default: N, so none overlap.", 1
    ),
    "pixels": declared(
        "pixels", str, "LOW:HIGH",
        "Give black and white these real values, such as 0:1. Default: those that the model's "
        "input covers.",
    ),
    "sample_rate": declared(
        "sample-rate", int, "HZ",
        "Resample sound to the rate that the model was trained with. Default: all files must have "
        "one rate, which is taken.",
        1,
    ),
    "split_seed": declared(
        "split-seed", int, "S",
        "Choose the test samples with this seed, where the data have no split. Default: 0.", 0
    ),
}  # fmt: skip
PARAMETERS = {
    name: inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
    )
    for name, annotation in OPTIONS.items()
}


def takes_data_options(command: Callable[..., None]) -> Callable[..., None]:
    """The command with PARAMETERS in place of its own parameter ``reading``, a DataOptions."""
    names = {"Request": object}  # known to type checkers alone: its module imports NumPy
    own = inspect.signature(command, eval_str=True, locals=names).parameters

    @functools.wraps(command)
    def run(*args: Any, **values: Any) -> None:
        given = {name: values.pop(name) for name in PARAMETERS}
        command(*args, reading=DataOptions(**given), **values)

    parameters = list[inspect.Parameter]()
    for name, each in own.items():
        parameters += PARAMETERS.values() if name == "reading" else [keyword(each)]
    first = next(iter(own))
    if first == "request":
        parameters[0] = own[first]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    return run


def keyword(parameter: inspect.Parameter) -> inspect.Parameter:
    return parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)

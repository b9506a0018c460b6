# SPDX-License-Identifier: Apache-2.0
"""The command with which a training goes on that was stopped."""

from __future__ import annotations

import shlex
from itertools import count
from pathlib import Path

import typer

from mcutrain.host.cli.words import words, written_in
from mcutrain.host.training.keeping import Keeper

# What an exported model says itself, or would begin its training anew.
OF_THE_MODEL = ("update", "classes", "spare_classes")


def command_again(ctx: typer.Context, keeper: Keeper) -> str:
    """The running `train` command, from what ``keeper`` has kept; or from what the board at its
    port has."""
    values = written_in(ctx, "COMMANDLINE", "DEFAULT_MAP")
    if written_in(ctx, "DEFAULT_MAP"):  # what the file gives may be what is left out here
        values = {**values, "no_config": True, "config": None}
    values.pop("fresh", None)
    if keeper.is_decided:
        values["guard"] = False
    if "port" in values:
        values |= {"go_on": True, "state": None}
    elif keeper.save in keeper.kept:
        values["state"] = keeper.save
    elif keeper.export in keeper.kept:
        values |= {"model": keeper.export, "state": None} | dict.fromkeys(OF_THE_MODEL)
    for name in ("save", "export"):
        if values.get(name) in keeper.kept:
            values[name] = unused(Path(values[name]))
    return shlex.join(["mcutrain", str(ctx.info_name), *words(ctx, values)])


def unused(path: Path) -> Path:
    """A name like ``path`` that no file has."""
    names = (path.with_stem(f"{path.stem}-{k}") for k in count(2))
    return next(name for name in names if not name.exists())

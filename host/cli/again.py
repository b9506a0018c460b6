# SPDX-License-Identifier: Apache-2.0
"""The command with which a training goes on that was stopped."""

from __future__ import annotations

import shlex
from collections.abc import Collection
from pathlib import Path
from typing import Any

import typer

from mcutrain.host.cli.words import words, written_in
from mcutrain.host.files import unused
from mcutrain.host.training.keeping import Keeper

# What an exported model says itself, or would begin its training anew.
OF_THE_MODEL = ("update", "classes", "spare_classes")


def command_again(ctx: typer.Context, keeper: Keeper, left: int = 0, is_held: bool = True) -> str:
    """The running `train` command, from what the board at its port, or its image of flash, has, if
    it ``is_held`` there; else from what ``keeper`` has kept, in place of what is there. It trains
    the ``left`` steps, or as long as the first time if that is 0."""
    values = given(ctx)
    if left:
        values |= {"steps": left, "epochs": None, "minutes": None}
    values.pop("fresh", None)
    if keeper.is_decided:
        values["guard"] = False
    has_device = "port" in values or "flash_image" in values
    if has_device and is_held:
        values |= {"go_on": True, "state": None}
    elif keeper.save in keeper.kept:
        values["state"] = keeper.save
    elif keeper.export in keeper.kept:
        values |= {"model": keeper.export, "state": None} | dict.fromkeys(OF_THE_MODEL)
    if has_device and not is_held:
        values["fresh"] = True
        values.pop("go_on", None)
    for name in ("save", "export"):
        if values.get(name) in keeper.kept:
            values[name] = unused(Path(values[name]))
    if values.get("record") is not None and values.get("checkpoint") is None:
        values["record"] = unused(Path(values["record"]))  # that of the first part proves the first
    return shlex.join(["mcutrain", str(ctx.info_name), *words(ctx, values)])


def command_of(ctx: typer.Context, without: Collection[str] = ()) -> str:
    """The running command with all that it was given, as a user writes it; ``without`` some."""
    values = {name: value for name, value in given(ctx).items() if name not in without}
    return shlex.join(["mcutrain", str(ctx.info_name), *words(ctx, values)])


def given(ctx: typer.Context) -> dict[str, Any]:
    """The parameters that the command line and ``mcutrain.toml`` name. What the file gives is
    written out, and so the file itself is left out."""
    values = written_in(ctx, "COMMANDLINE", "DEFAULT_MAP")
    if written_in(ctx, "DEFAULT_MAP"):
        values |= {"no_config": True, "config": None}
    return values

# SPDX-License-Identifier: Apache-2.0
"""A second plan, from the options in which it differs from the first."""

from __future__ import annotations

import copy
import shlex
from pathlib import Path
from typing import Any

import typer

from mcutrain.host.cli.options import REQUEST_PARAMETERS, request
from mcutrain.host.cli.words import written_in
from mcutrain.host.request import Request
from mcutrain.trainer.errors import Error

REQUEST = tuple(REQUEST_PARAMETERS)
OTHERS = ("target", "flash_latents")


def other_options(ctx: typer.Context, text: str) -> tuple[Request, dict[str, Any]]:
    """The request, and the values of OTHERS, of the running command with the options in ``text``
    in place of its own. ``text`` may begin with another model.

    Raises Error if it cannot be split, what the command line does for wrong options.
    """
    try:
        words = shlex.split(text)
    except ValueError as err:
        raise Error(f"--compare '{text}': {err}") from err
    command = copy.copy(ctx.command)
    command.params = [copy.copy(p) for p in ctx.command.params if p.name in (*REQUEST, *OTHERS)]
    command.add_help_option = False
    for param in command.params:
        param.required = False
    found: Any = command.make_context(f"{ctx.info_name} --compare", words)
    values = {**ctx.params, **written_in(found, "COMMANDLINE")}
    wanted = {name: values[name] for name in REQUEST}
    wanted["model"] = Path(wanted["model"])
    others = {name: values[name] for name in OTHERS}
    if others["flash_latents"] is not None:
        others["flash_latents"] = Path(others["flash_latents"])
    return request(**wanted), others

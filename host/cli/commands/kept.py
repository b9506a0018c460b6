# SPDX-License-Identifier: Apache-2.0
"""``save``, ``load``, ``push`` and ``reset``: what a board keeps."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mcutrain.host.cli.files import READS
from mcutrain.host.cli.keys import given_keys
from mcutrain.host.cli.options import (
    BaudOpt,
    FlashOpt,
    JsonOpt,
    KeyOpt,
    PortOption,
    takes_request,
)
from mcutrain.host.cli.output import err, print_json
from mcutrain.host.cli.panels import COMMON, DATA, DURATION, TARGET
from mcutrain.host.defaults import BAUD

if TYPE_CHECKING:
    from mcutrain.host.request import Request

PortOpt = Annotated[str, PortOption, COMMON]


def save(port: PortOpt, baud: BaudOpt = BAUD, key: KeyOpt = None, json_: JsonOpt = False) -> None:
    """Have a board save what it has learned in its flash, where it outlives a loss of power.

    What was saved before stays until the new state is whole. A board that starts goes on from what
    it saved last.
    """
    from mcutrain.host.show import kept as show
    from mcutrain.host.training import kept

    with err.status(f"{port} saves"):
        told = kept.save(port, baud, given_keys(key))
    print_json(told) if json_ else show.saved_lines(told, "saved")


def load(port: PortOpt, baud: BaudOpt = BAUD, key: KeyOpt = None, json_: JsonOpt = False) -> None:
    """Have a board put back what it saved last. What it has learned since is lost."""
    from mcutrain.host.show import kept as show
    from mcutrain.host.training import kept

    with err.status(f"{port} loads"):
        told = kept.load(port, baud, given_keys(key))
    print_json(told) if json_ else show.saved_lines(told, "loaded")


def reset(
    port: PortOpt,
    seed: Annotated[
        int,
        typer.Option(
            min=0,
            max=0xFFFFFFFF,
            metavar="N",
            help="Round at random by this number. Default: 0.",
            rich_help_panel=DURATION,
        ),
    ] = 0,
    saved: Annotated[
        bool,
        typer.Option(
            "--saved",
            help="Erase what the board has saved in its flash, too.",
            rich_help_panel=TARGET,
        ),
        COMMON,
    ] = False,
    baud: BaudOpt = BAUD,
    key: KeyOpt = None,
    json_: JsonOpt = False,
) -> None:
    """Set a board to the state before any training. What it has learned is lost."""
    from mcutrain.host.show import kept as show
    from mcutrain.host.training import kept

    with err.status(f"{port} resets"):
        told = kept.reset(port, seed, saved, baud, given_keys(key))
    print_json(told) if json_ else show.reset_lines(told)


@takes_request
def push(
    request: Request,
    port: PortOpt,
    state: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="Give the board this state, which `train --save` or `pull` wrote.",
            rich_help_panel=DATA,
        ),
        READS,
        COMMON,
    ],
    baud: BaudOpt = BAUD,
    key: KeyOpt = None,
    flash_latents: FlashOpt = None,
    json_: JsonOpt = False,
) -> None:
    """Give a board what was learned elsewhere, and compare it by the board's own digest.

    Give the model and the options of the training. `save` keeps it in the board's flash.
    """
    from mcutrain.host.show import kept as show
    from mcutrain.host.training import kept

    with err.status(f"writing to {port}"):
        told = kept.push(request, port, state, flash_latents, baud, given_keys(key))
    print_json(told) if json_ else show.pushed_lines(told)

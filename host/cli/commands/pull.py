# SPDX-License-Identifier: Apache-2.0
"""``pull``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mcutrain.host.cli.files import WRITES
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
from mcutrain.host.cli.panels import COMMON, OUTPUT
from mcutrain.host.defaults import BAUD

if TYPE_CHECKING:
    from mcutrain.host.request import Request


@takes_request
def pull(
    request: Request,
    port: Annotated[str, PortOption, COMMON],
    save: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="Write what the board has learned (.npz), for train --state.",
            rich_help_panel=OUTPUT,
        ),
        WRITES,
        COMMON,
    ],
    record: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write the entries of the chain that the board keeps, a line of JSON for each "
            "step (.jsonl); of builds with --chain. Default: none.",
            rich_help_panel=OUTPUT,
        ),
        WRITES,
    ] = None,
    baud: BaudOpt = BAUD,
    key: KeyOpt = None,
    flash_latents: FlashOpt = None,
    json_: JsonOpt = False,
) -> None:
    """Save what a board has learned, where its training has ended without that.

    Give the model and the options of the training. `train --state` goes on from the file, and
    `export` makes a model of it. The board keeps what it has.
    """
    from mcutrain.host.show import terminal as show
    from mcutrain.host.training.learned import pull as pull_learned

    with err.status(f"reading from {port}"):
        keep = None
        if record is not None:
            from mcutrain.host.record.on_device import write_kept

            keep = partial(write_kept, record)
        pulled = pull_learned(request, port, save, flash_latents, baud, given_keys(key), keep)
    print_json(pulled) if json_ else show.pulled_lines(pulled)

# SPDX-License-Identifier: Apache-2.0
"""``collect``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mcutrain.host.cli.files import KEEPS
from mcutrain.host.cli.keys import given_keys
from mcutrain.host.cli.options import BaudOpt, JsonOpt, KeyOpt, PortOption, QuietOpt
from mcutrain.host.cli.output import INTERRUPTED, print_json, progress
from mcutrain.host.cli.panels import COMMON, DATA, OUTPUT, TARGET
from mcutrain.host.defaults import BAUD


def collect(
    port: Annotated[str, PortOption, COMMON],
    classes: Annotated[
        str,
        typer.Option(
            metavar="A,B,...",
            help="Name the classes, in the order of their labels: the first is 0.",
            rich_help_panel=DATA,
        ),
        COMMON,
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Write the samples here (.npz), for train --data; a fifth of each class is kept "
            "to test with.",
            rich_help_panel=OUTPUT,
        ),
        KEEPS,
        COMMON,
    ],
    per_class: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Record N samples of one class after another, of that of --label alone if it is "
            "given. Default: the keys 1 to 9 choose the class; without a keyboard, the device's "
            "buttons do.",
            rich_help_panel=DATA,
        ),
        COMMON,
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Record this class, whatever the device's buttons say. Default: all of them.",
            rich_help_panel=DATA,
        ),
        COMMON,
    ] = None,
    count: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="N",
            help="End after N samples whose class the device's buttons say; 0 ends with Ctrl-C.",
            rich_help_panel=DATA,
        ),
    ] = 0,
    countdown: Annotated[
        float,
        typer.Option(
            min=0,
            metavar="S",
            help="Wait S seconds before each class of --per-class, for the user to begin.",
            rich_help_panel=DATA,
        ),
    ] = 3.0,
    append: Annotated[
        bool,
        typer.Option(
            "--append",
            help="Add to a file that is there already. Without it such a file is refused.",
            rich_help_panel=OUTPUT,
        ),
        COMMON,
    ] = False,
    timeout: Annotated[
        float,
        typer.Option(
            min=0.1,
            metavar="S",
            help="Give up when S seconds have brought no sample.",
            rich_help_panel=TARGET,
        ),
    ] = 10.0,
    baud: BaudOpt = BAUD,
    key: KeyOpt = None,
    quiet: QuietOpt = False,
    json_: JsonOpt = False,
) -> None:
    """Record labelled samples of a device's own sensor, as the data set of a training.

    The samples are what the model gets on the device. Ctrl-C ends, and what was recorded is kept.
    """
    from mcutrain.host.cli.collecting import Collecting
    from mcutrain.host.collecting.collect import Asked, class_list
    from mcutrain.host.show import collected as show

    asked = Asked(port, class_list(classes), output, append, timeout, baud, given_keys(key))
    job = Collecting(asked, per_class, label, count, countdown, progress(quiet))
    told = job.run()
    print_json(told) if json_ else show.collected_lines(told)
    if told["interrupted"]:
        raise typer.Exit(INTERRUPTED)

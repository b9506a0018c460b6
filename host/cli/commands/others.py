# SPDX-License-Identifier: Apache-2.0
"""``demo`` and ``clean``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mcutrain.host.cli.files import WRITES
from mcutrain.host.cli.options import JsonOpt
from mcutrain.host.cli.output import err, print_json
from mcutrain.host.cli.panels import DURATION, OUTPUT


def demo(
    name: Annotated[
        str, typer.Argument(help="The example: gestures, camera or machine.", show_default=True)
    ] = "gestures",
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write the report (.html). Default: mcutrain-demo.html, or "
            "mcutrain-demo-NAME.html for another example.",
            rich_help_panel=OUTPUT,
        ),
        WRITES,
    ] = None,
    fast: Annotated[
        bool, typer.Option("--fast", help="Train fewer epochs.", rich_help_panel=DURATION)
    ] = False,
    json_: JsonOpt = False,
) -> None:
    """Adapt an example to a new place, natively and on an emulated Cortex-M4.

    gestures: a smartwatch learns one person's left wrist. camera: a camera that was moved learns
    its new view. machine: a vibration sensor learns what is normal for its own machine.
    """
    from mcutrain.host.cli.demo import run_demo
    from mcutrain.host.show import terminal as show
    from mcutrain.host.show.outcome import outcome_table
    from mcutrain.trainer.errors import Error

    shown = run_demo(err, report, fast, name)
    if json_:
        print_json(shown.to_json())
    else:
        outcome_table(shown.outcomes)
        show.lines(shown.lines())
    for outcome in shown.outcomes:
        if outcome.failure:
            raise Error(outcome.failure)


def clean(json_: JsonOpt = False) -> None:
    """Free what builds left in the cache. What another process uses stays."""
    from mcutrain.host.building.cache import clean as clean_cache
    from mcutrain.host.show import terminal as show

    cleaned = clean_cache()
    print_json(cleaned.to_json()) if json_ else show.cleaned_lines(cleaned)

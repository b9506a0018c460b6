# SPDX-License-Identifier: Apache-2.0
"""Commands about a model's file: ``inspect``, ``check``, ``calibrate`` and ``export``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from mcutrain.host.cli.data_options import HELP, takes_data_options
from mcutrain.host.cli.files import READS, WRITES
from mcutrain.host.cli.options import DryRunOpt, FromOpt, JsonOpt, ModelArg, QuietOpt, ToOpt
from mcutrain.host.cli.output import print_json, progress
from mcutrain.host.cli.panels import DATA, OUTPUT
from mcutrain.host.data.options import DataOptions

OutputOpt = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="Write the model here (.tflite).",
        rich_help_panel=OUTPUT,
    ),
    WRITES,
]


def inspect(
    model: ModelArg, start: FromOpt = None, end: ToOpt = None, json_: JsonOpt = False
) -> None:
    """Show a model's layers: shapes, quantisation, operations, bytes, what can learn.

    If a model cannot be trained, the command lists all that stands in the way, and says which part
    of it can be.
    """
    from mcutrain.host.show import terminal as show
    from mcutrain.host.show.model import input_row, model_rows, obstacle_rows, section_row
    from mcutrain.trainer.errors import Error, ModelError
    from mcutrain.trainer.options import Section
    from mcutrain.trainer.simplify import least_macs
    from mcutrain.trainer.tflite.reader import load
    from mcutrain.trainer.tflite.sections import largest

    try:
        loaded = load(model, Section(start, end))
    except ModelError as refused:
        if not refused.obstacles:
            raise
        found, part = obstacle_rows(refused.obstacles), largest(model)
        section = None if part is None else section_row(model, part)
        if json_:
            print_json({"model": str(model), "obstacles": found, "section": section})
        else:
            show.obstacle_table(model, found, section)
        count = len(found)
        plural = "s" if count > 1 else ""
        raise Error(
            f"{model} has {count} obstacle{plural}: it cannot be trained as it is"
        ) from None
    rows, source, macs = model_rows(loaded), input_row(loaded), least_macs(loaded)
    if json_:
        layers = {"input": source, "layers": rows, "inference_macs": macs}
        print_json({"model": str(model), **layers, "obstacles": [], "section": None})
    else:
        show.model_table(model, source, rows, macs)


def check(
    model: ModelArg, start: FromOpt = None, end: ToOpt = None, json_: JsonOpt = False
) -> None:
    """Compare every operator of the model with tflite-micro, bit for bit.

    What lies before --from runs in tflite-micro alone.
    """
    from mcutrain.host.checking.check import check_model
    from mcutrain.host.show import terminal as show
    from mcutrain.trainer.errors import Error
    from mcutrain.trainer.options import Section

    result = check_model(model, Section(start, end))
    print_json(result) if json_ else show.check_table(result)
    if result["mismatches"]:
        raise Error(
            f"{result['mismatches']} outputs differ from tflite-micro: report the model as a bug, "
            "and do not train it"
        )


@takes_data_options
def calibrate(
    model: ModelArg,
    data: Annotated[
        Path,
        typer.Option(
            metavar="PATH",
            help=f"{HELP} Only the training samples are looked at.",
            rich_help_panel=DATA,
        ),
        READS,
    ],
    reading: DataOptions,
    output: OutputOpt,
    samples: Annotated[
        int,
        typer.Option(
            min=1, metavar="N", help="Take N of the training samples.", rich_help_panel=DATA
        ),
    ] = 200,
    dry_run: DryRunOpt = False,
    json_: JsonOpt = False,
    quiet: QuietOpt = False,
) -> None:
    """Fit the ranges of a model's activations to your samples, before it is trained.

    A model holds the ranges that its activations reached on the data it was quantised with. Where
    your samples reach less or more, it trains better with ranges of their own. Weights stay as
    they are.
    """
    from mcutrain.host.show import terminal as show
    from mcutrain.host.training.calibration import calibrated
    from mcutrain.host.training.live_view import live_view
    from mcutrain.host.training.tell import tell
    from mcutrain.trainer.notes import Note

    console = progress(quiet)
    if dry_run:
        from mcutrain.host.cli.dry_run import lines, of_calibration
        from mcutrain.host.cli.reporter import ConsoleReporter

        told = of_calibration(model, data, samples, output, ConsoleReporter(console), reading)
        print_json(told) if json_ else show.lines(lines(told))
        return
    with live_view(console) as view:
        report = partial(view.show, "passes")
        found = calibrated(model, data, samples, output, report, reading)
    tell((Note(**note) for note in found["notes"]), console)
    print_json(found) if json_ else show.calibration_table(found)


def export(
    model: ModelArg,
    state: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="Take what mcutrain train --save wrote.",
            rich_help_panel=DATA,
        ),
        READS,
    ],
    output: OutputOpt,
    resumable: Annotated[
        bool,
        typer.Option(
            help="Keep in the file what training needs to go on (fractions, histories).",
            rich_help_panel=OUTPUT,
        ),
    ] = True,
    json_: JsonOpt = False,
) -> None:
    """Write a trained network as .tflite: the model's file with what was learned in it."""
    from mcutrain.host.show import terminal as show
    from mcutrain.host.training.export import export_saved

    written = export_saved(model, state, output, resumable)
    print_json(written) if json_ else show.export_lines(written)

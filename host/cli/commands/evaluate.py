# SPDX-License-Identifier: Apache-2.0
"""``evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mcutrain.host.cli.data_options import HELP, takes_data_options
from mcutrain.host.cli.files import KEEPS, READS
from mcutrain.host.cli.keys import given_keys
from mcutrain.host.cli.options import (
    BaudOpt,
    FromOpt,
    JsonOpt,
    KeyOpt,
    ModelArg,
    PortOption,
    QuietOpt,
    TargetOpt,
    ToOpt,
    VerboseOpt,
)
from mcutrain.host.cli.output import print_json, progress
from mcutrain.host.cli.panels import COMMON, DATA, OUTPUT, TARGET
from mcutrain.host.data.options import SPLITS, DataOptions
from mcutrain.host.defaults import BAUD
from mcutrain.trainer.options import LEARNS


@takes_data_options
def evaluate(
    model: ModelArg,
    data: Annotated[
        Path, typer.Option(metavar="PATH", help=HELP, rich_help_panel=DATA), READS, COMMON
    ],
    reading: DataOptions,
    split: Annotated[
        str,
        typer.Option(
            metavar="SPLIT",
            help=f"Evaluate these samples: {', '.join(SPLITS)}.",
            rich_help_panel=DATA,
        ),
        COMMON,
    ] = "test",
    state: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Evaluate a state that `mcutrain train --save` wrote.",
            rich_help_panel=LEARNS,
        ),
        READS,
        COMMON,
    ] = None,
    target: TargetOpt = "reference",
    port: Annotated[str | None, PortOption] = None,
    baud: BaudOpt = BAUD,
    key: KeyOpt = None,
    flash_image: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Evaluate what --target native or sim:BOARD has saved in this file by `mcutrain "
            "train --flash-image`. Default: the model's weights.",
            rich_help_panel=TARGET,
        ),
        KEEPS,
    ] = None,
    start: FromOpt = None,
    end: ToOpt = None,
    loss: Annotated[
        str | None,
        typer.Option(
            metavar="LOSS",
            help="Say what the outputs are: cross-entropy (classes), mse (values) or "
            "reconstruction (the input again). Default: cross-entropy, or as it was trained.",
            rich_help_panel=LEARNS,
        ),
    ] = None,
    class_names: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Name the classes, separated by commas, or in a file with one on each line. "
            "Default: the names of the folders, or of the labels of a CSV file.",
            rich_help_panel=LEARNS,
        ),
    ] = None,
    worst: Annotated[
        int,
        typer.Option(min=0, metavar="N", help="Show the N worst samples.", rich_help_panel=OUTPUT),
        COMMON,
    ] = 10,
    json_: JsonOpt = False,
    quiet: QuietOpt = False,
    verbose: VerboseOpt = False,
) -> None:
    """Tell how good a model is on your samples, without training it: accuracy, confusion, recall of
    each class, and the worst samples."""
    from mcutrain.host.cli.reporter import ConsoleReporter
    from mcutrain.host.request import Request, read_class_names
    from mcutrain.host.show.evaluation import evaluation_tables
    from mcutrain.host.training.evaluate_command import EvaluationJob, run_evaluation
    from mcutrain.trainer.errors import Error

    if split not in SPLITS:
        raise Error(f"--split {split}: give {', '.join(SPLITS)}")
    names = read_class_names(class_names) or None
    request = Request.of(model, loss=loss, class_names=names, start=start, end=end)
    keys = given_keys(key)
    job = EvaluationJob(
        request, data, split, target, state, reading, verbose, port, baud, keys, flash_image
    )
    found = run_evaluation(job, ConsoleReporter(progress(quiet)))
    if json_:
        print_json(found.to_json(worst))
    else:
        evaluation_tables(found, worst)

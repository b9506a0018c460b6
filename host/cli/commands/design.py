# SPDX-License-Identifier: Apache-2.0
"""``design``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mcutrain.host.cli.data_options import takes_data_options
from mcutrain.host.cli.files import READS, WRITES
from mcutrain.host.cli.options import DryRunOpt, JsonOpt, QuietOpt, RateOpt, SeedOpt, takes_options
from mcutrain.host.cli.output import goes_on, print_json, progress
from mcutrain.host.cli.panels import COMMON, DATA, DURATION, OUTPUT, SEARCH
from mcutrain.host.data.options import DataOptions
from mcutrain.host.defaults import AUTO
from mcutrain.host.sizes import bytes_option

if TYPE_CHECKING:
    from mcutrain.host.request import Request


@takes_options
@takes_data_options
def design(
    request: Request,
    data: Annotated[
        Path,
        typer.Option(
            metavar="PATH",
            help="Pretrain on the training samples of this .npz (x_train, y_train; int8, or float "
            "in real units), folder or CSV file. An array group_train, or a column that --group "
            "names, says whose each sample is: some of these people are held out, and judge. The "
            "test samples are not looked at.",
            rich_help_panel=DATA,
        ),
        READS,
        COMMON,
    ],
    reading: DataOptions,
    sram: Annotated[
        int,
        typer.Option(
            metavar="BYTES",
            parser=bytes_option,
            help="Set the RAM that training may take, such as 4K: arena and learned state.",
            rich_help_panel=SEARCH,
        ),
        COMMON,
    ],
    own: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="Judge by adaptation to the training samples of this data set, of one kind with "
            "--data. Default: people of --data that are held out.",
            rich_help_panel=DATA,
        ),
        READS,
        COMMON,
    ] = None,
    shape: Annotated[
        str | None,
        typer.Option(
            metavar="SHAPE",
            help="Take samples as this: 50x6 is time and channels, 28x28x1 height, width and "
            "channels. Default: the shape of the array, or the rows and columns of a CSV file.",
            rich_help_panel=DATA,
        ),
    ] = None,
    instructions: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Allow N instructions for a step, as predicted. Default: no limit.",
            rich_help_panel=SEARCH,
        ),
    ] = None,
    trials: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="N",
            help="Try N nets beside those that were made by hand.",
            rich_help_panel=SEARCH,
        ),
        COMMON,
    ] = 24,
    promote: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="N",
            help="Train the best N of them with every seed, to choose between them.",
            rich_help_panel=SEARCH,
        ),
    ] = 4,
    seeds: Annotated[
        int,
        typer.Option(
            min=3,
            metavar="N",
            help="Train each of the best with N seeds; each holds out other people.",
            rich_help_panel=SEARCH,
        ),
    ] = 3,
    epochs: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="N",
            help="Pretrain the best nets for N epochs; trials take a quarter of them.",
            rich_help_panel=DURATION,
        ),
        COMMON,
    ] = 40,
    adapt_epochs: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="N",
            help="Pass N times over a person's samples in each adaptation.",
            rich_help_panel=DURATION,
        ),
    ] = 10,
    validation: Annotated[
        float,
        typer.Option(
            metavar="F",
            help="Judge by this share of each class of a person's samples, and adapt to the "
            "others.",
            rich_help_panel=SEARCH,
        ),
    ] = 0.3,
    lr: RateOpt = AUTO,
    seed: SeedOpt = 0,
    jobs: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="N",
            help="Use N processes; the result does not depend on it.",
            rich_help_panel=SEARCH,
        ),
    ] = os.cpu_count() or 1,
    study: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Keep measurements and nets in this folder; the same command goes on with them. "
            "Default: beside the net.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Write the net here (.tflite).",
            rich_help_panel=OUTPUT,
        ),
        WRITES,
        COMMON,
    ] = Path("net.tflite"),
    dry_run: DryRunOpt = False,
    json_: JsonOpt = False,
    quiet: QuietOpt = False,
) -> None:
    """Make a small net from scratch, so that training it fits a budget of bytes.

    Nets are pretrained on your general data, and judged by how right they are after each person's
    samples were learned in integers. Nets made by hand always take part, and the command says when
    one of them is better.
    """
    from mcutrain.host.cli.reporter import ConsoleReporter
    from mcutrain.host.designing.command import DesignJob, run_design
    from mcutrain.host.designing.effort import DesignPlan
    from mcutrain.host.designing.samples import parse_shape
    from mcutrain.host.search.budget import Limits
    from mcutrain.host.show import terminal as show
    from mcutrain.host.training.rates import given_rate

    effort = DesignPlan(trials, promote, seeds, epochs, seed)
    limits = Limits(sram, request.options.flash, instructions)
    job = DesignJob(
        request, data, limits, effort, own, None if shape is None else parse_shape(shape),
        adapt_epochs, validation, given_rate(lr), jobs, study, output, reading,
    )  # fmt: skip
    reporter = ConsoleReporter(progress(quiet))
    if dry_run:
        from mcutrain.host.cli.dry_run import design_lines, of_design

        told = of_design(job, reporter)
        print_json(told) if json_ else show.lines(design_lines(told))
        return
    with goes_on(job.folder):
        found = run_design(job, reporter).to_json()
    print_json(found) if json_ else show.design_table(found)

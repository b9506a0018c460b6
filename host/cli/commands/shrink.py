# SPDX-License-Identifier: Apache-2.0
"""``shrink``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mcutrain.host.cli.completion import one_of, targets
from mcutrain.host.cli.data_options import HELP, takes_data_options
from mcutrain.host.cli.files import READS, WRITES
from mcutrain.host.cli.options import DryRunOpt, JsonOpt, QuietOpt, SeedOpt, takes_request
from mcutrain.host.cli.output import goes_on, print_json, progress
from mcutrain.host.cli.panels import COMMON, DATA, DURATION, OUTPUT, SEARCH, TARGET
from mcutrain.host.data.options import DataOptions
from mcutrain.host.defaults import AUTO, DISTILLED
from mcutrain.host.sizes import bytes_option

if TYPE_CHECKING:
    from mcutrain.host.request import Request


@takes_request
@takes_data_options
def shrink(
    request: Request,
    data: Annotated[
        Path,
        typer.Option(
            metavar="PATH",
            help=f"{HELP} Inputs without labels are enough: an .npz with x_train alone, a folder "
            "without classes, a CSV file without a label. 300 inputs are enough for small cuts.",
            rich_help_panel=DATA,
        ),
        READS,
        COMMON,
    ],
    reading: DataOptions,
    sram: Annotated[
        int | None,
        typer.Option(
            metavar="BYTES",
            parser=bytes_option,
            help="Make the model so small that its training fits this RAM, such as 32K: arena, "
            "learned state and what waits in RAM; with a target, all RAM of a build. Default: no "
            "limit.",
            rich_help_panel=SEARCH,
        ),
        COMMON,
    ] = None,
    instructions: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Allow N instructions for a step, as predicted for the chip. Default: no limit.",
            rich_help_panel=SEARCH,
        ),
    ] = None,
    max_loss: Annotated[
        float | None,
        typer.Option(
            metavar="POINTS",
            help="Write nothing if the smaller model loses more points than this: of accuracy on "
            "held-out inputs, as it is or after training, or of agreement with the original where "
            "there are no labels. "
            "Default: no limit.",
            rich_help_panel=SEARCH,
        ),
        COMMON,
    ] = None,
    unlabelled: Annotated[
        bool,
        typer.Option(
            "--unlabelled",
            help="Look at the inputs alone, and at no label or target.",
            rich_help_panel=DATA,
        ),
    ] = False,
    search: Annotated[
        bool,
        typer.Option(
            "--search",
            help="Search for what should learn, too, in the original and in several sizes of it; "
            "the winner is what is most accurate after training on held-out parts of your samples, "
            "which need labels. It is written with a scheme file beside it.",
            rich_help_panel=SEARCH,
        ),
        COMMON,
    ] = False,
    trials: Annotated[
        int,
        typer.Option(
            min=4,
            metavar="N",
            help="Train N schemes in a --search, over all sizes.",
            rich_help_panel=SEARCH,
        ),
    ] = 24,
    jobs: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="N",
            help="Use N processes in a --search. With one, it repeats exactly.",
            rich_help_panel=SEARCH,
        ),
    ] = os.cpu_count() or 1,
    epochs: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="N",
            help="Pass N times over the samples in a training that judges.",
            rich_help_panel=DURATION,
        ),
    ] = 10,
    steps: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="N",
            help="Distil the original into the smaller model for N steps; no more than the default "
            "are shortened to 40 s, and 40 more for each 100,000 parameters.",
            rich_help_panel=DURATION,
        ),
    ] = DISTILLED,
    lr: Annotated[
        str,
        typer.Option(
            "--lr",
            metavar="RATE",
            help="Set how far a batch of the distillation moves weights, as a share of their root "
            "mean square in the layer; auto is 0.01.",
            rich_help_panel=DURATION,
            autocompletion=one_of((AUTO,)),
        ),
    ] = AUTO,
    target: Annotated[
        str,
        typer.Option(
            metavar="T",
            help="Choose the chip that plans and instructions are of: that of sim:BOARD or "
            "board:BOARD; reference and native are no chip's. For sim:BOARD, native and "
            "unicorn:CORE the budget is for a build, which is made: with stack, link and code.",
            rich_help_panel=TARGET,
            autocompletion=targets,
        ),
        COMMON,
    ] = "reference",
    seed: SeedOpt = 0,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Write the smaller model here (.tflite). What was finished is kept in a folder "
            "beside it, and the same command goes on.",
            rich_help_panel=OUTPUT,
        ),
        WRITES,
        COMMON,
    ] = Path("small.tflite"),
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write a page about it (.html). Default: none.",
            rich_help_panel=OUTPUT,
        ),
        WRITES,
        COMMON,
    ] = None,
    dry_run: DryRunOpt = False,
    json_: JsonOpt = False,
    quiet: QuietOpt = False,
) -> None:
    """Make a model smaller, until its training fits a budget of bytes."""
    from mcutrain.host.cli.reporter import ConsoleReporter
    from mcutrain.host.show import terminal as show
    from mcutrain.host.show.shrunk import shrunk_tables
    from mcutrain.host.shrinking.job import ShrinkJob, run_shrink
    from mcutrain.host.training.rates import given_rate

    job = ShrinkJob(
        request, data, sram, instructions, output, max_loss, unlabelled, search, trials, jobs,
        epochs, given_rate(lr), target, seed, reading, report, steps=steps,
    )  # fmt: skip
    reporter = ConsoleReporter(progress(quiet))
    if dry_run:
        from mcutrain.host.cli.dry_run import lines, of_shrinking

        told = of_shrinking(job, reporter)
        print_json(told) if json_ else show.lines(lines(told))
        return
    with goes_on(job.folder):
        found = run_shrink(job, reporter).to_json()
    if report is not None:
        from mcutrain.host.show.shrink_page import write_page

        write_page(report, found)
    print_json(found) if json_ else shrunk_tables(found)

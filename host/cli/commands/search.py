# SPDX-License-Identifier: Apache-2.0
"""``search``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mcutrain.host.cli.completion import targets
from mcutrain.host.cli.data_options import HELP, takes_data_options
from mcutrain.host.cli.files import KEEPS_TRIALS, READS, WRITES
from mcutrain.host.cli.options import DryRunOpt, JsonOpt, QuietOpt, RateOpt, SeedOpt, takes_request
from mcutrain.host.cli.output import goes_on, print_json, progress
from mcutrain.host.cli.panels import COMMON, DATA, DURATION, OUTPUT, SEARCH, TARGET
from mcutrain.host.data.options import DataOptions
from mcutrain.host.defaults import AUTO
from mcutrain.host.sizes import bytes_option

if TYPE_CHECKING:
    from mcutrain.host.request import Request


@takes_request
@takes_data_options
def search(
    request: Request,
    data: Annotated[
        Path,
        typer.Option(
            metavar="PATH",
            help=f"{HELP} An array group_train, or a column that --group names, says whose each "
            "sample is: the scheme then suits one person at a time. The test samples are not "
            "looked at.",
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
            help="Set the RAM there is, such as 64K.",
            rich_help_panel=SEARCH,
        ),
        COMMON,
    ],
    instructions: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Allow N instructions for a step, as predicted for the chip, and corrected by a "
            "count on a simulated board, if that counts instructions. Default: no limit.",
            rich_help_panel=SEARCH,
        ),
    ] = None,
    target: Annotated[
        str,
        typer.Option(
            metavar="T",
            help="Choose what counts: for reference, arena and learned state; for native or "
            "sim:BOARD, stack, link and code of a build too.",
            rich_help_panel=TARGET,
            autocompletion=targets,
        ),
        COMMON,
    ] = "reference",
    trials: Annotated[
        int,
        typer.Option(min=1, metavar="N", help="Train N schemes.", rich_help_panel=SEARCH),
        COMMON,
    ] = 24,
    promote: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="N",
            help="Train the best N of them anew, to choose between them.",
            rich_help_panel=SEARCH,
        ),
    ] = 4,
    folds: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="N",
            help="Hold samples out in N other ways for the promoted schemes.",
            rich_help_panel=SEARCH,
        ),
    ] = 3,
    epochs: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="N",
            help="Pass N times over the samples in each training.",
            rich_help_panel=DURATION,
        ),
        COMMON,
    ] = 10,
    trial_steps: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Stop each trial after N steps. Fewer steps are quicker, but misjudge layers "
            "that learn slowly. Default: all steps.",
            rich_help_panel=DURATION,
        ),
    ] = None,
    validation: Annotated[
        float,
        typer.Option(
            metavar="F",
            help="Hold this share of each class's training samples out, to judge by.",
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
            help="Use N processes. With one, a search repeats exactly.",
            rich_help_panel=SEARCH,
        ),
    ] = os.cpu_count() or 1,
    study: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Keep measurements in this folder; the same command goes on with them. Default: "
            "beside the scheme file.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Keep the trials here: sqlite:///trials.db, or a journal file that many machines "
            "share. Default: in the study.",
            rich_help_panel=OUTPUT,
        ),
        KEEPS_TRIALS,
    ] = None,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Write the scheme here (.toml).",
            rich_help_panel=OUTPUT,
        ),
        WRITES,
        COMMON,
    ] = Path("scheme.toml"),
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Draw accuracy over bytes here (.png, .svg or .pdf).",
            rich_help_panel=OUTPUT,
        ),
        WRITES,
        COMMON,
    ] = None,
    dry_run: DryRunOpt = False,
    json_: JsonOpt = False,
    quiet: QuietOpt = False,
) -> None:
    """Choose what learns: the most accurate scheme for your data within a budget of bytes."""
    from mcutrain.host.cli.reporter import ConsoleReporter
    from mcutrain.host.search.budget import Limits
    from mcutrain.host.search.command import SearchJob, run_search
    from mcutrain.host.search.effort import SearchPlan
    from mcutrain.host.show import terminal as show
    from mcutrain.host.training.rates import given_rate

    effort = SearchPlan(trials, promote, folds, epochs, trial_steps, seed)
    limits = Limits(sram, request.options.flash, instructions)
    job = SearchJob(
        request, data, limits, effort, target, validation, given_rate(lr), jobs,
        study, storage, output, plot, reading,
    )  # fmt: skip
    reporter = ConsoleReporter(progress(quiet))
    if dry_run:
        from mcutrain.host.cli.dry_run import lines, of_search

        told = of_search(job, reporter)
        print_json(told) if json_ else show.lines(lines(told))
        return
    with goes_on(job.folder):
        asked = " ".join(["mcutrain", *sys.argv[1:]])
        found = run_search(job, reporter, asked).to_json()
    print_json(found) if json_ else show.search_table(found)

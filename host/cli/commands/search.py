# SPDX-License-Identifier: Apache-2.0
"""``search``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mcutrain.host.cli.files import KEEPS_TRIALS, READS, WRITES
from mcutrain.host.cli.options import JsonOpt, RateOpt, takes_request
from mcutrain.host.cli.output import INTERRUPTED, err, print_json
from mcutrain.host.defaults import AUTO
from mcutrain.host.sizes import bytes_option

if TYPE_CHECKING:
    from mcutrain.host.request import Request


@takes_request
def search(
    request: Request,
    data: Annotated[
        Path,
        typer.Option(
            help=".npz as for train. An array group_train says whose each sample is: the scheme "
            "is then for one person at a time. The test samples are not looked at."
        ),
        READS,
    ],
    sram: Annotated[
        int,
        typer.Option(metavar="BYTES", parser=bytes_option, help="RAM there is, such as 64K."),
    ],
    instructions: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="For a step: as predicted for the chip, corrected by a count on a sim: target.",
        ),
    ] = None,
    target: Annotated[
        str,
        typer.Option(
            metavar="T",
            help="reference: bytes are arena and learned state. native or sim:BOARD: stack, link "
            "and code of a build count too.",
        ),
    ] = "reference",
    trials: Annotated[int, typer.Option(min=1, help="Schemes that are trained.")] = 24,
    promote: Annotated[
        int, typer.Option(min=1, help="The best of them, that are trained anew to choose from.")
    ] = 4,
    folds: Annotated[
        int, typer.Option(min=1, help="Other ways to hold samples out, for these.")
    ] = 3,
    epochs: Annotated[int, typer.Option(min=1, help="Of each training.")] = 10,
    trial_steps: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Of a contribution or a trial; default all. "
            "Fewer are quicker and misjudge what learns slowly: inner layers.",
        ),
    ] = None,
    validation: Annotated[
        float,
        typer.Option(metavar="F", help="Share of each class's training samples to judge with."),
    ] = 0.3,
    lr: RateOpt = AUTO,
    seed: Annotated[int, typer.Option(min=0, max=2**31, help="Of all that is drawn.")] = 0,
    jobs: Annotated[
        int, typer.Option(min=1, help="Processes. One repeats a search exactly.")
    ] = os.cpu_count() or 1,
    study: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Where measurements are kept; the same command goes on with them."
        ),
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Where the trials are kept, such as sqlite:///trials.db, or a journal file that "
            "many machines share. Default: in the study.",
        ),
        KEEPS_TRIALS,
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The scheme file to write."), WRITES
    ] = Path("scheme.toml"),
    plot: Annotated[
        Path | None, typer.Option(help="Draw accuracy over bytes here: .png, .svg or .pdf."), WRITES
    ] = None,
    json_: JsonOpt = False,
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
        study, storage, output, plot,
    )  # fmt: skip
    try:
        found = run_search(
            job, ConsoleReporter(err), " ".join(["mcutrain", *sys.argv[1:]])
        ).to_json()
    except KeyboardInterrupt:
        err.print(f"interrupted: {job.folder} keeps what was measured; the same command goes on")
        raise typer.Exit(INTERRUPTED) from None
    print_json(found) if json_ else show.search_table(found)

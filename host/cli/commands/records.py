# SPDX-License-Identifier: Apache-2.0
"""``audit``, ``unlearn`` and ``blame``: what a record of a training is good for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mcutrain.host.cli.files import READS, WRITES
from mcutrain.host.cli.keys import given_keys
from mcutrain.host.cli.options import BaudOpt, JsonOpt, KeyOpt, PortOption, QuietOpt
from mcutrain.host.cli.output import print_json, progress
from mcutrain.host.cli.panels import COMMON, DATA, DURATION, OUTPUT
from mcutrain.host.defaults import BAUD
from mcutrain.trainer.options import LEARNS

RecordArg = Annotated[
    Path,
    typer.Argument(metavar="RECORD", help="A record that `mcutrain train --record` wrote."),
    READS,
]
DataOpt = Annotated[
    Path,
    typer.Option(
        metavar="PATH",
        help="Find the samples here: the data that the run learned from, as --data of train. The "
        "record knows how they were read.",
        rich_help_panel=DATA,
    ),
    READS,
    COMMON,
]
ModelOpt = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Take this model file. Default: the one that the record names, there or beside it.",
        rich_help_panel=LEARNS,
    ),
    READS,
    COMMON,
]


def audit(
    record: RecordArg,
    data: DataOpt,
    model: ModelOpt = None,
    state: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Prove this state: a file of train --save (.npz) or an exported model (.tflite). "
            "Default: the state that the record ends in.",
            rich_help_panel=DATA,
        ),
        READS,
        COMMON,
    ] = None,
    port: Annotated[str | None, PortOption, COMMON] = None,
    baud: BaudOpt = BAUD,
    key: KeyOpt = None,
    json_: JsonOpt = False,
    quiet: QuietOpt = False,
) -> None:
    """Prove what a state was learned from: follow the chain of a record, find each sample in the
    data, and take every step again in the reference."""
    from mcutrain.host.cli.reporter import ConsoleReporter
    from mcutrain.host.record.audit import AuditJob, run_audit
    from mcutrain.host.show import terminal as show
    from mcutrain.host.show.records import audit_lines
    from mcutrain.trainer.errors import Error

    if state is not None and port is not None:
        raise Error("give --state or --port, not both")
    job = AuditJob(record, data, model, state, port, baud, given_keys(key))
    found = run_audit(job, ConsoleReporter(progress(quiet)))
    print_json(found.to_json()) if json_ else show.lines(audit_lines(found))
    if found.failure:
        raise Error(f"not proved: {found.failure}")


def unlearn(
    record: RecordArg,
    data: DataOpt,
    without: Annotated[
        str,
        typer.Option(
            metavar="NUMBERS",
            help="Leave these samples out, such as 3,7,10-12 of the training samples, val:2 of "
            "those that validate, old:2 or test:2.",
            rich_help_panel=DATA,
        ),
        COMMON,
    ],
    save: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="Write what was learned without them (.npz).",
            rich_help_panel=OUTPUT,
        ),
        WRITES,
        COMMON,
    ],
    new_record: Annotated[
        Path | None,
        typer.Option(
            "--record",
            metavar="FILE",
            help="Write the record of the new training (.jsonl). Default: none.",
            rich_help_panel=OUTPUT,
        ),
        WRITES,
        COMMON,
    ] = None,
    model: ModelOpt = None,
    unclaimed: Annotated[
        bool,
        typer.Option(
            "--unclaimed",
            help="Learn again also where it cannot be claimed that the new state never saw the "
            "samples, and end with status 3.",
            rich_help_panel=DATA,
        ),
    ] = False,
    json_: JsonOpt = False,
    quiet: QuietOpt = False,
) -> None:
    """Learn again without some samples, as if they had never been there: every decision that was
    made from samples is made anew, and the numbers of all steps stay."""
    from mcutrain.host.cli.reporter import ConsoleReporter
    from mcutrain.host.record.unlearn import UnlearnJob, run_unlearn
    from mcutrain.host.show import terminal as show
    from mcutrain.host.show.records import unlearn_lines
    from mcutrain.host.training.leaving_out import LeftOut

    job = UnlearnJob(record, data, LeftOut.parse(without), save, new_record, model, unclaimed)
    found = run_unlearn(job, ConsoleReporter(progress(quiet)))
    print_json(found.to_json()) if json_ else show.lines(unlearn_lines(found))
    if not found.claims:
        raise typer.Exit(UNCLAIMED)


UNCLAIMED = 3  # status of an unlearning that does not claim that the samples were never seen


def blame(
    record: RecordArg,
    data: DataOpt,
    model: ModelOpt = None,
    worst: Annotated[
        int,
        typer.Option(min=1, metavar="N", help="Show the N worst steps.", rich_help_panel=OUTPUT),
        COMMON,
    ] = 5,
    steps: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="N",
            help="Measure behind N steps, or twice the square root of all if that is more: of a "
            "longer run first between stretches, then within the worst of them.",
            rich_help_panel=DURATION,
        ),
        COMMON,
    ] = 1000,
    samples: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="N",
            help="Measure with N samples, taken evenly from those that validate, or test where "
            "there are none.",
            rich_help_panel=DURATION,
        ),
        COMMON,
    ] = 100,
    json_: JsonOpt = False,
    quiet: QuietOpt = False,
) -> None:
    """Find the steps that did the most harm: what the loss of held-out samples was before and after
    each, and which sample it learned from."""
    from mcutrain.host.cli.reporter import ConsoleReporter
    from mcutrain.host.record.blame import BlameJob, run_blame
    from mcutrain.host.show.records import blame_tables

    job = BlameJob(record, data, model, worst, steps, samples)
    found = run_blame(job, ConsoleReporter(progress(quiet)))
    print_json(found.to_json()) if json_ else blame_tables(found)

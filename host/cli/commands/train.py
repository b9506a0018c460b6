# SPDX-License-Identifier: Apache-2.0
"""``train``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mcutrain.host.cli.completion import one_of
from mcutrain.host.cli.data_options import HELP, takes_data_options
from mcutrain.host.cli.files import KEEPS, READS, WRITES
from mcutrain.host.cli.keys import given_keys
from mcutrain.host.cli.options import (
    BaudOpt,
    DryRunOpt,
    FlashOpt,
    JsonOpt,
    KeyOpt,
    PortsOption,
    ProfileOpt,
    QuietOpt,
    RateOpt,
    TargetOpt,
    VerboseOpt,
    takes_request,
)
from mcutrain.host.cli.output import err, interruption, print_json, progress, say
from mcutrain.host.cli.panels import COMMON, DATA, DURATION, GUARD, LATENTS, OUTPUT, TARGET
from mcutrain.host.data.options import DataOptions
from mcutrain.host.defaults import (
    AUTO,
    BAUD,
    EPOCHS,
    GUARD_MINUTES,
    PATIENCE,
    RATE_MINUTES,
    RATIO,
    RECONNECT_S,
    SCHEDULE,
)

if TYPE_CHECKING:
    from mcutrain.host.request import Request


@takes_request
@takes_data_options
def train(
    request: Request,
    ctx: typer.Context,
    data: Annotated[
        Path,
        typer.Option(
            metavar="PATH",
            help=HELP,
            rich_help_panel=DATA,
        ),
        READS,
        COMMON,
    ],
    reading: DataOptions,
    target: TargetOpt = "reference",
    port: Annotated[list[str] | None, PortsOption, COMMON] = None,
    baud: BaudOpt = BAUD,
    key: KeyOpt = None,
    fresh: Annotated[
        bool,
        typer.Option(
            "--fresh",
            help="Begin anew: on a board at --port, or with a --flash-image, that has learned "
            "already, and in place of what --checkpoint holds.",
            rich_help_panel=TARGET,
        ),
    ] = False,
    go_on: Annotated[
        bool,
        typer.Option(
            "--go-on",
            help="Go on from what the board at --port, or the --flash-image, has learned. A "
            "--checkpoint that is there is gone on from without it.",
            rich_help_panel=TARGET,
        ),
    ] = False,
    flash_image: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Keep the flash of --target native or sim:BOARD in this file, where the device "
            "saves what it has learned at the end and finds it when it starts again. Default: "
            "nothing is kept.",
            rich_help_panel=TARGET,
        ),
        KEEPS,
    ] = None,
    reconnect: Annotated[
        float,
        typer.Option(
            "--reconnect",
            metavar="S",
            help="Look S seconds for a device at --port that is gone, unplugged or reset, and go "
            "on where it was; 0 gives up at once.",
            rich_help_panel=TARGET,
        ),
    ] = RECONNECT_S,
    epochs: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="N",
            help=f"Pass N times over the training samples. Default: {EPOCHS}, or what --steps or "
            "--minutes ask for.",
            rich_help_panel=DURATION,
        ),
        COMMON,
    ] = None,
    lr: RateOpt = AUTO,
    lr_minutes: Annotated[
        float,
        typer.Option(
            metavar="M",
            help="Shorten the trainings of --lr auto so that they take M minutes on a computer "
            "that does 10^9 multiply-accumulates a second. Every computer then finds the same "
            "rate.",
            rich_help_panel=DURATION,
        ),
    ] = RATE_MINUTES,
    schedule: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Choose how the rate changes: cooldown (it falls to 0 in the second half), step "
            "(a quarter of it in the last third), constant or cosine.",
            rich_help_panel=DURATION,
            autocompletion=one_of(("cooldown", "step", "constant", "cosine")),
        ),
    ] = SCHEDULE,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=2**32 - 1,
            metavar="N",
            help="Set the seed of order and rounding. Default: 0, or that of the training before.",
            rich_help_panel=DURATION,
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="N",
            help="Train N steps, in as many epochs as they are; with --epochs, in no more. "
            "Default: all steps of the epochs.",
            rich_help_panel=DURATION,
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            metavar="M",
            help="Train as many steps as take about M minutes; a few are timed first. Building, "
            "the search for the rate, the guard and measuring come on top. Default: no limit.",
            rich_help_panel=DURATION,
        ),
    ] = None,
    balance: Annotated[
        str,
        typer.Option(
            metavar="WHEN",
            help="Give each class as many steps: on, off, or auto (where the largest class has 3 "
            "times the samples of the smallest).",
            rich_help_panel=DATA,
            autocompletion=one_of(("auto", "on", "off")),
        ),
    ] = "auto",
    augment: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="Change each sample at random before a step learns from it. Windows and images: "
            "shift=0.1 (along time, by up to a tenth), noise=0.1 (of the standard deviation), "
            "gain=0.2 (times 0.8 to 1.2), mixup=0.3 (up to 0.3 of another sample of its class). "
            "Images: crop=0.1 (moved by up to a tenth), flip=0.5 (mirrored half of the time). "
            "Commas join them: shift=0.1,noise=0.1. Default: none.",
            rich_help_panel=DATA,
        ),
    ] = None,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify",
            help="Replay every step in the NumPy reference and compare all bits.",
            rich_help_panel=GUARD,
        ),
        COMMON,
    ] = False,
    guard: Annotated[
        bool,
        typer.Option(
            "--guard/--no-guard",
            help="Train only if that helps. This computer first trains without each fifth of the "
            "samples in turn and looks what it makes of that fifth; then the run learns from all "
            "samples. This takes the time of 4 more trainings, of fewer with more than 1000 "
            "samples. Where the file has x_val, the best weights after any epoch are kept "
            "instead.",
            rich_help_panel=GUARD,
        ),
    ] = True,
    guard_minutes: Annotated[
        float,
        typer.Option(
            metavar="M",
            help="Shorten the guard's trainings so that they take M minutes, counted as "
            "--lr-minutes are.",
            rich_help_panel=GUARD,
        ),
    ] = GUARD_MINUTES,
    patience: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="E",
            help="Stop after E epochs without anything better on x_val; 0 never stops. But for "
            "--schedule constant, epochs count in the last third, where the rate is low.",
            rich_help_panel=GUARD,
        ),
    ] = PATIENCE,
    validate_on: Annotated[
        str,
        typer.Option(
            metavar="WHERE",
            help="Choose who computes with x_val: device, or host (from the state that it reads "
            "back, for slow links).",
            rich_help_panel=GUARD,
            autocompletion=one_of(("device", "host")),
        ),
    ] = "device",
    count_instructions: Annotated[
        bool,
        typer.Option(
            "--count-instructions",
            help="Count the instructions of each step, the first apart, or its cycles where the "
            "board's emulator counts those. This needs --target sim:BOARD.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    profile: ProfileOpt = False,
    latents: Annotated[
        str | None,
        typer.Option(
            metavar="WHERE",
            help="Compute the frozen layers once for each sample and keep their output (the "
            "latent) on the host, on the device in --latent-slots, or off. The weights are the "
            "same. Default: host with several epochs, or device with --latent-slots; off with "
            "--receive-ahead, and where instructions are counted without slots.",
            rich_help_panel=LATENTS,
            autocompletion=one_of(("host", "device", "off")),
        ),
    ] = None,
    flash_latents: FlashOpt = None,
    replay: Annotated[
        int | None,
        typer.Option(
            metavar="SLOTS",
            help="Train on x_train once, as a stream, and replay old samples from a buffer of "
            "SLOTS (65,535 at most) with as many of each class. x_old, y_old fill it at first. "
            "Default: no stream.",
            rich_help_panel=LATENTS,
        ),
    ] = None,
    replay_ratio: Annotated[
        int,
        typer.Option(
            metavar="R",
            help="Replay R samples, 100 at most, for each new one of a --replay.",
            rich_help_panel=LATENTS,
        ),
    ] = RATIO,
    state: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Go on from a state that --save wrote. Default: begin with the model's weights.",
            rich_help_panel=DATA,
        ),
        READS,
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a report (.html).", rich_help_panel=OUTPUT),
        WRITES,
        COMMON,
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write what was learned (.npz), for --state.",
            rich_help_panel=OUTPUT,
        ),
        WRITES,
        COMMON,
    ] = None,
    export: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write the trained model (.tflite).", rich_help_panel=OUTPUT
        ),
        WRITES,
        COMMON,
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write all of the run to FILE after each epoch, and go on from it: the same "
            "command again ends as if nothing had stopped it. Default: no checkpoint.",
            rich_help_panel=OUTPUT,
        ),
        KEEPS,
        COMMON,
    ] = None,
    checkpoint_steps: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Write the checkpoint every N steps, too. Default: after each epoch alone.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    record: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write a record of every step (.jsonl), which mcutrain audit proves, unlearn and "
            "blame use. A plan that this command builds then has --chain. Default: no record.",
            rich_help_panel=OUTPUT,
        ),
        WRITES,
    ] = None,
    dry_run: DryRunOpt = False,
    json_: JsonOpt = False,
    quiet: QuietOpt = False,
    verbose: VerboseOpt = False,
) -> None:
    """Train on a data set: in the reference, on a simulated board or on one at a serial port."""
    from mcutrain.host.cli.again import command_again, command_of
    from mcutrain.host.cli.reporter import ConsoleReporter
    from mcutrain.host.extras import require_extra
    from mcutrain.host.show import terminal as show
    from mcutrain.host.show.outcome import outcome_table
    from mcutrain.host.show.profile import profile_tables
    from mcutrain.host.training.job import asked_job
    from mcutrain.host.training.keeping import Keeper
    from mcutrain.host.training.learned import FRESH, GO_ON
    from mcutrain.host.training.run import run_job
    from mcutrain.trainer.errors import Error

    if report is not None:
        require_extra("report")
    if fresh and go_on:
        raise Error("give --fresh or --go-on, not both")
    if port is not None and len(port) > 1:
        from mcutrain.host.cli.several import run_each, tell, training_rows

        if dry_run:
            raise Error("--dry-run looks at one board: give one --port")
        runs = run_each(ctx, port, baud, ("save", "export", "report", "record", "checkpoint"))
        tell(runs, training_rows(runs), json_)
        return
    one_port = port[0] if port else None
    recorder = None
    if record is not None:
        from mcutrain.host.record.writer import RecordWriter, chained

        request, recorder = chained(request, one_port, state), RecordWriter(record)
    job = asked_job(
        request, data, target, port=one_port, epochs=epochs, lr=lr, lr_minutes=lr_minutes,
        schedule=schedule, seed=seed, steps=steps, minutes=minutes, balance=balance,
        augment=augment, verify=verify, guard=guard, guard_minutes=guard_minutes,
        patience=patience, validate_on=validate_on, count_instructions=count_instructions,
        verbose=verbose, baud=baud, state=state, save=save, export=export,
        beginning=GO_ON if go_on else FRESH if fresh else None, latents=latents,
        flash_latents=flash_latents, replay=replay, replay_ratio=replay_ratio, profile=profile,
        reading=reading, checkpoint=checkpoint, checkpoint_steps=checkpoint_steps,
        reconnect_s=reconnect, flash_image=flash_image, keys=given_keys(key),
    )  # fmt: skip
    reporter = ConsoleReporter(progress(quiet))
    if dry_run:
        from mcutrain.host.cli.dry_run import lines, of_training

        told = of_training(job, report, reporter)
        print_json(told) if json_ else show.lines(lines(told))
        return
    keeper = Keeper(save, export, recorder)
    try:
        outcome = run_job(job, reporter, keeper)
    except KeyboardInterrupt as stopped:
        err.print("interrupted: nothing was saved or exported")
        if keeper.has_checkpoint:
            say(f"go on with: {command_of(ctx, without=('fresh',))}")
        raise typer.Exit(interruption(*stopped.args)) from None
    except (Error, OSError):
        if keeper.has_checkpoint:
            say(f"go on from the last checkpoint with: {command_of(ctx, without=('fresh',))}")
        elif keeper.kept:
            again = command_again(ctx, keeper, is_held=False)
            say(f"the weights so far were kept; go on with: {again}")
        raise
    if outcome.result.interrupted and keeper.has_checkpoint:
        say(f"go on with: {command_of(ctx, without=('fresh',))}")
    elif outcome.result.interrupted and not keeper.failures:
        is_kept = keeper.kept or one_port is not None or flash_image is not None
        left = max(0, outcome.result.planned_steps - outcome.result.steps)
        again = f"go on with: {command_again(ctx, keeper, left)}"
        say(again if is_kept else "no file holds them: next time give --save or --export")
    if keeper.failures:
        raise keeper.failures[0]
    if report is not None:
        from mcutrain.host.show.training_page import write_report

        write_report(report, [outcome], command_of(ctx))
    if json_:
        print_json(outcome.to_json())
    else:
        outcome_table([outcome])
        profile_tables(outcome.to_json())
    if outcome.failure:
        raise Error(outcome.failure)
    if outcome.result.interrupted:
        raise typer.Exit(interruption(outcome.result.signal))

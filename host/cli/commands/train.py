# SPDX-License-Identifier: Apache-2.0
"""``train``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mcutrain.host.cli.files import READS, WRITES
from mcutrain.host.cli.options import (
    BaudOpt,
    FlashOpt,
    JsonOpt,
    ProfileOpt,
    RateOpt,
    TargetOpt,
    VerboseOpt,
    takes_request,
)
from mcutrain.host.cli.output import err, interruption, print_json, say
from mcutrain.host.defaults import AUTO, BAUD, EPOCHS, GUARD_MINUTES, PATIENCE, RATE_MINUTES, RATIO

if TYPE_CHECKING:
    from mcutrain.host.request import Request


@takes_request
def train(
    request: Request,
    ctx: typer.Context,
    data: Annotated[
        Path,
        typer.Option(
            help=".npz with x_train, y_train, x_test, y_test, and x_val, y_val if there are: int8, "
            "or float in real units."
        ),
        READS,
    ],
    target: TargetOpt = "reference",
    port: Annotated[str | None, typer.Option(help="Serial port of a flashed board.")] = None,
    baud: BaudOpt = BAUD,
    fresh: Annotated[
        bool,
        typer.Option("--fresh", help="Begin anew on a board that has learned already, at --port."),
    ] = False,
    go_on: Annotated[
        bool, typer.Option("--go-on", help="Go on from what the board at --port has learned.")
    ] = False,
    epochs: Annotated[
        int | None,
        typer.Option(
            min=0,
            help=f"Passes over the training samples; default {EPOCHS}, or as --steps or --minutes "
            "say.",
        ),
    ] = None,
    lr: RateOpt = AUTO,
    lr_minutes: Annotated[
        float,
        typer.Option(
            metavar="M",
            help="At most so long for --lr auto on a computer that does 10^9 multiply-accumulates "
            "a second: counted in these, so that each computer finds the same rate. Trainings that "
            "would take longer are shortened.",
        ),
    ] = RATE_MINUTES,
    schedule: Annotated[
        str,
        typer.Option(help="step (a quarter of the rate in the last third), constant or cosine."),
    ] = "step",
    seed: Annotated[
        int | None,
        typer.Option(
            min=0, max=2**32 - 1, help="Of order and rounding; default 0, or what it was before."
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Train N steps, in as many epochs as they are; with --epochs, in no more.",
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            metavar="M",
            help="Train as many steps as take about M minutes: a few are timed first. Building, "
            "finding the rate, the guard's folds and measuring are not in them.",
        ),
    ] = None,
    balance: Annotated[
        str,
        typer.Option(
            metavar="WHEN",
            help="Give each class as many steps: on, off (samples as they come), or auto: where "
            "the largest class has 3 times the samples of the smallest.",
        ),
    ] = "auto",
    augment: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="Change each sample at random, by seed, before a step learns from it. Of windows "
            "and images: shift=0.1 (along time, by up to a tenth), noise=0.1 (of the standard "
            "deviation), gain=0.2 (times 0.8 to 1.2), mixup=0.3 (up to 0.3 of another sample of "
            "its class). Of images: crop=0.1 (moved by up to a tenth, both ways), flip=0.5 "
            "(mirrored half of the time). Joined by commas: shift=0.1,noise=0.1. Default: none.",
        ),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Replay every step in the reference and compare.")
    ] = False,
    guard: Annotated[
        bool,
        typer.Option(
            "--guard/--no-guard",
            help="Train only if that helps: first, on this computer, without each fifth of the "
            "samples in turn, to see what it makes of that fifth; then on all samples. Costs 4 "
            "more trainings, fewer with more than 1000 samples. With x_val instead: after each "
            "epoch keep the best weights, those before training too; so does a device that trains "
            "without a host, if its firmware asks runtime/guard.h.",
        ),
    ] = True,
    guard_minutes: Annotated[
        float,
        typer.Option(
            metavar="M",
            help="At most so long for these trainings, counted as --lr-minutes are. Those that "
            "would take longer are shortened.",
        ),
    ] = GUARD_MINUTES,
    patience: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="E",
            help="With x_val: stop after E epochs without anything better, 0 never. With step and "
            "cosine they count in the last third, where the rate is low.",
        ),
    ] = PATIENCE,
    validate_on: Annotated[
        str,
        typer.Option(
            metavar="WHERE",
            help="Who computes with x_val: device, or host, from the state read back, for slow "
            "links.",
        ),
    ] = "device",
    count_instructions: Annotated[
        bool,
        typer.Option(
            "--count-instructions",
            help="Exact guest instructions per step, the first apart (sim: targets).",
        ),
    ] = False,
    profile: ProfileOpt = False,
    latents: Annotated[
        str | None,
        typer.Option(
            metavar="WHERE",
            help="Compute the frozen layers once for each sample, and keep their output on the "
            "host, or on the device in --latent-slots; or off. The weights are the same. Default: "
            "with several epochs host, or device if it has --latent-slots; without these off with "
            "--count-instructions or --profile; off with --receive-ahead.",
        ),
    ] = None,
    flash_latents: FlashOpt = None,
    replay: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="SLOTS",
            help="Train on x_train once, in its order, and replay samples from a class-balanced "
            "buffer, which x_old, y_old fill at first.",
        ),
    ] = None,
    replay_ratio: Annotated[
        int, typer.Option(min=0, metavar="R", help="Replayed samples for each new one.")
    ] = RATIO,
    state: Annotated[
        Path | None, typer.Option(help="Go on from a state that --save wrote."), READS
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Write an HTML report here."), WRITES] = None,
    save: Annotated[
        Path | None, typer.Option(help="Write the learned tensors here, as .npz."), WRITES
    ] = None,
    export: Annotated[
        Path | None, typer.Option(help="Write the trained model here, as .tflite."), WRITES
    ] = None,
    json_: JsonOpt = False,
    verbose: VerboseOpt = False,
) -> None:
    """Train on a data set: in the reference, on a simulated board or on one at a serial port."""
    from mcutrain.host.cli.again import command_again, command_of
    from mcutrain.host.extras import require_extra
    from mcutrain.host.show import terminal as show
    from mcutrain.host.show.profile import profile_tables
    from mcutrain.host.training.augmentation import Augmentation
    from mcutrain.host.training.job import TrainingJob
    from mcutrain.host.training.keeping import Keeper
    from mcutrain.host.training.learned import FRESH, GO_ON
    from mcutrain.host.training.loop import TrainingOptions
    from mcutrain.host.training.rates import given_rate
    from mcutrain.host.training.run import run_job
    from mcutrain.trainer.errors import Error

    if report is not None:
        require_extra("report")
    if fresh and go_on:
        raise Error("give --fresh or --go-on, not both")
    for option, value in (("--lr-minutes", lr_minutes), ("--guard-minutes", guard_minutes)):
        if not 0 < value < math.inf:
            raise Error(f"{option} is a number of minutes above 0, not {value:g}")
    if minutes is not None and not (epochs is None and steps is None):
        raise Error("--minutes says how long to train: leave --epochs and --steps out")
    if minutes is not None and not 0 < minutes < math.inf:
        raise Error(f"--minutes is {minutes:g}: give a number above 0, such as 5")
    if epochs is None:
        epochs = max(EPOCHS, steps or 0)  # an epoch has a step or more
    options = TrainingOptions(
        epochs, given_rate(lr), schedule, seed, steps, verify, guard, patience, validate_on,
        monitor=True, balance=balance,
        augment=None if augment is None else Augmentation.parse(augment),
    )  # fmt: skip
    job = TrainingJob(
        request, data, target, port, options, count_instructions, verbose, baud, state, save,
        export, GO_ON if go_on else FRESH if fresh else None, latents=latents,
        flash_latents=flash_latents, replay=replay, replay_ratio=replay_ratio, profile=profile,
        rate_minutes=lr_minutes, guard_minutes=guard_minutes, minutes=minutes,
    )  # fmt: skip
    keeper = Keeper(save, export)
    try:
        outcome = run_job(job, err, keeper)
    except KeyboardInterrupt as stopped:
        err.print("interrupted: nothing was saved or exported")
        raise typer.Exit(interruption(*stopped.args)) from None
    except (Error, OSError):
        if keeper.kept:
            say(f"the weights so far were kept; go on with: {command_again(ctx, keeper)}")
        raise
    if outcome.result.interrupted and not keeper.failures:
        is_kept = keeper.kept or port is not None
        again = f"go on with: {command_again(ctx, keeper)}"
        say(again if is_kept else "no file holds them: next time give --save or --export")
    if keeper.failures:
        raise keeper.failures[0]
    if report is not None:
        from mcutrain.host.show.training_page import write_report

        write_report(report, [outcome], command_of(ctx))
    if json_:
        print_json(outcome.to_json())
    else:
        show.outcome_table([outcome])
        profile_tables(outcome.to_json())
    if outcome.failure:
        raise Error(outcome.failure)
    if outcome.result.interrupted:
        raise typer.Exit(interruption(outcome.result.signal))

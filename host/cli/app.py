# SPDX-License-Identifier: Apache-2.0
"""The ``mcutrain`` command: each verb calls one function of the package and prints the result."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from mcutrain.host.budget.command import Budget, fitted
from mcutrain.host.building.firmware import build as build_firmware
from mcutrain.host.building.firmware import generate as generate_code
from mcutrain.host.building.target import Kind, Target
from mcutrain.host.cli.check import check_model
from mcutrain.host.cli.compare import other_options
from mcutrain.host.cli.demo import REPORT, run_demo
from mcutrain.host.cli.options import takes_request
from mcutrain.host.cli.ports import serial_ports
from mcutrain.host.cost import (
    format_bytes,
    format_prices,
    layer_rows,
    measured,
    planned,
    region_rows,
    resident_rows,
)
from mcutrain.host.files import check_writable
from mcutrain.host.link.transport import BAUD
from mcutrain.host.request import Request
from mcutrain.host.search.budget import Limits
from mcutrain.host.search.command import Job as SearchJob
from mcutrain.host.search.command import run_search
from mcutrain.host.search.effort import Plan as SearchPlan
from mcutrain.host.show import budget as show_budget
from mcutrain.host.show import terminal as show
from mcutrain.host.show.picture import Pictured
from mcutrain.host.show.plan_page import write_pictures
from mcutrain.host.show.training_page import write_report
from mcutrain.host.sizes import bytes_option
from mcutrain.host.training.calibration import calibrated
from mcutrain.host.training.export import export_saved, export_state
from mcutrain.host.training.flash_latents import with_flash_latents
from mcutrain.host.training.guard import PATIENCE
from mcutrain.host.training.job import Job, run_job, warn_of_clipped
from mcutrain.host.training.loop import Options
from mcutrain.host.training.replay import RATIO
from mcutrain.host.training.state import save_state
from mcutrain.trainer.errors import Error
from mcutrain.trainer.simplify import least_macs
from mcutrain.trainer.tflite.reader import load

app = typer.Typer(
    name="mcutrain",
    help="Train the int8 network a microcontroller already runs, on the microcontroller.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
err = Console(stderr=True)
INTERRUPTED = 130  # as a shell has it for SIGINT

ModelArg = Annotated[Path, typer.Argument(metavar="MODEL", help="An int8 .tflite file.")]
TargetOpt = Annotated[
    str, typer.Option("--target", metavar="T", help="reference, native or sim:BOARD.")
]
JsonOpt = Annotated[
    bool, typer.Option("--json", help="Print JSON on standard output, nothing else.")
]
SlotsOpt = Annotated[
    int,
    typer.Option(
        "--latent-slots", min=0, metavar="N", help="Room in RAM for N latents, to be replayed."
    ),
]
FlashOpt = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Keep the latents of this .npz in flash: of x_old, y_old if there are, else of "
        "x_train, y_train.",
    ),
]
VerboseOpt = Annotated[bool, typer.Option("--verbose", "-v", help="Show the compiler's output.")]


def print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value) + "\n")


@app.command(epilog="Example: mcutrain inspect model.tflite")
def inspect(model: ModelArg, json_: JsonOpt = False) -> None:
    """Show a model's layers: shapes, quantisation, operations, bytes, what can learn."""
    loaded = load(model)
    rows, source, macs = show.model_rows(loaded), show.input_row(loaded), least_macs(loaded)
    if json_:
        print_json({"model": str(model), "input": source, "layers": rows, "inference_macs": macs})
    else:
        show.model_table(model, source, rows, macs)


@app.command(
    epilog="Examples: mcutrain plan model.tflite --update last:2 --target sim:mps2_an386; "
    "mcutrain plan model.tflite --html plan.html --compare '--errors e8'"
)
@takes_request
def plan(
    request: Request,
    ctx: typer.Context,
    target: TargetOpt = "reference",
    latent_slots: SlotsOpt = 0,
    flash_latents: FlashOpt = None,
    sram: Annotated[
        int | None,
        typer.Option(
            metavar="BYTES",
            parser=bytes_option,
            help="RAM there is, such as 64K: choose --stream-input, --recompute and formats so "
            "that it is enough, or say what would help. Without a target for arena, learned state, "
            "kept latents and the next sample.",
        ),
    ] = None,
    html: Annotated[
        Path | None, typer.Option(help="Draw the arena over the step in a page, here.")
    ] = None,
    png: Annotated[Path | None, typer.Option(help="The same picture as PNG, here.")] = None,
    compare: Annotated[
        str | None,
        typer.Option(
            metavar="OPTIONS",
            help="A second plan beside the first: the options in which it differs, in one string, "
            "such as '--update full --errors e8'; another model may stand in front.",
        ),
    ] = None,
    json_: JsonOpt = False,
    verbose: VerboseOpt = False,
) -> None:
    """Show what training takes: RAM, flash, operations. With a target, measured in a real build."""
    check_writable(html)
    check_writable(png)
    fit = None
    if sram is not None:
        budget = Budget(sram, Target.parse(target), latent_slots, flash_latents, verbose)
        fit = fitted(request, budget, err)
        if fit.advice is not None:
            print_json(fit.to_json()) if json_ else show_budget.advice_lines(fit)
            raise fit.advice.error()
        request = fit.request
    plans = [priced(request, target, latent_slots, flash_latents, verbose)]
    cost = plans[0].cost
    if compare is not None:
        other, rest = other_options(ctx, compare)
        plans.append(priced(other, **rest, verbose=verbose))
        cost["compared"] = plans[1].cost
    if html is not None or png is not None:
        write_pictures(plans, html, png)
    if fit is not None:
        cost |= fit.to_json()
    if json_:
        print_json(cost)
        return
    for each in plans:
        show.cost_table(each.cost)
    if fit is not None:
        show_budget.fit_lines(fit)


def priced(
    request: Request, target: str, latent_slots: int, flash_latents: Path | None, verbose: bool
) -> Pictured:
    """The plan of a request and what it costs."""
    chosen = with_flash_latents(request.plan().with_latent_slots(latent_slots), flash_latents)
    place = Target.parse(target)
    cost, prices = planned(chosen), format_prices(request, chosen)
    if place.kind is not Kind.REFERENCE:
        with err.status(f"building for {target}"):
            built = build_firmware(chosen, place, verbose)
        chosen = built.plan
        cost = {**measured(built), "rows": resident_rows(built)}
    cost["layers"] = layer_rows(chosen)
    cost["format_bytes"] = format_bytes(chosen)
    cost["format_prices"] = prices
    cost["regions"] = region_rows(chosen)
    given = {"latent-slots": latent_slots, "flash-latents": flash_latents}
    others = [f"--{option} {value}" for option, value in given.items() if value]
    built_for = [] if place.kind is Kind.REFERENCE else [target]
    names = [chosen.name, chosen.scheme.name, *request.arguments(), *others, *built_for]
    return Pictured(chosen, cost, ", ".join(names))


@app.command(epilog="Example: mcutrain generate model.tflite --update head --output gen/")
@takes_request
def generate(
    request: Request,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the C.")] = Path("gen"),
    target: TargetOpt = "native",
    latent_slots: SlotsOpt = 0,
    flash_latents: FlashOpt = None,
    json_: JsonOpt = False,
) -> None:
    """Write the C that trains the model: static buffers, no heap, one step function."""
    chosen = with_flash_latents(request.plan().with_latent_slots(latent_slots), flash_latents)
    files = [str(path) for path in generate_code(chosen, output, Target.parse(target).board)]
    if json_:
        print_json({"files": files})
    else:
        show.lines(f"wrote {f}" for f in files)


@app.command(epilog="Example: mcutrain build model.tflite --update last:2 --target sim:mps2_an386")
@takes_request
def build(
    request: Request,
    target: TargetOpt = "native",
    latent_slots: SlotsOpt = 0,
    flash_latents: FlashOpt = None,
    json_: JsonOpt = False,
    verbose: VerboseOpt = False,
) -> None:
    """Build the firmware that serves the model on the link."""
    place = Target.parse(target)
    if place.kind is Kind.REFERENCE:
        raise Error("the reference needs no firmware: give --target native or sim:BOARD")
    chosen = with_flash_latents(request.plan().with_latent_slots(latent_slots), flash_latents)
    with err.status(f"building for {target}"):
        cost = measured(build_firmware(chosen, place, verbose))
    print_json(cost) if json_ else show.cost_table(cost)


@app.command(
    epilog="Example: mcutrain train model.tflite --data mine.npz --update last:2 --classes 5 "
    "--target native --verify"
)
@takes_request
def train(
    request: Request,
    data: Annotated[
        Path,
        typer.Option(
            help=".npz with x_train, y_train, x_test, y_test, and x_val, y_val if there are: int8, "
            "or float in real units."
        ),
    ],
    target: TargetOpt = "reference",
    port: Annotated[str | None, typer.Option(help="Serial port of a flashed board.")] = None,
    baud: Annotated[int, typer.Option(min=1, help="Speed of the serial port.")] = BAUD,
    epochs: Annotated[int, typer.Option(min=0, help="Passes over the training samples.")] = 10,
    lr: Annotated[
        float | None,
        typer.Option(help="Learning rate; default 2^-6, 2^-7 if all layers learn, 2^-9 for mse."),
    ] = None,
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
    steps: Annotated[int | None, typer.Option(min=0, help="Stop after N steps.")] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Replay every step in the reference and compare.")
    ] = False,
    guard: Annotated[
        bool,
        typer.Option(
            "--guard/--no-guard",
            help="Validate after each epoch and keep the best weights, those before training too.",
        ),
    ] = True,
    validation: Annotated[
        float | None,
        typer.Option(
            metavar="F",
            help="Share of each class's training samples to validate with; default 0.2, if that "
            "is 2 of each. They are not trained on.",
        ),
    ] = None,
    patience: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="E",
            help="Stop after E epochs without anything better, 0 never. With step and cosine they "
            "count in the last third, where the rate is low.",
        ),
    ] = PATIENCE,
    validate_on: Annotated[
        str,
        typer.Option(
            metavar="WHERE", help="device, or host: from the state read back, for slow links."
        ),
    ] = "device",
    count_instructions: Annotated[
        bool,
        typer.Option(
            "--count-instructions", help="Exact guest instructions per step (sim: targets)."
        ),
    ] = False,
    latents: Annotated[
        str | None,
        typer.Option(
            metavar="WHERE",
            help="Compute the frozen layers once for each sample, and keep their output on the "
            "host, or on the device in --latent-slots; or off. The weights are the same. Default: "
            "host with several epochs, but off with --count-instructions or --receive-ahead.",
        ),
    ] = None,
    latent_slots: SlotsOpt = 0,
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
        Path | None, typer.Option(help="Go on from a state that --save wrote.")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Write an HTML report here.")] = None,
    save: Annotated[
        Path | None, typer.Option(help="Write the learned tensors here, as .npz.")
    ] = None,
    export: Annotated[
        Path | None, typer.Option(help="Write the trained model here, as .tflite.")
    ] = None,
    json_: JsonOpt = False,
    verbose: VerboseOpt = False,
) -> None:
    """Train on a data set: in the reference, on a simulated board or on one at a serial port."""
    check_writable(report)
    check_writable(save)
    if validation is not None and not guard:
        raise Error("--validation is for the guard: give it or --no-guard, not both")
    options = Options(
        epochs, lr, schedule, seed, steps, verify, guard, patience, validate_on, monitor=True
    )
    job = Job(
        request, data, target, port, options, count_instructions, verbose, baud, state, export,
        validation, latents=latents, latent_slots=latent_slots, flash_latents=flash_latents,
        replay=replay, replay_ratio=replay_ratio,
    )  # fmt: skip
    try:
        outcome = run_job(job, err)
    except KeyboardInterrupt:
        err.print("interrupted: nothing was saved or exported")
        raise typer.Exit(INTERRUPTED) from None
    if report is not None:
        write_report(report, [outcome])
    if save is not None and not outcome.failure:
        save_state(save, outcome.plan, outcome.result.state, outcome.job.request)
    if export is not None and not outcome.failure:
        export_state(outcome.job.request, outcome.plan, outcome.result.state, export)
    print_json(outcome.to_json()) if json_ else show.outcome_table([outcome])
    if outcome.failure:
        raise Error(outcome.failure)
    if outcome.result.interrupted:
        raise typer.Exit(INTERRUPTED)


@app.command(
    epilog="Examples: mcutrain search model.tflite --data mine.npz --sram 65536 --classes 5; "
    "mcutrain search model.tflite --data mine.npz --sram 131072 --target sim:mps2_an386 "
    "--trials 64 --plot front.png"
)
@takes_request
def search(
    request: Request,
    data: Annotated[
        Path,
        typer.Option(
            help=".npz as for train. An array group_train says whose each sample is: the scheme "
            "is then for one person at a time. The test samples are not looked at."
        ),
    ],
    sram: Annotated[
        int,
        typer.Option(metavar="BYTES", parser=bytes_option, help="RAM there is, such as 64K."),
    ],
    flash: Annotated[
        int | None,
        typer.Option(metavar="BYTES", parser=bytes_option, help="Flash there is."),
    ] = None,
    instructions: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="For a step; counted on a sim: target. Without one they are taken as MACs.",
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
    lr: Annotated[float | None, typer.Option(help="Learning rate; default as for train.")] = None,
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
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The scheme file to write.")
    ] = Path("scheme.toml"),
    plot: Annotated[
        Path | None, typer.Option(help="Draw accuracy over bytes here: .png, .svg or .pdf.")
    ] = None,
    json_: JsonOpt = False,
) -> None:
    """Choose what learns: the most accurate scheme for your data within a budget of bytes."""
    effort = SearchPlan(trials, promote, folds, epochs, trial_steps, seed)
    job = SearchJob(
        request, data, Limits(sram, flash, instructions), effort, target, validation, lr, jobs,
        study, storage, output, plot,
    )  # fmt: skip
    try:
        found = run_search(job, err)
    except KeyboardInterrupt:
        err.print(f"interrupted: {job.folder} keeps what was measured; the same command goes on")
        raise typer.Exit(INTERRUPTED) from None
    print_json(found) if json_ else show.search_table(found)


@app.command(
    name="export",
    epilog="Example: mcutrain export model.tflite --state learned.npz --output trained.tflite",
)
def export_command(
    model: ModelArg,
    state: Annotated[Path, typer.Option(help="What `mcutrain train --save` wrote.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The .tflite file to write.")],
    resumable: Annotated[
        bool,
        typer.Option(help="Keep in the file what training needs to go on (fractions, histories)."),
    ] = True,
    json_: JsonOpt = False,
) -> None:
    """Write a trained network as .tflite: the model's file with what was learned in it."""
    written = export_saved(model, state, output, resumable)
    print_json(written) if json_ else show.export_lines(written)


@app.command(epilog="Example: mcutrain demo")
def demo(
    report: Annotated[Path, typer.Option(help="Write the HTML report here.")] = REPORT,
    fast: Annotated[bool, typer.Option("--fast", help="Fewer epochs.")] = False,
    json_: JsonOpt = False,
) -> None:
    """Adapt the smartwatch example to one person's left wrist, natively and on a Cortex-M4."""
    check_writable(report)
    outcomes = run_demo(err, report, fast)
    if json_:
        print_json({"runs": [o.to_json() for o in outcomes], "report": str(report)})
    else:
        show.outcome_table(outcomes)
        show.lines([f"report: {report}"])
    for outcome in outcomes:
        if outcome.failure:
            raise Error(outcome.failure)


@app.command(epilog="Example: mcutrain check model.tflite")
def check(model: ModelArg, json_: JsonOpt = False) -> None:
    """Compare every operator of the model with tflite-micro, bit for bit."""
    result = check_model(model)
    print_json(result) if json_ else show.check_table(result)
    if result["mismatches"]:
        raise Error(f"{result['mismatches']} outputs differ from tflite-micro")


@app.command(
    "calibrate",
    epilog="Example: mcutrain calibrate model.tflite --data mine.npz --output mine.tflite",
)
def calibrate_command(
    model: ModelArg,
    data: Annotated[Path, typer.Option(help=".npz as for train; x_train is looked at alone.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The .tflite file to write.")],
    samples: Annotated[int, typer.Option(min=1, metavar="N", help="As many of x_train.")] = 200,
    json_: JsonOpt = False,
) -> None:
    """Fit the ranges of a model's activations to your samples, before it is trained.

    A model holds what its activations reached on the data that it was quantised with. Where yours
    reach less or more, it trains better with ranges of their own. Weights stay as they are.
    """
    with err.status(f"{model}: {samples} samples") as status:
        found = calibrated(
            model, data, samples, output,
            lambda done, total: status.update(f"{model}: pass {done}, of {total} at most"),
        )  # fmt: skip
    warn_of_clipped(found["clipped"], err)
    print_json(found) if json_ else show.calibration_table(found)


@app.command(epilog="Example: mcutrain ports")
def ports(json_: JsonOpt = False) -> None:
    """List serial ports and simulated boards."""
    found = serial_ports()
    print_json(found) if json_ else show.ports_table(found)


def main() -> None:
    """Entry point: errors the user can mend are one line on standard error, status 1."""
    try:
        app()
    except (Error, OSError) as error:
        err.print(f"error: {error}", style=None, markup=False, highlight=False, soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        err.print("interrupted")
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: Apache-2.0
"""The ``mcutrain`` command: the list of its commands, and how what went wrong is told."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from mcutrain.host.cli.commands.boards import flash, monitor, ports, selftest
from mcutrain.host.cli.commands.build import build, generate
from mcutrain.host.cli.commands.collect import collect
from mcutrain.host.cli.commands.evaluate import evaluate
from mcutrain.host.cli.commands.kept import load, push, reset, save
from mcutrain.host.cli.commands.key import key
from mcutrain.host.cli.commands.models import calibrate, check, export, inspect
from mcutrain.host.cli.commands.new import new
from mcutrain.host.cli.commands.others import clean, demo
from mcutrain.host.cli.commands.plan import plan
from mcutrain.host.cli.commands.pull import pull
from mcutrain.host.cli.commands.records import audit, blame, unlearn
from mcutrain.host.cli.commands.report import report
from mcutrain.host.cli.commands.search import search
from mcutrain.host.cli.commands.shrink import shrink
from mcutrain.host.cli.commands.train import train
from mcutrain.host.cli.commands.verify import verify
from mcutrain.host.cli.completion import heed_colons
from mcutrain.host.cli.help_page import PagedGroup
from mcutrain.host.cli.output import INTERRUPTED, drop_output, err, say
from mcutrain.host.cli.panels import DEPLOY, START, TOOLS, TRAIN
from mcutrain.host.cli.register import register
from mcutrain.host.errors import UndecidedError
from mcutrain.host.told import told
from mcutrain.trainer.errors import Error

NAME = "mcutrain"
# In the order of the help page, each with its panel there, and the example below its own page.
COMMANDS: tuple[tuple[Callable[..., None], str, str], ...] = (
    (demo, START, "Examples: mcutrain demo; mcutrain demo camera"),
    (inspect, START, "Example: mcutrain inspect model.tflite"),
    (
        plan,
        START,
        "Examples: mcutrain plan model.tflite --update last:2 --target sim:mps2_an386; "
        "mcutrain plan model.tflite --html plan.html --compare '--errors e8'",
    ),
    (
        train,
        TRAIN,
        "Examples: mcutrain train model.tflite --data mine.npz --epochs 99 --checkpoint run.npz; "
        "mcutrain train model.tflite --data mine.npz --update last:2 --classes 5 "
        "--target native --verify",
    ),
    (
        audit,
        TRAIN,
        "Examples: mcutrain audit run.jsonl --data mine.npz; mcutrain audit run.jsonl --data "
        "mine.npz --state learned.npz",
    ),
    (
        unlearn,
        TRAIN,
        "Example: mcutrain unlearn run.jsonl --data mine.npz --without 3,7 --save new.npz "
        "--record new.jsonl",
    ),
    (blame, TRAIN, "Example: mcutrain blame run.jsonl --data mine.npz"),
    (
        evaluate,
        START,
        "Examples: mcutrain evaluate model.tflite --data photos/; mcutrain evaluate model.tflite "
        "--state learned.npz --data mine.npz --target native",
    ),
    (
        search,
        TRAIN,
        "Examples: mcutrain search model.tflite --data mine.npz --sram 65536 --classes 5; "
        "mcutrain search model.tflite --data mine.npz --sram 131072 --target sim:mps2_an386 "
        "--trials 64 --plot front.png",
    ),
    (
        shrink,
        TRAIN,
        "Examples: mcutrain shrink model.tflite --data photos/ --sram 32K --output small.tflite; "
        "mcutrain shrink model.tflite --data mine.npz --sram 16K --search --report small.html",
    ),
    (
        collect,
        TRAIN,
        "Examples: mcutrain collect --port auto --classes wave,circle --output mine.npz; mcutrain "
        "collect --port /dev/ttyACM0 --classes a,b --per-class 20 --output mine.npz --append",
    ),
    (
        calibrate,
        TRAIN,
        "Example: mcutrain calibrate model.tflite --data mine.npz --output mine.tflite",
    ),
    (
        new,
        DEPLOY,
        "Example: mcutrain new my-firmware --model model.tflite --update last:2 --board native",
    ),
    (
        generate,
        DEPLOY,
        "Example: mcutrain generate model.tflite --update head --output gen/",
    ),
    (build, DEPLOY, "Example: mcutrain build model.tflite --update last:2 --target sim:mps2_an386"),
    (
        flash,
        DEPLOY,
        "Examples: mcutrain flash model.tflite --update last:2 --board nucleo_f446re; mcutrain "
        "flash --elf firmware.elf --board pico --dry-run",
    ),
    (
        key,
        DEPLOY,
        "Examples: mcutrain key new device.key; mcutrain key derive device.key --right read "
        "--right train --output service.key",
    ),
    (
        verify,
        DEPLOY,
        "Example: mcutrain verify model.tflite --update last:2 --elf firmware.elf --data mine.npz",
    ),
    (
        pull,
        DEPLOY,
        "Example: mcutrain pull model.tflite --update last:2 --port /dev/ttyACM0 --save s.npz",
    ),
    (save, DEPLOY, "Example: mcutrain save --port /dev/ttyACM0"),
    (load, DEPLOY, "Example: mcutrain load --port /dev/ttyACM0"),
    (
        push,
        DEPLOY,
        "Example: mcutrain push model.tflite --update last:2 --state s.npz --port /dev/ttyACM0",
    ),
    (
        reset,
        DEPLOY,
        "Examples: mcutrain reset --port /dev/ttyACM0; mcutrain reset --saved --port /dev/ttyACM0",
    ),
    (
        export,
        DEPLOY,
        "Example: mcutrain export model.tflite --state learned.npz --output trained.tflite",
    ),
    (report, TOOLS, "Example: mcutrain report native.html board.html -o both.html"),
    (check, TOOLS, "Example: mcutrain check model.tflite"),
    (ports, TOOLS, "Examples: mcutrain ports; mcutrain ports --no-ask"),
    (
        monitor,
        TOOLS,
        "Examples: mcutrain monitor --port auto; mcutrain monitor --file recorded.bin --json",
    ),
    (
        selftest,
        TOOLS,
        "Examples: mcutrain selftest --port auto --output selftest.json; mcutrain selftest "
        "model.tflite --update head --port /dev/ttyACM0",
    ),
    (clean, TOOLS, "Example: mcutrain clean"),
)

app = typer.Typer(
    name=NAME,
    cls=PagedGroup,
    help="Train the int8 network a microcontroller already runs, on the microcontroller.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def print_version(is_wanted: bool) -> None:
    if is_wanted:
        from importlib.metadata import PackageNotFoundError, version

        try:
            typer.echo(f"mcutrain {version('mcutrain')}")
        except PackageNotFoundError:
            typer.echo("mcutrain, which is not installed: a checkout")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=print_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """What stands before a command."""


for command, panel, example in COMMANDS:
    register(app, command, panel, example)


def main() -> None:
    """Entry point: errors the user can mend are one line on standard error, with status 1; with
    status 2 where an option is missing."""
    # The reference's matrices are small: threads that wait for each other cost more than they save,
    # and take the core that a device on this computer runs on. Before NumPy is imported.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    heed_colons(os.environ)
    try:
        app(prog_name=NAME)
    except (Error, OSError) as error:
        say(f"error: {told(error)}")
        drop_output()
        sys.exit(2 if isinstance(error, UndecidedError) else 1)
    except KeyboardInterrupt:
        err.print("interrupted")
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()

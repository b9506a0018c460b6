# SPDX-License-Identifier: Apache-2.0
"""``ports``, ``flash``, ``monitor`` and ``selftest``: boards that are attached to this computer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mcutrain.host.cli.completion import one_of, real_boards
from mcutrain.host.cli.files import READS, WRITES
from mcutrain.host.cli.keys import given_keys
from mcutrain.host.cli.options import (
    BaudOpt,
    DryRunOpt,
    FlashOpt,
    JsonOpt,
    KeyOpt,
    PortsOption,
    QuietOpt,
    VerboseOpt,
    takes_optional_request,
)
from mcutrain.host.cli.output import err, print_json, progress
from mcutrain.host.cli.panels import COMMON, OUTPUT, TARGET
from mcutrain.host.defaults import AUTO, BAUD

if TYPE_CHECKING:
    from mcutrain.host.request import Request

TOOLS = (
    "platformio", "drive", "openocd", "st-flash", "dfu-util", "picotool", "esptool", "avrdude",
    "bossac", "teensy_loader_cli",
)  # fmt: skip


def ports(
    no_ask: Annotated[
        bool,
        typer.Option(
            "--no-ask",
            help="Leave the ports alone: to open a port resets many boards. Without it each port "
            "that no other program has is asked which firmware runs there.",
            rich_help_panel=TARGET,
        ),
        COMMON,
    ] = False,
    baud: BaudOpt = BAUD,
    json_: JsonOpt = False,
) -> None:
    """List serial ports, with the boards and firmware there, and simulated boards."""
    from mcutrain.host.cli.ports import all_ports
    from mcutrain.host.show import terminal as show

    with err.status("asking the ports"):
        found = all_ports(baud, asks=not no_ask)
    print_json(found) if json_ else show.ports_table(found)


@takes_optional_request
def flash(
    request: Request | None,
    board: Annotated[
        str,
        typer.Option(
            metavar="BOARD",
            help="Flash this board, by its name in `mcutrain generate --target board:BOARD`.",
            rich_help_panel=TARGET,
            autocompletion=real_boards,
        ),
        COMMON,
    ],
    elf: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Flash this firmware. Default: the firmware of MODEL, which is built first.",
            rich_help_panel=TARGET,
        ),
        READS,
        COMMON,
    ] = None,
    port: Annotated[
        str | None,
        typer.Option(
            metavar="PORT",
            help="Flash at this serial port; auto takes the one that is the board by its USB id. "
            "Default: auto where the tool needs a port.",
            rich_help_panel=TARGET,
        ),
        COMMON,
    ] = None,
    tool: Annotated[
        str | None,
        typer.Option(
            metavar="TOOL",
            help=f"Flash with this tool: {', '.join(TOOLS)}. Default: platformio where MODEL is "
            "built, else the board's drive or the first tool that is there.",
            rich_help_panel=TARGET,
            autocompletion=one_of(TOOLS),
        ),
    ] = None,
    wait: Annotated[
        float,
        typer.Option(
            min=0,
            metavar="S",
            help="Wait S seconds for the firmware to answer; 0 does not wait.",
            rich_help_panel=TARGET,
        ),
    ] = 20.0,
    baud: BaudOpt = BAUD,
    key: KeyOpt = None,
    dry_run: DryRunOpt = False,
    json_: JsonOpt = False,
    verbose: VerboseOpt = False,
) -> None:
    """Put a firmware onto a board, and wait until it answers."""
    from mcutrain.host.flashing import flash as flashing
    from mcutrain.host.show import terminal as show

    job = flashing.FlashJob(board, request, elf, port, baud, tool, wait, verbose, given_keys(key))
    if dry_run:
        told = flashing.dry_run(job)
    else:
        with err.status(f"flashing {board}"):
            told = flashing.flash(job)
    print_json(told.to_json()) if json_ else show.lines(told.lines())


def monitor(
    port: Annotated[
        str | None,
        typer.Option(
            metavar="PORT",
            help="Watch this serial port; auto takes the one board that answers. Default: --file.",
            rich_help_panel=TARGET,
        ),
        COMMON,
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Read bytes that were recorded. Default: watch --port.",
            rich_help_panel=TARGET,
        ),
        READS,
        COMMON,
    ] = None,
    baud: BaudOpt = BAUD,
    seconds: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="S",
            help="Stop after S seconds. Default: when it is interrupted.",
            rich_help_panel=TARGET,
        ),
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Record the bytes too, for --file. Default: not recorded.",
            rich_help_panel=OUTPUT,
        ),
        WRITES,
    ] = None,
    json_: JsonOpt = False,
) -> None:
    """Show what comes over a line: text that a firmware prints, and the frames of the link.

    Nothing is sent. With --json each line is an object.
    """
    from mcutrain.host.attached.choose import chosen_port
    from mcutrain.host.attached.watching import watched_file, watched_port
    from mcutrain.host.show import terminal as show
    from mcutrain.trainer.errors import Error

    if (port is None) == (file is None):
        raise Error("give --port PORT to watch a line, or --file FILE of recorded bytes")
    if port is not None:
        seen = watched_port(chosen_port(port, baud), baud, seconds, save)
    elif save is not None or seconds is not None:
        raise Error("--save and --seconds are for --port")
    else:
        assert file is not None
        seen = watched_file(file)
    for each in seen:
        print_json(each.to_json()) if json_ else show.lines([str(each)])


@takes_optional_request
def selftest(
    request: Request | None,
    ctx: typer.Context,
    port: Annotated[list[str] | None, PortsOption, COMMON] = None,
    baud: BaudOpt = BAUD,
    key: KeyOpt = None,
    steps: Annotated[
        int,
        typer.Option(min=1, metavar="N", help="Compare N steps.", rich_help_panel=TARGET),
        COMMON,
    ] = 10,
    flash_latents: FlashOpt = None,
    board: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="Say in the file which board it is. Default: nothing.",
            rich_help_panel=OUTPUT,
        ),
        COMMON,
    ] = None,
    chip: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="Say in the file which chip it has. Default: nothing.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write what was found (.json), for others to read. Default: nothing is written.",
            rich_help_panel=OUTPUT,
        ),
        WRITES,
        COMMON,
    ] = None,
    json_: JsonOpt = False,
    quiet: QuietOpt = False,
) -> None:
    """Compare a board with the reference, on random samples, in every bit, and count cycles.

    MODEL and its options are those of the firmware. Without them it is the smartwatch example, with
    --update last:2. What the board has learned is put back at the end.
    """
    from mcutrain.host.cli.reporter import ConsoleReporter
    from mcutrain.host.files import write_whole
    from mcutrain.host.selftest import SelftestJob, example_request, run_selftest, written
    from mcutrain.host.show import terminal as show
    from mcutrain.trainer.errors import Error

    if port is not None and len(port) > 1:
        from mcutrain.host.cli.several import run_each, selftest_rows, tell

        runs = run_each(ctx, port, baud, ("output",))
        tell(runs, selftest_rows(runs), json_)
        return
    asked = example_request() if request is None else request
    one, keys = port[0] if port else AUTO, given_keys(key)
    job = SelftestJob(asked, one, baud, steps, flash_latents, board, chip, keys)
    found = run_selftest(job, ConsoleReporter(progress(quiet)))
    if output is not None:
        write_whole(output, written(found))
    print_json(found.document) if json_ else show.lines(found.lines())
    if found.failure:
        raise Error(f"{found.document['port']}: {found.failure}")

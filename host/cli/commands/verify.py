# SPDX-License-Identifier: Apache-2.0
"""``verify``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mcutrain.host.cli.completion import one_of
from mcutrain.host.cli.data_options import HELP, takes_data_options
from mcutrain.host.cli.files import READS
from mcutrain.host.cli.options import JsonOpt, QuietOpt, takes_request
from mcutrain.host.cli.output import print_json, progress
from mcutrain.host.cli.panels import COMMON, DATA, DURATION, TARGET
from mcutrain.host.data.options import DataOptions

if TYPE_CHECKING:
    from mcutrain.host.request import Request

CORES = ("cortex-m0", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m33", "riscv32")


@takes_request
@takes_data_options
def verify(
    request: Request,
    elf: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="Test this program: an ELF file that the linker wrote, with its symbols.",
            rich_help_panel=TARGET,
        ),
        READS,
        COMMON,
    ],
    data: Annotated[
        Path, typer.Option(metavar="PATH", help=HELP, rich_help_panel=DATA), READS, COMMON
    ],
    reading: DataOptions,
    core: Annotated[
        str | None,
        typer.Option(
            metavar="CORE",
            help=f"Execute it on this core: {', '.join(CORES)}. Default: the one that it was "
            "linked for.",
            rich_help_panel=TARGET,
            autocompletion=one_of(CORES),
        ),
        COMMON,
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Take N steps. Default: one with each training sample.",
            rich_help_panel=DURATION,
        ),
        COMMON,
    ] = None,
    seed: Annotated[
        int,
        typer.Option(
            min=0,
            max=0xFFFFFFFF,
            metavar="S",
            help="Round with this seed.",
            rich_help_panel=DURATION,
        ),
    ] = 0,
    max_instructions: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Give up on a step that has not ended after N instructions. Default: far more "
            "than its products take.",
            rich_help_panel=DURATION,
        ),
    ] = None,
    json_: JsonOpt = False,
    quiet: QuietOpt = False,
) -> None:
    """Test your own firmware in this process: the model in a linked program is trained beside the
    reference, and every step must be equal."""
    from mcutrain.host.cli.reporter import ConsoleReporter
    from mcutrain.host.show import terminal as show
    from mcutrain.host.show.program import program_lines
    from mcutrain.host.training.verify_program import VerifyJob, run_verify
    from mcutrain.trainer.errors import Error

    job = VerifyJob(request, elf, data, steps, seed, core, max_instructions, reading)
    found = run_verify(job, ConsoleReporter(progress(quiet)))
    if json_:
        print_json(found.to_json())
    else:
        show.lines(program_lines(found))
    if found.failure:
        raise Error(found.failure)

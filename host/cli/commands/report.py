# SPDX-License-Identifier: Apache-2.0
"""``report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mcutrain.host.cli.files import WRITES, FileMark
from mcutrain.host.cli.options import JsonOpt
from mcutrain.host.cli.output import print_json
from mcutrain.host.cli.panels import OUTPUT
from mcutrain.host.outputs import Role


def report(
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...", help="Pages of train --report, or the report.json that they hold."
        ),
        FileMark(Role.READ, list),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Write the page here (.html).",
            rich_help_panel=OUTPUT,
        ),
        WRITES,
    ],
    json_: JsonOpt = False,
) -> None:
    """Make one page of the reports of several runs, to compare them."""
    from mcutrain.host.extras import require_extra
    from mcutrain.host.show import terminal as show
    from mcutrain.host.show.documents import write_joined

    require_extra("report")
    write_joined(output, sources)
    if json_:
        print_json({"output": str(output)})
    else:
        show.lines([f"report: {output}"])

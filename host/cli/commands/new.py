# SPDX-License-Identifier: Apache-2.0
"""``new``."""

from __future__ import annotations

import functools
import inspect
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mcutrain.host.cli.completion import boards
from mcutrain.host.cli.files import FILLS, READS
from mcutrain.host.cli.options import PLAN_PARAMETERS, DryRunOpt, JsonOpt, request
from mcutrain.host.cli.output import err, print_json
from mcutrain.host.cli.panels import COMMON, OUTPUT, TARGET

if TYPE_CHECKING:
    from mcutrain.host.request import Request

ModelOpt = Annotated[
    Path,
    typer.Option(
        "--model",
        metavar="MODEL",
        help="Take this int8 .tflite file as the model. It must be given.",
        rich_help_panel=TARGET,
    ),
    READS,
    COMMON,
]
BoardOpt = Annotated[
    str,
    typer.Option(
        "--board",
        metavar="BOARD",
        help="Make the project for this board: native, sim:BOARD or a real board; mcutrain ports "
        "lists them. Default: native.",
        rich_help_panel=TARGET,
        autocompletion=boards,
    ),
    COMMON,
]


def takes_plan(command: Callable[..., None]) -> Callable[..., None]:
    """The command with PLAN_PARAMETERS in place of its own first one, a request; its model is an
    option."""
    names = {"Request": object}
    own = list(inspect.signature(command, eval_str=True, locals=names).parameters.values())[1:]

    @functools.wraps(command)
    def run(**values: Any) -> None:
        asked = {name: values.pop(name) for name in PLAN_PARAMETERS}
        command(request(values.pop("model"), **asked), **values)

    keyword = inspect.Parameter.KEYWORD_ONLY
    model = inspect.Parameter("model", keyword, annotation=ModelOpt)
    folder, *others = (each.replace(kind=keyword) for each in own)
    parameters = [folder, model, *PLAN_PARAMETERS.values(), *others]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    return run


@takes_plan
def new(
    request: Request,
    folder: Annotated[
        Path,
        typer.Argument(metavar="FOLDER", help="Put the project there: a new or an empty folder."),
        FILLS,
    ],
    board: BoardOpt = "native",
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Write into a folder that holds something. Files that you have changed, or that "
            "are not of an earlier new, stay as they are.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    dry_run: DryRunOpt = False,
    json_: JsonOpt = False,
) -> None:
    """Begin a firmware of your own: a PlatformIO project that builds, learns and tests itself."""
    from mcutrain.host.project.boards import ProjectBoard
    from mcutrain.host.project.project import project_of
    from mcutrain.host.project.writing import check_empty, sort_files, write_project
    from mcutrain.host.show import terminal as show
    from mcutrain.host.training.tell import tell

    chosen = ProjectBoard.of(board)
    check_empty(folder, force)
    with err.status("the reference learns the made-up signal"):
        project = project_of(request, chosen, folder.resolve().name)
    tell(project.notes, err)
    files = (sort_files if dry_run else write_project)(project, folder, force)
    told = project.told | files.told | {"dry_run": dry_run}
    print_json(told) if json_ else show.lines(lines(told, folder))


def lines(told: dict[str, Any], folder: Path) -> list[str]:
    """What was done, for people, and what to do next."""
    right = told["made_up_signal"]
    said = [
        f"{told['model']}, {told['update']}, on {told['board']}: {told['ram_bytes']:,} bytes of "
        f"RAM for arena and learned state, {told['constant_bytes']:,} of flash for constants",
        f"the made-up signal: {right['before']} of {right['samples']} samples right before "
        f"{right['steps']} steps, {right['after']} after",
        *(f"kept, since it is yours: {path}" for path in told["kept"]),
    ]
    count = len(told["written"])
    if told["dry_run"]:
        return [*said, f"dry run: would write {count} files into {folder}"]
    return [
        *said,
        f"wrote {count} files into {folder}",
        f"next: cd {shlex.quote(str(folder))}; pio test -e native; then read README.md there",
    ]

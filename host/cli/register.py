# SPDX-License-Identifier: Apache-2.0
"""How a function becomes a command: with a page of help, the options that every command has, what
``mcutrain.toml`` gives it, and checks of the files it names."""

from __future__ import annotations

import functools
import inspect
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from mcutrain.host.cli import config
from mcutrain.host.cli.files import annotated, checks_files, marks
from mcutrain.host.cli.help_page import PagedCommand, print_page
from mcutrain.host.cli.output import say, taken_from_file
from mcutrain.host.cli.panels import GENERAL, Common
from mcutrain.host.cli.words import words, written_in


def print_all(ctx: typer.Context, is_wanted: bool) -> None:
    if is_wanted and not ctx.resilient_parsing:
        print_page(ctx.command, ctx, is_all=True)
        raise typer.Exit


def take_config(ctx: typer.Context, given: Path | None) -> Path | None:
    """Let what the file says stand for options that are not given. Raises Error."""
    if ctx.resilient_parsing:
        return given
    if ctx.params.get("no_config"):
        return None
    path = given or config.find(Path.cwd())
    if path is None:
        return None
    found = config.Config.read(path)
    group: Any = ctx.find_root().command
    command: Any = ctx.command
    found.check({name: config.keys(each) for name, each in group.commands.items()})
    ctx.default_map = dict(config.values(found, command, command.marks))
    return path


GENERAL_OPTIONS: dict[str, Any] = {
    "no_config": Annotated[
        bool,
        typer.Option(
            "--no-config",
            is_eager=True,
            help=f"Take nothing from {config.NAME}.",
            rich_help_panel=GENERAL,
        ),
    ],
    "config": Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            is_eager=True,
            callback=take_config,
            help=f"Take options from this file. Default: {config.NAME}, in this folder or the "
            "nearest one above it.",
            rich_help_panel=GENERAL,
        ),
    ],
    "help_all": Annotated[
        bool,
        typer.Option(
            "--help-all",
            is_eager=True,
            callback=print_all,
            help="Show all options.",
            rich_help_panel=GENERAL,
        ),
    ],
}


def register(app: typer.Typer, function: Callable[..., None], panel: str, example: str) -> None:
    """Let ``app`` have the function as a command."""
    common = frozenset(
        name
        for name, annotation in annotated(function).items()
        if any(isinstance(mark, Common) for mark in get_args(annotation))
    )
    page = type("Command", (PagedCommand,), {"common": common, "marks": marks(function)})
    command = takes_general_options(checks_files(function))
    app.command(epilog=example, rich_help_panel=panel, cls=page)(command)


def takes_general_options(command: Callable[..., None]) -> Callable[..., None]:
    """The command with GENERAL_OPTIONS, which says what a file gave it."""
    own = inspect.signature(command, eval_str=True, locals={"Request": object}).parameters
    wants_context = "ctx" in own

    @functools.wraps(command)
    def run(ctx: typer.Context, **values: Any) -> None:
        path = values["config"]
        for name in GENERAL_OPTIONS:
            del values[name]
        tell_taken(ctx, path)
        command(**values, **({"ctx": ctx} if wants_context else {}))

    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [
        inspect.Parameter("ctx", keyword, annotation=typer.Context),
        *(each.replace(kind=keyword) for name, each in own.items() if name != "ctx"),
        *(
            inspect.Parameter(
                name, keyword, default=None if name == "config" else False, annotation=annotation
            )
            for name, annotation in GENERAL_OPTIONS.items()
        ),
    ]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    return run


def tell_taken(ctx: typer.Context, path: Path | None) -> None:
    """Say what was taken from the file, and let JSON say it, too."""
    taken = written_in(ctx, "DEFAULT_MAP")
    said = None
    if taken:
        options = {
            config.long_name(p): taken[p.name] for p in ctx.command.params if p.name in taken
        }
        said = {"file": str(path), "options": {name: plain(v) for name, v in options.items()}}
        say(f"{path}: {shlex.join(words(ctx, taken))}")
    taken_from_file.set(said)


def plain(value: Any) -> Any:
    """A value of an option for JSON."""
    if isinstance(value, (list, tuple)):
        return [str(each) for each in value]
    return value if isinstance(value, (bool, int, float)) else str(value)

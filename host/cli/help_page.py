# SPDX-License-Identifier: Apache-2.0
"""Pages of help: panels of two columns, what is written and what it does, that fit 80 columns.

Typer's own page gives flags, opposites and types a column each, and cuts words off in what is left
of 80 columns for the text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from inspect import cleandoc
from types import MappingProxyType
from typing import Any

import typer
from rich.console import Console
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text
from typer.core import TyperCommand, TyperGroup

from mcutrain.host.cli.files import FileMark
from mcutrain.host.cli.panels import COMMAND_PANELS, GENERAL, OPTION_PANELS

FEW = 14  # options that a page shows without leaving any out
ARGUMENTS = "Arguments"
SIDE_BY_SIDE = 64  # columns, from which a text has room beside its option
Row = tuple[str, str]


class PagedCommand(TyperCommand):
    """A command whose --help shows its common options. ``common`` names their parameters, and
    ``marks`` has those that name files."""

    common: frozenset[str] = frozenset()
    marks: Mapping[str, tuple[str, FileMark]] = MappingProxyType({})

    def format_help(self, ctx: Any, formatter: Any) -> None:
        print_page(self, ctx, is_all=False)


class PagedGroup(TyperGroup):
    """The list of commands."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        commands: dict[str, list[Row]] = {panel: [] for panel in COMMAND_PANELS}
        for name in self.list_commands(ctx):
            command: Any = self.get_command(ctx, name)
            commands[command.rich_help_panel].append((name, first_paragraph(command.help)))
        options = [option_row(param) for param in self.get_params(ctx)]
        print_parts(self, ctx, {**commands, "Options": options}, ["COMMAND"], self.epilog)


def print_page(command: Any, ctx: typer.Context, is_all: bool) -> None:
    """Print the page of a command: with all options, or with the common ones where many are."""
    params = [p for p in command.get_params(ctx) if not getattr(p, "hidden", False)]
    options = [p for p in params if p.param_type_name != "argument"]
    shown = options if is_all else common_of(command, options)
    panels: dict[str, list[Row]] = {panel: [] for panel in (ARGUMENTS, *OPTION_PANELS)}
    panels[ARGUMENTS] = [argument_row(p) for p in params if p.param_type_name == "argument"]
    for param in shown:
        panels[getattr(param, "rich_help_panel", None) or GENERAL].append(option_row(param))
    left = len(options) - len(shown)
    more = f"{left} more options: {ctx.command_path} --help-all" if left else None
    print_parts(command, ctx, panels, [], more, command.epilog)


def common_of(command: PagedCommand, options: Sequence[Any]) -> list[Any]:
    own = [p for p in options if getattr(p, "rich_help_panel", GENERAL) != GENERAL]
    return [p for p in own if len(own) <= FEW or p.name in command.common]


def print_parts(
    command: Any,
    ctx: typer.Context,
    panels: dict[str, list[Row]],
    last: Sequence[str],
    *notes: str | None,
) -> None:
    """Print usage, description and panels. ``last`` ends the usage of what takes no argument."""
    console = Console(highlight=False)
    is_wide = console.width >= SIDE_BY_SIDE
    width = max(len(written) for rows in panels.values() for written, _ in rows)
    arguments = [argument_name(p) for p in command.params if p.param_type_name == "argument"]
    usage = " ".join(["Usage:", ctx.command_path, "[OPTIONS]", *(arguments or last)])
    console.print(Padding(Text(usage), (1, 1)), style="bold")
    for paragraph in cleandoc(command.help or "").split("\n\n"):
        console.print(Padding(Text(joined(paragraph)), (0, 1, 1, 1)))
    for title, rows in panels.items():
        if rows:
            inside = columns(rows, width) if is_wide else stacked(rows)
            panel = Panel(inside, title=title, title_align="left", border_style="dim")
            console.print(panel)
    for note in notes:
        if note:
            console.print(Padding(Text(note), (0, 1, 1, 1)))


def columns(rows: Iterable[Row], width: int) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=width, no_wrap=True, style="bold cyan")
    table.add_column()
    for written, text in rows:
        table.add_row(Text(written), Text(text))
    return table


def stacked(rows: Iterable[Row]) -> Table:
    table = Table.grid()
    for written, text in rows:
        table.add_row(Text(written, style="bold cyan"))
        table.add_row(Padding(Text(text), (0, 0, 0, 2)))
    return table


def argument_name(param: Any) -> str:
    name: str = param.metavar or param.name.upper()
    return name if param.required else f"[{name}]"


def argument_row(param: Any) -> Row:
    """What an argument is called, and what it is, with its default if it has one."""
    is_said = param.required or "Default: " in param.help
    return argument_name(param), param.help + ("" if is_said else f" Default: {param.default}.")


def option_row(param: Any) -> Row:
    """What is written for an option, and what it does, with its default."""
    names = sorted(param.opts, key=len)
    written = ", ".join(names)
    if param.secondary_opts:
        written = f"{param.opts[0]}/{param.secondary_opts[0]}"
    elif not param.is_flag:
        written += f" {param.metavar}"
    return written, (param.help or "") + default_text(param)


def default_text(param: Any) -> str:
    """The default, where the text does not say it; of a switch that is off there is none to say."""
    if param.required:
        return " Required."
    if "Default: " in (param.help or ""):
        return ""
    if param.secondary_opts:
        return f" Default: {(param.opts if param.default else param.secondary_opts)[0]}."
    if param.is_flag:
        return ""
    return f" Default: {'none' if param.default is None else param.default}."


def first_paragraph(text: str | None) -> str:
    return joined(cleandoc(text or "").partition("\n\n")[0])


def joined(lines: str) -> str:
    return " ".join(lines.split())

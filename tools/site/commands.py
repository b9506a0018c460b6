# SPDX-License-Identifier: Apache-2.0
"""The reference of the commands: Markdown from the declarations that ``--help`` is made of."""

from __future__ import annotations

import html
from collections.abc import Iterator
from itertools import groupby
from typing import Any

import typer

from mcutrain.host.cli.app import app

PLAIN_PANEL = "Options"


def commands_page() -> str:
    """A section for each command, in the order of the help page."""
    group: Any = typer.main.get_command(app)
    context = group.make_context("mcutrain", [], resilient_parsing=True)
    commands = [group.get_command(context, name) for name in group.list_commands(context)]
    return "\n".join(line for each in commands if not each.hidden for line in section(each))


def section(command: Any) -> Iterator[str]:
    """The lines about one command: what it does, an example, and its options by panel."""
    yield f"## mcutrain {command.name}"
    yield ""
    yield text(command.help)
    yield ""
    yield "```text"
    yield " ".join(["mcutrain", command.name, *usage(command)])
    yield "```"
    yield ""
    if command.epilog:
        yield from examples(command.epilog)
    for panel, options in panels(command):
        yield f"### {command.name}: {panel[0].lower()}{panel[1:]}"
        yield ""
        yield "| Option | What it does | Default |"
        yield "|---|---|---|"
        for option in options:
            yield f"| {names(option)} | {text(option.help or '')} | {default(option)} |"
        yield ""


def usage(command: Any) -> Iterator[str]:
    """Arguments, and options that must be given."""
    for param in command.params:
        if param.param_type_name == "argument":
            name = param.metavar or param.name.upper()
            yield name if param.required else f"[{name}]"
    yield "[OPTIONS]"


def examples(epilog: str) -> Iterator[str]:
    """The examples of a help page as one block."""
    commands = epilog.partition(":")[2].split(";")
    yield "```sh"
    yield from (each.strip() for each in commands)
    yield "```"
    yield ""


def panels(command: Any) -> Iterator[tuple[str, list[Any]]]:
    """Each panel's name and its options, in the order in which the panels are first named."""
    options = [each for each in command.params if each.param_type_name == "option"]
    shown = [each for each in options if each.name != "help"]
    order = list(dict.fromkeys(map(panel_of, shown)))
    shown.sort(key=lambda option: order.index(panel_of(option)))
    for panel, members in groupby(shown, key=panel_of):
        yield panel, list(members)


def panel_of(option: Any) -> str:
    return getattr(option, "rich_help_panel", None) or PLAIN_PANEL


def names(option: Any) -> str:
    """The spellings of an option, and what it takes."""
    spelt = [*option.opts, *option.secondary_opts]
    takes = "" if option.is_flag else f" {option.metavar or option.name.upper()}"
    return "`" + ", ".join(spelt) + cell(takes) + "`"


def default(option: Any) -> str:
    """What holds where the option is not given; empty where the help says it."""
    if option.required:
        return "must be given"
    value = option.default
    if option.is_flag or value is None or callable(value) or not option.show_default:
        return ""
    return f"`{cell(str(value))}`"


def text(told: str) -> str:
    """Help as it stands in a cell: one line, in which nothing is a tag."""
    return cell(html.escape(" ".join(told.split()), quote=False))


def cell(told: str) -> str:
    return told.replace("|", "\\|")

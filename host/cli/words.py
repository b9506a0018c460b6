# SPDX-License-Identifier: Apache-2.0
"""The options of a running command, as a user writes them."""

from __future__ import annotations

from typing import Any

import typer


def written_in(ctx: typer.Context, *sources: str) -> dict[str, Any]:
    """The parameters whose values come from there: COMMANDLINE, or DEFAULT_MAP for a file's."""
    return {
        name: value
        for name, value in ctx.params.items()
        if (source := ctx.get_parameter_source(name)) and source.name in sources
    }


def words(ctx: typer.Context, values: dict[str, Any]) -> list[str]:
    """``values``, by parameter; None and a switch that is off are left out."""
    found: list[str] = []
    for param in ctx.command.params:
        value = values.get(str(param.name))
        if value is None or (value is False and not param.secondary_opts):
            continue
        if param.param_type_name == "argument":
            found += map(str, value if isinstance(value, (list, tuple)) else [value])
        elif isinstance(value, bool):
            found.append(param.opts[0] if value else param.secondary_opts[0])
        else:
            each = value if isinstance(value, (list, tuple)) else [value]
            found += [word for one in each for word in (param.opts[0], str(one))]
    return found

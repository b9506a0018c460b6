# SPDX-License-Identifier: Apache-2.0
"""``plan``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mcutrain.host.cli.files import MENTIONS, WRITES
from mcutrain.host.cli.options import (
    FlashOpt,
    JsonOpt,
    ProfileOpt,
    TargetOpt,
    VerboseOpt,
    takes_request,
)
from mcutrain.host.cli.output import err, print_json
from mcutrain.host.cli.panels import COMMON, OUTPUT
from mcutrain.host.sizes import bytes_option
from mcutrain.trainer.options import PLACEMENT

if TYPE_CHECKING:
    from mcutrain.host.request import Request


@takes_request
def plan(
    request: Request,
    ctx: typer.Context,
    target: TargetOpt = "reference",
    flash_latents: FlashOpt = None,
    sram: Annotated[
        int | None,
        typer.Option(
            metavar="BYTES",
            parser=bytes_option,
            help="Set the RAM there is, such as 64K. The plan then takes --stream-input, "
            "--recompute and formats as it needs them to fit, or says what would help. The bytes "
            "are arena, learned state and what waits in RAM; with a target, all RAM of a build.",
            rich_help_panel=PLACEMENT,
        ),
        COMMON,
    ] = None,
    slice_: Annotated[
        int | None,
        typer.Option(
            "--slice",
            metavar="INSTRUCTIONS",
            min=1,
            help="Refuse a plan in which the device would compute longer than this before it looks "
            "up and feeds its watchdog: a kernel call, or one row or group of channels. "
            "Default: no limit.",
            rich_help_panel=PLACEMENT,
        ),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Draw the arena over the step in a page (.html).",
            rich_help_panel=OUTPUT,
        ),
        WRITES,
        COMMON,
    ] = None,
    png: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Draw the same picture as an image (.png).", rich_help_panel=OUTPUT
        ),
        WRITES,
    ] = None,
    compare: Annotated[
        str | None,
        typer.Option(
            metavar="OPTIONS",
            help="Set a second plan beside the first: the options in which it differs, in one "
            "string, such as '--update full --errors e8'. Another model may stand in front.",
            rich_help_panel=OUTPUT,
        ),
        MENTIONS,
        COMMON,
    ] = None,
    profile: ProfileOpt = False,
    json_: JsonOpt = False,
    verbose: VerboseOpt = False,
) -> None:
    """Show what training takes: RAM, flash, operations. With a target, measured in a real build."""
    from mcutrain.host.cli.reporter import ConsoleReporter
    from mcutrain.host.extras import require_extra
    from mcutrain.host.prediction.slices import check_slice
    from mcutrain.host.show.cost import cost_table
    from mcutrain.host.show.pricing import check_profiled, priced
    from mcutrain.host.show.profile import profile_tables

    if html is not None or png is not None:
        require_extra("report")
    if profile:
        check_profiled(target)
    reporter, fit = ConsoleReporter(err), None
    if sram is not None:
        from mcutrain.host.budget.command import Budget, fitted
        from mcutrain.host.building.target import Target
        from mcutrain.host.show import budget as show_budget

        budget = Budget(sram, Target.parse(target), flash_latents, verbose)
        fit = fitted(request, budget, reporter, sys.argv[1:])
        if fit.advice is not None:
            print_json(fit.to_json()) if json_ else show_budget.advice_lines(fit)
            raise fit.advice.error()
        request = fit.request
    plans = [priced(request, target, flash_latents, verbose, profile, reporter)]
    cost = plans[0].cost
    check_slice(cost["predicted_instructions"], slice_)
    if compare is not None:
        from mcutrain.host.cli.compare import other_options

        other, rest = other_options(ctx, compare)
        plans.append(priced(other, **rest, verbose=verbose, profile=profile, reporter=reporter))
        cost["compared"] = plans[1].cost
    if html is not None or png is not None:
        from mcutrain.host.show.plan_page import write_pictures

        write_pictures(plans, html, png)
    if fit is not None:
        cost |= fit.to_json()
    if json_:
        print_json(cost)
        return
    for each in plans:
        cost_table(each.cost)
        profile_tables(each.cost)
    if fit is not None:
        show_budget.fit_lines(fit)

# SPDX-License-Identifier: Apache-2.0
"""What a plan costs, as ``plan`` shows it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mcutrain.host.boards import core_of
from mcutrain.host.building.firmware import build
from mcutrain.host.building.fitting import check_real_fit
from mcutrain.host.building.target import Target, TargetKind
from mcutrain.host.cost import (
    format_bytes,
    format_prices,
    layer_rows,
    measured,
    planned,
    region_rows,
    resident_rows,
)
from mcutrain.host.prediction.density import traced
from mcutrain.host.prediction.predict import predict
from mcutrain.host.request import Request
from mcutrain.host.show.picture import Pictured
from mcutrain.host.simulation.counting import check_counts
from mcutrain.host.simulation.profile import profiles_json
from mcutrain.host.training.flash_latents import with_flash_latents
from mcutrain.host.training.reporter import SILENT, Reporter
from mcutrain.trainer.errors import Error
from mcutrain.trainer.training_plan import TrainingPlan


def check_profiled(target: str) -> None:
    """Raises Error for a target on which nothing can be counted by node."""
    place = Target.parse(target)
    if place.kind is not TargetKind.SIMULATED:
        raise Error("--profile needs a simulated board: --target sim:BOARD")
    check_counts(place.board, "--profile", by_node=True)


def priced(
    request: Request,
    target: str,
    flash_latents: Path | None = None,
    verbose: bool = False,
    profile: bool = False,
    reporter: Reporter = SILENT,
) -> Pictured:
    """The plan of a request and what it costs; with a ``profile`` what its nodes execute."""
    place = Target.parse(target)
    place.require()
    request = request.on(place.chip)
    chosen = with_flash_latents(request.plan(), flash_latents)
    reporter.tell(chosen.notes)
    cost = planned(chosen)
    if place.kind is TargetKind.REAL:
        check_real_fit(chosen, place)
    if place.runs_here:
        with reporter.working(f"building for {target}"):
            built = build(chosen, place, verbose)
        chosen = built.plan
        cost = {**measured(built), "rows": resident_rows(built)}
        if profile:
            from mcutrain.host.training.random_steps import profiled

            with reporter.working(f"counting on {target}"):
                cost["profile"] = profiles_json(profiled(built))
    others = [] if flash_latents is None else [f"--flash-latents {flash_latents}"]
    built_for = [] if place.kind is TargetKind.REFERENCE else [target]
    return pictured(request, chosen, cost, *others, *built_for)


def pictured(request: Request, plan: TrainingPlan, cost: dict[str, Any], *others: str) -> Pictured:
    """The plan of a request with all that is known of its ``cost``; ``others`` are said beside the
    options that it was asked for."""
    cost["predicted_instructions"] = predict(plan, core_of(plan.chip.name), traced(plan)).to_json()
    cost["layers"] = layer_rows(plan)
    cost["format_bytes"] = format_bytes(plan)
    cost["format_prices"] = format_prices(request, plan)
    cost["regions"] = region_rows(plan)
    names = [plan.name, plan.scheme.name, *request.options.arguments(), *others]
    return Pictured(plan, cost, ", ".join(names))

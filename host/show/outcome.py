# SPDX-License-Identifier: Apache-2.0
"""What trainings came to, side by side on the terminal."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from mcutrain.host.show.terminal import lines, number, out, percent
from mcutrain.host.simulation.counts import Unit
from mcutrain.host.training.rate_choice import loss_text, rate_text, told

if TYPE_CHECKING:
    from mcutrain.host.training.evaluation import Evaluation
    from mcutrain.host.training.job import Outcome
    from mcutrain.host.training.latents import Saving

NOTHING = "-"  # that a run has of a figure


def metric(outcome: Outcome, value: float | None) -> str:
    """Accuracy in percent, or a mean squared error."""
    if outcome.result.metric == "accuracy" or value is None:
        return percent(value)
    return f"{value:.4g}"


def counted(outcome: Outcome, unit: Unit, key: str, of: str, predicted: str = "") -> str:
    """A figure that was counted; where a board at a port counts none, what is ``predicted``."""
    found, known = outcome.counted_in(unit).get(key, {}).get(of), outcome.port_build
    if found is None and known is not None and predicted and not outcome.counted:
        return f"≈ {number(known.predicted[predicted])}"
    return number(found) or NOTHING


def counted_figures(unit: Unit) -> dict[str, Callable[[Outcome], str]]:
    """What was counted in one unit."""
    word = unit.value
    step, inference = ("step", "inference") if unit is Unit.INSTRUCTIONS else ("", "")
    return {
        f"{word} per step": lambda o: counted(o, unit, f"{word}_per_step", "median", step),
        f"{word}, first step": lambda o: counted(o, unit, f"{word}_per_step", "first"),
        f"{word} per inference": lambda o: counted(o, unit, f"forward_{word}", "mean", inference),
    }


def stack(outcome: Outcome) -> str:
    """What was seen of the stack, and the bound on it."""
    used, bound = outcome.stack_used_bytes, outcome.cost["stack_bytes"]
    if used is None:
        return NOTHING
    return number(used) if bound is None else f"{number(used)} of {number(bound)}"


def iou(found: Evaluation | None) -> str:
    """The mean intersection over union of the classes of positions."""
    return NOTHING if found is None or found.mean_iou is None else percent(found.mean_iou)


def rate(outcome: Outcome) -> str:
    choice = outcome.job.rate
    return NOTHING if choice is None else choice.text


# The figures of a run that matter, in the terminal's table and in the report.
FIGURES: dict[str, Callable[[Outcome], str]] = {
    "{metric} before": lambda o: metric(o, o.result.before),
    "{metric} after": lambda o: metric(o, o.result.after),
    "mean IoU before": lambda o: iou(o.result.evaluation_before),
    "mean IoU after": lambda o: iou(o.result.evaluation_after),
    "learning rate": rate,
    "steps": lambda o: number(o.result.steps),
    "verified steps": lambda o: number(o.result.verified_steps) if o.result.verified else NOTHING,
    "RAM, bytes": lambda o: number(o.cost["sram_bytes"]) or NOTHING,
    "flash, bytes": lambda o: number(o.cost["flash_bytes"]) or NOTHING,
    "stack used, bytes": stack,
    **counted_figures(Unit.INSTRUCTIONS),
    **counted_figures(Unit.CYCLES),
    "seconds of training": lambda o: f"{o.result.seconds:.1f}",
}


def figures(outcomes: list[Outcome]) -> dict[str, list[str]]:
    """A row of cells for each figure that a run has, one per run."""
    name = outcomes[0].result.metric
    # Few emulators count cycles: the rows are those of what was counted, or else of instructions.
    units = {outcome.unit for outcome in outcomes if outcome.counted} or {Unit.INSTRUCTIONS}
    left_out = {row for unit in set(Unit) - units for row in counted_figures(unit)}
    if not any(outcome.plan.takes_label_map for outcome in outcomes):
        left_out |= {"mean IoU before", "mean IoU after"}
    rows = {
        text.format(metric=name): [cell(o) for o in outcomes]
        for text, cell in FIGURES.items()
        if text not in left_out
    }
    return {text: cells for text, cells in rows.items() if {*cells} != {NOTHING}}


def notes(outcome: Outcome) -> list[str]:
    """How the rate was found, what the guard did, what the monitor found, what latents saved: a
    line each."""
    result, said = outcome.result, [] if outcome.job.rate is None else told(outcome.job.rate)
    if result.interrupted:
        best = "the last weights" if result.guarded is None else "the best weights so far"
        said.append(f"interrupted: {best} were kept")
    if outcome.job.budget is not None:
        said.append(outcome.job.budget.told())
    if guard := result.guarded or outcome.job.decision:
        said.append(guard.told())
    said += result.yardstick.told(
        result.metric, result.before, result.after, outcome.plan.classes > 0
    )
    if result.findings is not None:
        found = [finding.text for finding in result.findings] or ["nothing to report"]
        said += [f"saturation: {text}" for text in found]
    if outcome.saving is not None:
        said.append(saving_line(outcome, outcome.saving))
    if outcome.port_build is not None:
        said.append(outcome.port_build.told())
    return said


def rates_tried(outcome: Outcome) -> dict[str, str]:
    """The loss at the end of each training that the rate was looked for with, by rate."""
    choice = outcome.job.rate
    tried = [] if choice is None else sorted(choice.tried, key=lambda one: -one.rate)
    return {rate_text(one.rate): loss_text(one.loss) for one in tried}


def saving_line(outcome: Outcome, saving: Saving) -> str:
    """What latents saved: in instructions or cycles where they were counted, else in operations."""
    saved = outcome.saved(saving)
    unit = outcome.unit.value
    what = saved[f"saved_{unit}"]
    if what is None:
        what, unit = saved["saved_macs"], "MACs"
    return (
        f"latents: {number(saving.computed)} computed, {number(saving.reused)} reused, "
        f"{number(saving.kept_bytes)} bytes on the {saving.place}: {number(what)} {unit} left out"
    )


def outcome_table(outcomes: list[Outcome]) -> None:
    table = Table(
        title=escape(f"{outcomes[0].job.request.model.stem}, {outcomes[0].plan.scheme.name}")
    )
    table.add_column("")
    for outcome in outcomes:
        table.add_column(outcome.target, justify="right")
    for text, cells in figures(outcomes).items():
        table.add_row(text, *cells)
    out.print(table)
    for outcome in outcomes:
        if tried := rates_tried(outcome):
            losses = Table(*tried, title="loss at the end, by learning rate")
            losses.add_row(*tried.values())
            out.print(losses)
        lines(notes(outcome))

# SPDX-License-Identifier: Apache-2.0
"""A budget on the terminal: the plans that were tried, and what would help if none fits."""

from __future__ import annotations

from collections.abc import Iterator

from mcutrain.host.budget.command import Fitted
from mcutrain.host.budget.fit import Attempt
from mcutrain.host.show.terminal import lines


def fit_lines(found: Fitted) -> None:
    """What was tried and chosen."""
    lines([*budget_lines(found), f"repeat with: {found.command}"])


def budget_lines(found: Fitted) -> Iterator[str]:
    """The budget, and each plan that was tried for it."""
    fit, budget = found.fit, found.budget
    if budget.is_built:
        counted = f"all RAM of a build for {budget.target.name}, {fit.overhead:,} beside the plan"
    else:
        counted = (
            "arena, learned state and what waits in RAM; stack, link and other RAM are counted "
            "with --target"
        )
    yield f"budget: {fit.sram:,} bytes for {counted}"
    for step in fit.steps:
        yield f"  {step.told}: {outcome(found, step)}"
    if fit.chosen is not None:
        for option in fit.chosen.options:
            yield f"  price of {option}: {fit.chosen.price(option)}"


def outcome(found: Fitted, step: Attempt) -> str:
    row = found.fit.row(step)
    if step.refusal is not None:
        return f"not possible: {step.refusal}"
    saved = f" ({row['saves_bytes']:,} saved)" if step.options else ""
    over = row["sram_bytes"] - found.fit.sram
    return f"{row['sram_bytes']:,} bytes{saved}, " + ("fits" if over <= 0 else f"{over:,} too many")


def advice_lines(found: Fitted) -> None:
    """What was tried, what lies in the arena where it is fullest, and what would help."""
    lines(budget_lines(found))
    advice = found.advice
    assert advice is not None
    peak = advice.peak
    lines([f"fullest at {peak.node} ({peak.operator}), {peak.in_use:,} bytes of the arena:"])
    lines(f"  {name}: {size:,}" for name, size in peak.tensors)
    given = " ".join(advice.options) or "the plan asked for"
    if advice.help:
        lines([f"would help beside {given}, the most effective first:"])
    for help_ in advice.help:
        fits = "fits" if help_.fits else f"{help_.needed - advice.sram:,} too many"
        lines([f"  {help_.text}: {help_.saves:,} saved, {help_.needed:,} bytes, {fits}"])

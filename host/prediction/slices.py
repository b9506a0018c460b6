# SPDX-License-Identifier: Apache-2.0
"""How long a device computes without looking up: the longest slice of a step, which is a kernel
call, or one row or group of channels where a layer is computed so. A watchdog must allow for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mcutrain.host.prediction.power import CYCLES_PER_INSTRUCTION, LIKE, datasheets
from mcutrain.trainer.errors import Error


def check_slice(predicted: dict[str, Any], most_instructions: int | None) -> None:
    """Raises Error, naming the node, if the prediction of a plan (`Prediction.to_json`) has a
    slice of more instructions."""
    found = predicted["longest_slice"]
    if most_instructions is None or found["instructions"] <= most_instructions:
        return
    over = found["instructions"] - most_instructions
    raise Error(
        f"the longest slice is {found['node']} with {found['instructions']:,} instructions, "
        f"{over:,} more than --slice {most_instructions}: {remedy(found)}"
    )


def remedy(found: dict[str, Any]) -> str:
    if found["slices"] > 1:
        return "it runs piece by piece already; allow a longer slice, or feed the watchdog by timer"
    return (
        "it is one kernel call; give --stream-input or --recompute, which may run it row by row, "
        "choose an --update without it, or allow a longer slice"
    )


def slice_lines(predicted: dict[str, Any]) -> Iterator[str]:
    """For people, with the time that it takes on chips of the core."""
    found = predicted["longest_slice"]
    piece = "" if found["slices"] == 1 else f", in {found['slices']} pieces of which this is one"
    yield (
        f"longest slice: {found['instructions']:,} instructions, {found['node']}{piece}"
        f"{''.join(times(predicted))}"
    )


def times(predicted: dict[str, Any]) -> Iterator[str]:
    """The estimates of the chips with the plan's core, slowest first."""
    core = predicted["core"]
    chips = sorted((s for s in datasheets() if s.core == core), key=lambda s: s.clock_mhz)
    cycles = CYCLES_PER_INSTRUCTION.get(core or "", CYCLES_PER_INSTRUCTION[LIKE])
    for sheet in chips[:1]:
        milliseconds = predicted["longest_slice"]["instructions"] * cycles / sheet.clock_mhz / 1e3
        yield f"; about {milliseconds:.3g} ms on {sheet.chip} at {sheet.clock_mhz:g} MHz"

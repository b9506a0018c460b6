# SPDX-License-Identifier: Apache-2.0
"""What a plan costs, on the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.table import Table

from mcutrain.host.prediction.slices import slice_lines
from mcutrain.host.show.terminal import lines, number, out

ACCURACY = "docs/accuracy.md"
COST_LINES = {
    "arena_bytes": "arena",
    "arena_bound_bytes": "  its lower bound",
    "recompute_saves_bytes": "  saved by computing twice",
    "learned_bytes": "learned weights and state",
    "latent_slot_bytes": "latents kept",
    "ahead_bytes": "next sample",
    "record_bytes": "record of the chain",
    "copied_constant_bytes": "constants, copied at the start",
    "stack_bytes": "stack, worst case",
    "link_bytes": "link buffers",
    "other_ram_bytes": "other RAM",
    "sram_bytes": "RAM in all",
    "constant_bytes": "constants",
    "flash_latent_bytes": "of these, latents kept",
    "code_bytes": "code",
    "other_flash_bytes": "other flash",
    "flash_bytes": "flash in all",
    "forward_macs": "MACs, forward",
    "step_macs": "MACs, training step",
    "recomputed_macs": "  of these, done twice",
}
PARTS = {"arena_bytes": "arena_parts", "learned_bytes": "learned_parts"}


def cost_table(cost: dict[str, Any]) -> None:
    outputs = f"{cost['classes']} classes" if cost["classes"] else "values"
    title = f"{cost['model']}, {cost['scheme']}, {outputs}"
    table = Table(title=f"{title}, {cost['target']}" if "target" in cost else title)
    table.add_column("")
    table.add_column("bytes or operations", justify="right")
    for key, text in COST_LINES.items():
        value = cost[key]
        if value is None:
            continue
        parts = value if isinstance(value, dict) else cost.get(PARTS.get(key, ""), {})
        table.add_row(text, number(sum(value.values()) if isinstance(value, dict) else value))
        for name, nbytes in parts.items():
            if nbytes:
                table.add_row(f"  {name.replace('_', ' ')}", f"[dim]{number(nbytes)}")
    out.print(table)
    learning = [r for r in cost.get("layers", ()) if r["learns"]]
    lines(f"learns: {', '.join(r['learns'])}" for r in learning)
    lines(region_line(r) for r in cost.get("regions", ()))
    if "format_bytes" in cost:
        lines(format_lines(cost))
    if cost["variants"]:
        used = ", ".join(f"{unit} ({count} nodes)" for unit, count in cost["variants"].items())
        lines([f"kernel variants: {used}"])
    if (packing := cost["packing"])["layers"]:
        lines(
            [
                f"layers with packed weights: {packing['layers']}; they take "
                f"{packing['added_bytes']:,} bytes of flash more, and save about "
                f"{packing['saves_instructions']:,} instructions of each inference"
            ]
        )
    if (int4 := cost["int4"])["layers"]:
        lines(
            [
                f"layers with frozen weights of int4: {int4['layers']}; they take "
                f"{int4['saved_bytes']:,} bytes of flash less"
            ]
        )
    if "predicted_instructions" in cost:
        lines(prediction_lines(cost["predicted_instructions"]))
        lines(slice_lines(cost["predicted_instructions"]))
    if "target" not in cost:
        told = "--target plans for a board, and measures a build for one that runs here"
        lines([f"planned for {cost['chip']}; {told}"])
    lines(memory_line(memory) for memory in cost["memories"] or ())
    if "elf" in cost:
        lines([f"firmware: {cost['elf']}"])


def prediction_lines(found: dict[str, Any]) -> Iterator[str]:
    """The whole of a prediction; what its nodes take is for JSON."""
    yield (
        f"predicted instructions on a {found['core'] or found['like']}: "
        f"{number(found['inference'])} an inference, {number(found['step'])} a step (not cycles)"
    )
    yield from (f"  {note}" for note in found["notes"])


def memory_line(memory: dict[str, Any]) -> str:
    used, there = memory["used_bytes"], memory["available_bytes"]
    return f"memory {memory['name']}: {number(used)} of {number(there)} bytes"


def region_line(region: dict[str, Any]) -> str:
    """The nodes of a region, and how many rows of each tensor it keeps."""
    nodes = region["nodes"]
    kept = ", ".join(f"{k['tensor']} {k['rows']} of {k['height']}" for k in region["kept"])
    comes = f"; {region['arriving']} arrives row by row" if region["arriving"] else ""
    return f"row by row: {nodes[0]} to {nodes[-1]}, rows kept: {kept or 'none'}{comes}"


def format_lines(cost: dict[str, Any]) -> Iterator[str]:
    """The plan's formats with their bytes, and what each other one would change."""
    chosen, taken = cost["formats"], cost["format_bytes"]
    yield (
        f"formats: errors {chosen['errors']} ({number(taken['errors'])} B at once), "
        f"weights {chosen['weights']} ({number(taken['fractions'])} B of fractions), "
        f"accumulate {chosen['accumulate']} ({number(taken['sums'])} B of sums), "
        f"precondition {chosen['precondition']} ({number(taken['input_shifts'])} B of input shifts)"
    )
    for other in cost["format_prices"]:
        yield (
            f"  {other['option']} {other['value']}: {other['arena_bytes']:+,} B arena, "
            f"{other['learned_bytes']:+,} B learned"
        )
    yield f"  accuracy with each: {ACCURACY}, a page of the documentation"

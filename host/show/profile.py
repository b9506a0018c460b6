# SPDX-License-Identifier: Apache-2.0
"""Instructions or cycles by node, as tables in the terminal."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from mcutrain.host.show.terminal import lines, number, out, percent

# What each region of a profile is called; a prefix ends at the latent.
REGIONS = {
    "step": "a training step",
    "forward": "an inference",
    "prefix": "the frozen layers, of a sample",
    "latent_step": "a training step from a latent",
    "latent_forward": "an inference from a latent",
}
PARTS = {"between": "between nodes"}


def profile_tables(found: dict[str, Any]) -> None:
    """The tables of what has a ``profile``; none if it was not asked for."""
    for region, profile in found.get("profile", {}).items():
        profile_table(REGIONS[region], profile)


def profile_table(name: str, profile: dict[str, Any]) -> None:
    unit = profile["unit"]
    whole = profile[unit]
    table = Table(title=f"{number(whole)} {unit}: {name}", box=None, padding=(0, 1, 0, 0))
    for title in ("node", "kind", "kernels"):
        table.add_column(title, overflow="fold")
    cycles = profile["estimated_cycles"]
    shown = ["MACs", unit, "per MAC", "share", *(["~cycles"] if cycles else [])]
    for title in shown:
        table.add_column(title, justify="right", no_wrap=True)
    for part, count in profile["parts"].items():
        for row in (r for r in profile["nodes"] if r["part"] == part):
            table.add_row(*cells(row, unit)[: 3 + len(shown)])
        if count:
            share = percent(count / whole)
            table.add_row(f"[bold]{PARTS.get(part, part)}", "", "", "", number(count), "", share)
    out.print(table)
    lines([f"{unit} are counted in {profile['emulator']}, exactly; {profile['caveat']}"])
    if cycles:
        lines(
            [
                f"estimated cycles, by Arm's manuals and without wait states: {number(cycles)}; "
                "docs/instructions.md says what that leaves out"
            ]
        )


def cells(row: dict[str, Any], unit: str) -> tuple[str, ...]:
    per_mac = row[f"{unit}_per_mac"]
    return (
        row["node"], row["kind"], ", ".join(row["kernels"]), number(row["macs"]) or "-",
        number(row[unit]), "-" if per_mac is None else f"{per_mac:.2f}",
        percent(row["share"]), number(row["estimated_cycles"]),
    )  # fmt: skip

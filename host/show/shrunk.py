# SPDX-License-Identifier: Apache-2.0
"""A shrinking on the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.markup import escape
from rich.table import Table

from mcutrain.host.show.terminal import lines, number, out, percent

LISTED = 12  # groups; of more, those that lost least are counted


def shrunk_tables(found: Mapping[str, Any]) -> None:
    """What `mcutrain shrink` prints, of its JSON."""
    if found["groups"]:
        out.print(group_table(found))
        lines(what_stays(found["stays"]))
    if found["search"] is not None:
        out.print(front_table(found["search"]))
        lines(f"left out: {text}" for text in found["search"]["skipped"])
    out.print(price_table(found))
    out.print(stage_table(found))
    lines(endings(found))


def group_table(found: Mapping[str, Any]) -> Table:
    kept, units = (sum(g[key] for g in found["groups"]) for key in ("kept", "units"))
    table = Table(title=f"channels that stay: {kept:,} of {units:,}")
    for name in ("group", "channels", "of", "bytes of weights", "were"):
        table.add_column(name, justify="left" if name == "group" else "right")
    ordered = sorted(found["groups"], key=lambda g: g["kept"] / g["units"])
    for g in ordered[:LISTED]:
        table.add_row(
            escape(g["name"]), number(g["kept"]), number(g["units"]), number(g["nbytes"]),
            number(g["was_bytes"]),
        )  # fmt: skip
    rest = ordered[LISTED:]
    if rest:
        sums = (sum(g[key] for g in rest) for key in ("kept", "units", "nbytes", "was_bytes"))
        table.add_row(f"{len(rest)} others", *map(number, sums))
    return table


def what_stays(stays: Mapping[str, str]) -> Iterator[str]:
    """Channels that cannot be cut, by the reason."""
    reasons: dict[str, list[str]] = {}
    for name, reason in stays.items():
        reasons.setdefault(reason, []).append(name)
    for reason, names in reasons.items():
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        yield f"cannot be cut: {', '.join(names[:3])}{more}: {reason}"


FRONT = ("model", "learns beside the head", "RAM, bytes", "instructions", "after training")


def front_rows(search: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """The Pareto front, and what was chosen, marked."""
    chosen = search["chosen"]
    rows = search["front"] + [row for row in (chosen,) if row not in search["front"]]
    for row in rows:
        yield (
            row["model"] + " *" * (row == chosen), row["scheme"], number(row["sram_bytes"]),
            number(row["predicted_instructions"]), row["told"],
        )  # fmt: skip


def front_table(search: Mapping[str, Any]) -> Table:
    trained = len(search["trained"])
    table = Table(
        title=f"Pareto front of {trained} trainings; * is the best of those in the budget"
    )
    for k, name in enumerate(FRONT):
        table.add_column(name, justify="left" if k < 2 else "right")
    for row in front_rows(search):
        table.add_row(*map(escape, row))
    return table


def price_table(found: Mapping[str, Any]) -> Table:
    table = Table(title="what training takes, by the plan")
    for name in ("", "RAM, bytes", "constants, bytes", "MACs of a step", "instructions"):
        table.add_column(name, justify="right" if name else "left")
    for row in found["prices"]:
        table.add_row(
            escape(row["model"]), number(row["sram_bytes"]), number(row["constant_bytes"]),
            number(row["step_macs"]), number(row["predicted_instructions"]),
        )  # fmt: skip
    limits, build = found["limits"], found["build"]
    if build is not None:
        table.add_row(
            f"smaller, built for {build['target']}", number(build["sram_bytes"]),
            number(build["flash_bytes"]), "", "",
        )  # fmt: skip
    if any(limits.values()):
        table.add_row(
            "budget", number(limits["sram"]), number(limits["flash"]), "",
            number(limits["instructions"]),
        )  # fmt: skip
    return table


def stage_table(found: Mapping[str, Any]) -> Table:
    stages = found["stages"]
    has_mse = any(row["mse"] is not None for row in stages)
    table = Table(title=f"on {found['held_out_inputs']:,} held-out inputs")
    names = ["", "agrees with the original"]
    if has_mse or any(row["accuracy"] is not None for row in stages):
        names.insert(1, "mean squared error" if has_mse else "accuracy")
    for name in names:
        table.add_column(name, justify="right" if name else "left")
    for row in stages:
        table.add_row(row["stage"], *metric_cells(row, names), percent(row["agreement"]))
    adapted = found["adaptation"]
    if adapted is not None:
        table.add_row(f"trained ({adapted['update']})", of_metric(adapted, "smaller"), "")
        if adapted["original"] is not None:
            table.add_row("original, trained alike", of_metric(adapted, "original"), "")
    return table


def metric_cells(row: Mapping[str, Any], names: list[str]) -> list[str]:
    if len(names) == 2:
        return []
    if row["mse"] is not None:
        return [f"{row['mse']:.4g}"]
    return [percent(row["accuracy"])]


def of_metric(adapted: Mapping[str, Any], name: str) -> str:
    value = adapted[name]
    return percent(value) if adapted["metric"] == "accuracy" else f"{value:.4g}"


def endings(found: Mapping[str, Any]) -> Iterator[str]:
    if all(g["kept"] == g["units"] for g in found["groups"]):
        yield "no channel had to leave"
    yield (
        f"wrote {found['output']}: {found['bytes']:,} bytes, "
        f"the original has {found['original_bytes']:,}"
    )
    if found["options"]:
        yield f"it fits with {' '.join(found['options'])}"
    yield f"train it with: {found['command']}"

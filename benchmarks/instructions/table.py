# SPDX-License-Identifier: Apache-2.0
"""The table of docs/instructions.md: a row for each model, core and choice of kernels."""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks.instructions.counting import Count
from benchmarks.instructions.peers import engines

SECTION = "instructions"
HEADER = (
    "| model | learns | core | kernels | inference, M | per MAC | others, M | step, M | per MAC | "
    "others, M | flash, KiB |\n|---|---|---|---|---:|---:|---|---:|---:|---|---:|\n"
)


def millions(count: float) -> str:
    """
    >>> [millions(n) for n in (168_557_604, 17_000_000, 1_996_000, 94_321)]
    ['168.6', '17.0', '2.00', '0.0943']
    """
    value = count / 1e6
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 1 else f"{value:.4f}"


def others(what: str, model: str, core: str) -> str:
    """The figures of other engines, of an inference or a step."""
    known = ((engine.name, engine.of(what, model, core)) for engine in engines())
    return ", ".join(f"{name} {value:g}" for name, value in known if value is not None) or "-"


def row(count: Count) -> str:
    cells = (
        count.model, f"`{count.update}`", count.core, count.variant,
        millions(count.inference), f"{count.inference / count.forward_macs:.2f}",
        others("inference", count.model, count.core),
        millions(count.step), f"{count.step / count.step_macs:.2f}",
        others("step", count.model, count.core),
        f"{count.flash_bytes / 1024:.1f}",
    )  # fmt: skip
    return f"| {' | '.join(cells)} |\n"


def table(counts: Iterable[Count]) -> str:
    return HEADER + "".join(map(row, counts))

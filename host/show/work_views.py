# SPDX-License-Identifier: Apache-2.0
"""Instructions, time and energy of a run, as a page shows them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mcutrain.host.show.charts import Bar
from mcutrain.host.show.pages import PageTable, core_name, joules, number, seconds
from mcutrain.host.show.run_views import Run, alike

PARTS = ("forward", "backward", "update")  # of a step, in the colours 1 to 3
MOST_LAYERS = 40  # bars that can be read


def work_views(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Instructions of a step by layer."""
    return [work_view(targets, run["work"]) for targets, run in alike(runs, "work")]


def work_view(targets: str, work: dict[str, Any]) -> dict[str, Any]:
    every = [(row["label"], row["instructions"]) for row in work["layers"]]
    rows = [(name, parts) for name, parts in every if sum(parts.values())]
    largest = sorted(rows, key=lambda row: -sum(row[1].values()))[:MOST_LAYERS]
    shown = [row for row in rows if row in largest]
    top = max((sum(parts.values()) for _, parts in rows), default=1)
    left = len(rows) - len(shown)
    more = [f"The {left} smallest layers are left out."] if left else []
    return {
        "title": targets,
        "bars": [bar(name, parts, top) for name, parts in shown],
        "says": " ".join([*said(work), *more]),
    }


def bar(name: str, parts: Mapping[str, int], top: int) -> Bar:
    counts = [(part, parts.get(part, 0)) for part in PARTS]
    drawn = [
        (part, 100 * count / top, n, number(count)) for n, (part, count) in enumerate(counts, 1)
    ]
    return Bar(name, 100.0, number(sum(parts.values())), parts=[d for d in drawn if d[1]])


def said(work: dict[str, Any]) -> Iterator[str]:
    """Where the instructions come from, and what they are not."""
    counted = work["step_is_counted"]
    yield f"A step takes {work['step']:,} instructions, an inference {work['inference']:,}."
    if counted:
        yield f"They were counted in {work.get('emulator', 'QEMU')} and are exact."
    else:
        yield f"They are predicted for a {core_name(work['core'])}."
    if counted and work["by_layer"] == "predicted":
        yield "The bars of the layers are predicted."
    if work["cycles"]:
        per = work["cycles"] / work["step"] if work["step"] else 0.0
        yield (
            f"The estimate is {work['cycles']:,} cycles, {per:.2f} for each instruction, by Arm's "
            "manuals and without wait states."
        )
    else:
        yield "Instructions are not cycles: a core takes one or more cycles for each."
    if found := work.get("counted_cycles"):
        yield (
            f"{found['emulator']} counted {found['step']:,} cycles of a step and "
            f"{found['inference']:,} of an inference; {found['caveat']}."
        )
    if work["is_like"]:
        yield "This target is no microcontroller, so the prediction is of portable C on that core."
    else:
        yield from (f"{note[:1].upper()}{note[1:]}." for note in work["notes"])


def board_table(run: Run) -> PageTable | None:
    boards, steps = run["work"]["boards"], run["steps"]
    if not boards:
        return None
    head = (
        "chip", "core", "instructions of a step", "time", "energy", "time of an inference",
        f"all {steps:,} steps",
    )  # fmt: skip
    rows = [
        (
            b["chip"], core_name(b["core"]),
            f"{number(b['step_instructions'])} {'counted' if b['counted'] else 'predicted'}",
            seconds(b["step_seconds"]), joules(b["step_joules"]), seconds(b["inference_seconds"]),
            f"{seconds(b['step_seconds'] * steps)}, {joules(b['step_joules'] * steps)}",
        )
        for b in boards
    ]  # fmt: skip
    return PageTable("Estimates", head, rows)


def sheet_table(run: Run) -> PageTable:
    head = ("chip", "a board with it", "clock", "current", "voltage", "cycles for each", "source")
    rows = [
        (
            b["chip"], b["boards"], f"{b['clock_mhz']:g} MHz", f"{b['current_ma']:g} mA",
            f"{b['volts']:g} V", f"{b['cycles_per_instruction']:.2f}", b["source"],
        )
        for b in run["work"]["boards"]
    ]  # fmt: skip
    return PageTable("", head, rows, {1, 6})

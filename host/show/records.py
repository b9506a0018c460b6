# SPDX-License-Identifier: Apache-2.0
"""What `mcutrain audit`, `unlearn` and `blame` have found, for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mcutrain.host.record.audit import Audited
from mcutrain.host.record.blame import Blame
from mcutrain.host.record.unlearn import Unlearned
from mcutrain.host.record.writer import DEVICE


def audit_lines(found: Audited) -> Iterator[str]:
    """What is proved, and by what."""
    yield from (f"note: {note}" for note in found.notes)
    if not found.proves:
        return
    keeper = "the device kept" if found.kept_by == DEVICE else "only the host kept"
    yield (
        f"proved: {found.of} is what {found.steps:,} steps lead to, taken again in the reference "
        "with the samples of the record, which are in the data"
    )
    yield f"chain value {found.head.hex()}, which {keeper}"


def unlearn_lines(found: Unlearned) -> Iterator[str]:
    """What was learned again, what was decided anew, and what is claimed."""
    job = found.job
    yield (
        f"learned again without {job.left_out}: {found.steps:,} steps taken, {found.left_steps:,} "
        f"left out; {job.save} has what was learned"
    )
    for each in found.repeated:
        was = "" if each.before in (None, each.after) else f", {text(each.before)} before"
        yield f"decided again: {each.what}: {text(each.after)}{was}"
    if found.claims:
        yield (
            "the new state never saw these samples: they were taken out of the data before "
            "anything was decided"
        )
    for reason in found.reasons:
        yield f"not claimed: {reason}"
    yield from (f"note: {note}" for note in found.notes)


def text(value: Any) -> str:
    """A decision in words."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else "none" if value is None else str(value)


def blame_tables(found: Blame) -> None:
    """The worst steps."""
    from rich.table import Table

    from mcutrain.host.show.terminal import out

    looked = f"{found.measured:,} of {found.steps:,} steps"
    title = f"{found.job.record}: {looked}, measured with {found.samples} {found.split} samples"
    table = Table(title=title)
    for name in ("step", "learned from", "label", "loss before", "after", "rise"):
        table.add_column(name, justify="left" if name == "learned from" else "right")
    if found.has_labels:
        table.add_column("right", justify="right")
    for each in found.worst:
        name = each.name if each.of == "train" else f"{each.name} of {each.of}"
        cells = [f"{each.step:,}", name, str(each.label) if found.has_labels else "-"]
        cells += [f"{each.loss_before:.4f}", f"{each.loss_after:.4f}", f"{each.rise:+.4f}"]
        if found.has_labels:
            cells.append(f"{each.right_before} to {each.right_after}")
        table.add_row(*cells)
    out.print(table)

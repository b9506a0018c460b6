# SPDX-License-Identifier: Apache-2.0
"""The arena over a step, as a picture shows it: columns, boxes, and the nodes that need most."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

from mcutrain.host.kinds import arena_kinds
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.graph.tensor import Role, Tensor
from mcutrain.trainer.planner.memory import Slot, bytes_covered
from mcutrain.trainer.planner.row_region import RowRegion
from mcutrain.trainer.training_plan import TrainingPlan

MISSING = "\ufffd"


def plain(text: str) -> str:
    """The text in one line, without what a page or a font could not show.

    >>> plain("a\\x1b[1m") == "a" + MISSING + "[1m"
    True
    """
    return "".join(c if c.isprintable() else MISSING for c in text)


@dataclass(frozen=True)
class Box:
    """A slot with all that lie in it: a tensor and its aliases, or the scratch memory of a node."""

    items: tuple[Tensor | Node, ...]
    kind: str
    slot: Slot

    @property
    def name(self) -> str:
        names = " = ".join(plain(item.name) for item in self.items)
        return f"{names} (scratch)" if isinstance(self.items[0], Node) else names

    @property
    def label(self) -> str:
        """The name in the model's file; empty if it has none."""
        labels = [item.label for item in self.items if isinstance(item, Tensor)]
        return next((plain(label) for label in labels if label), "")


@dataclass(frozen=True)
class Arena:
    """The arena of a plan. A node has one column, a region one for each of its inner nodes."""

    plan: TrainingPlan

    @property
    def nodes(self) -> list[Node]:
        return self.plan.graph.nodes

    @cached_property
    def boxes(self) -> list[Box]:
        """One for each slot, in the order of the plan's."""
        kinds, items = arena_kinds(self.plan), dict[Slot, list[Tensor | Node]]()
        for item, slot in self.plan.memory.slots.items():
            items.setdefault(slot, []).append(item)
        return [Box(tuple(held), kinds[held[0]], slot) for slot, held in items.items()]

    def live(self, step: int) -> list[Box]:
        """Those in use during a node, from the highest down."""
        found = [box for box in self.boxes if box.slot.first <= step <= box.slot.last]
        return sorted(found, key=lambda box: -self.bottom(box))

    @cached_property
    def in_use(self) -> list[int]:
        """Bytes in use during each node."""
        return [bytes_covered(b.slot for b in self.live(k)) for k in range(len(self.nodes))]

    @cached_property
    def peaks(self) -> list[int]:
        """The nodes during which most bytes are in use."""
        most = max(self.in_use)
        return [k for k, nbytes in enumerate(self.in_use) if nbytes == most]

    @cached_property
    def floors(self) -> dict[str, int]:
        return self.plan.memory.floors

    def bottom(self, box: Box) -> int:
        return self.floors[box.slot.memory] + box.slot.offset

    @cached_property
    def columns(self) -> list[list[str]]:
        """The names over each node: its own, or those within a region."""
        inner = (
            node.op.nodes if isinstance(node.op, RowRegion) else (node,) for node in self.nodes
        )
        return [[plain(node.name) for node in nodes] for nodes in inner]

    @cached_property
    def regions(self) -> list[int]:
        """The nodes that go row by row."""
        return [k for k, node in enumerate(self.nodes) if isinstance(node.op, RowRegion)]

    @cached_property
    def starts(self) -> list[int]:
        """The first column of each node, and behind the last one."""
        found = [0]
        for names in self.columns:
            found.append(found[-1] + len(names))
        return found

    def span(self, box: Box) -> tuple[int, int]:
        """The columns [first, end) of a box; -1 is before the step, one more is behind it."""
        first, last, starts = box.slot.first, box.slot.last, self.starts
        begin = starts[first] if first >= 0 else -1
        return begin, starts[last + 1] if last < len(self.nodes) else starts[-1] + 1

    @cached_property
    def shared(self) -> list[tuple[int, int, int]]:
        """(node, bottom, bytes) where an output lies over its input: both hold the bytes then."""
        found = []
        for step in range(len(self.nodes)):
            boxes = self.live(step)[::-1]
            for k, low in enumerate(boxes):
                top = self.bottom(low) + low.slot.size
                for high in boxes[k + 1 :]:
                    start = self.bottom(high)
                    end = min(top, start + high.slot.size)
                    if start < end:
                        found.append((step, start, end - start))
        return found

    @cached_property
    def parts(self) -> list[tuple[str, int, int]]:
        """(part of the step, first node, node behind the last), in order."""
        runs = groupby(range(len(self.nodes)), key=self.part)
        found = [(part, list(steps)) for part, steps in runs]
        return [(part, steps[0], steps[-1] + 1) for part, steps in found]

    def part(self, step: int) -> str:
        """forward, loss, backward or update."""
        node, loss = self.nodes[step], self.nodes.index(self.plan.task.loss)
        if step <= loss:
            return "loss" if step == loss else "forward"
        waiting = {*(t for _, t in self.plan.learning.companions), self.plan.learning.sgd}
        changed = (node.inputs[k] for k in node.op.mutates)
        is_update = any(t.role is Role.PARAM or t in waiting for t in changed)
        return "update" if is_update else "backward"

# SPDX-License-Identifier: Apache-2.0
"""The arena of a plan as a page draws it: rectangles over columns and bytes, and what each layer
has to do with them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mcutrain.host.kinds import ARENA_KINDS
from mcutrain.host.show.arena import Arena, Box, plain
from mcutrain.host.show.pages import size
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.planner.row_region import RowRegion

PARTS = ("forward", "loss", "backward", "update")


def arena_view(arena: Arena, number: int, columns: int, top: int) -> dict[str, Any]:
    """Plan ``number`` of a page whose arenas all have room for ``columns`` and ``top`` bytes."""
    memory = arena.plan.memory
    end = arena.starts[-1] + 1

    def y(bottom: int, height: int) -> dict[str, int]:
        return {"y": top - bottom - height, "height": height}

    return {
        "width": columns + 2,
        "top": top,
        "boxes": [
            {
                "id": box_id(number, k), "kind": ARENA_KINDS.index(box.kind),
                **x_of(*arena.span(box)), **y(arena.bottom(box), box.slot.size),
                "told": described(arena, box),
            }
            for k, box in enumerate(arena.boxes)
        ],
        "over": [
            {**x_of(arena.starts[step], arena.starts[step + 1]), **y(bottom, nbytes)}
            for step, bottom, nbytes in arena.shared
        ],
        "rules": [
            {"name": "arena", "y": top - memory.arena_bytes, "end": end, "is_bound": False},
            {"name": "lower bound", "y": top - memory.lower_bound, "end": end, "is_bound": True},
            *(
                {"name": name, "y": top - floor, "end": end, "is_bound": False}
                for name, floor in (arena.floors.items() if len(arena.floors) > 1 else ())
            ),
        ],
        "peaks": [
            {**x_of(arena.starts[k], arena.starts[k + 1]), **y(0, memory.arena_bytes)}
            for k in arena.peaks
        ],
        "parts": [
            {**x_of(arena.starts[first], arena.starts[last]), "kind": PARTS.index(part)}
            for part, first, last in arena.parts
        ],
        "data": {
            "width": columns + 2,
            "top": top,
            "columns": [name for names in arena.columns for name in names],
            "names": [box.name for box in arena.boxes],
            "told": [described(arena, box) for box in arena.boxes],
        },
    }  # fmt: skip


def box_id(plan: int, box: int) -> str:
    return f"slot_{plan}_{box}"


def x_of(begin: int, end: int) -> dict[str, int]:
    return {"x": begin, "width": end - begin}


def described(arena: Arena, box: Box) -> str:
    """A box in a sentence, as the page shows it under the pointer."""
    first, last = when(arena, box.slot.first), when(arena, box.slot.last)
    label = f" ({box.label})" if box.label not in ("", box.name) else ""
    time = f"during {first}" if first == last else f"from {first} to {last}"
    return f"{box.name}{label}: {box.kind}, {size(box.slot.size)} at {box.slot.offset:,}, {time}"


def when(arena: Arena, step: int) -> str:
    if 0 <= step < len(arena.nodes):
        return plain(arena.nodes[step].name)
    return "before the step" if step < 0 else "behind the step"


def boxes_of_layers(arena: Arena, operators: Sequence[int]) -> list[list[int]]:
    """For each layer, by the index of its operator, the boxes of all that its nodes read, write or
    work in, in forward and backward pass."""
    found: dict[int, set[int]] = {operator: set() for operator in operators}
    numbers = {box.slot: k for k, box in enumerate(arena.boxes)}
    slots = arena.plan.memory.slots
    for node in all_nodes(arena):
        for item in (node, *node.inputs, *node.outputs):
            if node.index in found and item in slots:
                found[node.index].add(numbers[slots[item]])
    return [sorted(found[operator]) for operator in operators]


def all_nodes(arena: Arena) -> Iterator[Node]:
    """The nodes of a step, those within regions too."""
    for node in arena.nodes:
        yield node
        if isinstance(node.op, RowRegion):
            yield from node.op.nodes

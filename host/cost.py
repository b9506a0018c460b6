# SPDX-License-Identifier: Apache-2.0
"""What a plan costs: what is known without building, and what a build of it measures."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import Any

from mcutrain.host.building.firmware import Build
from mcutrain.host.building.source import constant_bytes, copied_constant_bytes
from mcutrain.host.kinds import arena_bytes, state_bytes
from mcutrain.host.request import Request
from mcutrain.trainer.errors import Error, ModelError
from mcutrain.trainer.graph.call import Row
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.graph.tensor import Role
from mcutrain.trainer.nibbles import nibble_layers, saved_bytes
from mcutrain.trainer.packing import packed_nodes
from mcutrain.trainer.planner.memory import bytes_covered
from mcutrain.trainer.planner.row_region import RowRegion
from mcutrain.trainer.training_plan import TrainingPlan

MAIN_RAM = "ram"
# What only a build tells; None without one.
MEASURED = (
    "stack_bytes", "link_bytes", "other_ram_bytes", "sram_bytes", "code_bytes",
    "other_flash_bytes", "flash_bytes", "stack_path", "memories",
)  # fmt: skip

REGION_SIZE_BYTES = 4  # of a region's size (mct_region); its address has a word

# Of the RAM that is other to host.measure.footprint, what the plan knows, by its name there.
OWN_RAM = {
    "latent_slot_bytes": "latents",
    "ahead_bytes": "ahead",
    "record_bytes": "record",
    "copied_constant_bytes": "constants",
}


def planned(plan: TrainingPlan) -> dict[str, Any]:
    """Bytes and operations that follow from the plan alone, on any target."""
    return {
        "model": plan.name,
        "scheme": plan.scheme.name,
        "chip": plan.chip.name,
        "packing": packing(plan),
        "int4": int4(plan),
        "variants": dict(Counter(n.op.unit for n in plan.operations if n.op.needs)),
        "classes": plan.classes,
        "formats": asdict(plan.formats),
        "numerics_hash": plan.numerics_hash.hex(),
        "stream_input": plan.arriving is not None,
        "receive_ahead": plan.options.receive_ahead,
        "arena_bytes": plan.memory.arena_bytes,
        "arena_bound_bytes": plan.memory.lower_bound,
        "arena_parts": arena_bytes(plan),
        "learned_bytes": plan.memory.state_bytes,
        "learned_parts": state_bytes(plan),
        "latent_slot_bytes": plan.slot_bytes or None,
        "ahead_bytes": plan.ahead_bytes or None,
        "record_bytes": plan.record_bytes or None,
        "copied_constant_bytes": copied_constant_bytes(plan, plan.chip) or None,
        "flash_latent_bytes": None if plan.latents.flash is None else plan.latents.flash.nbytes,
        "constant_bytes": constant_bytes(plan),
        "notes": [asdict(note) for note in plan.notes],
        "forward_macs": plan.forward_macs,
        "step_macs": plan.step_macs,
        "recomputed_macs": plan.recomputed_macs or None,
        "recompute_saves_bytes": plan.saved_bytes or None,
        **dict.fromkeys(MEASURED),
    }


def packing(plan: TrainingPlan) -> dict[str, Any]:
    """How many layers have packed weights, by how much that makes the constants larger, and about
    how many instructions of an inference it saves."""
    packed = packed_nodes(plan.operations)
    return {
        "optimize": plan.options.optimize,
        "layers": len(packed),
        "added_bytes": sum(each.added_bytes for each in packed),
        "saves_instructions": sum(each.saves for each in packed),
    }


def int4(plan: TrainingPlan) -> dict[str, Any]:
    """How many layers have frozen weights of four bits, and by how much that makes the constants
    smaller."""
    return {
        "frozen": plan.options.frozen,
        "layers": len(nibble_layers(plan.operations)),
        "saved_bytes": saved_bytes(plan.operations),
    }


def measured(build: Build) -> dict[str, Any]:
    """The whole cost of a build. Raises Error if the plan and the linker disagree by a byte."""
    predicted = {
        **planned(build.plan),
        "copied_constant_bytes": copied_constant_bytes(build.plan, build.target.chip) or None,
        "target": build.target.name,
        "build_hash": build.build_hash.hex(),
        "elf": str(build.elf),
    }
    if build.footprint is None:
        return predicted
    footprint = dict(build.footprint)
    interface = interface_bytes(build)
    footprint["constant_bytes"] -= interface
    footprint["other_flash_bytes"] = {**footprint["other_flash_bytes"], "interface": interface}
    other = dict(footprint["other_ram_bytes"])
    if "constants" in other:  # copied, and with them the interface
        other |= {"constants": other["constants"] - interface, "interface": interface}
    for key, name in OWN_RAM.items():
        footprint[key] = other.pop(name, None)
    footprint["other_ram_bytes"] = other
    for key in ("arena_bytes", "learned_bytes", *OWN_RAM, "constant_bytes"):
        if footprint[key] != predicted[key]:
            raise differs(build, key, predicted[key], footprint[key])
    footprint["memories"] = memory_rows(build, footprint)
    return {**predicted, **{key: footprint[key] for key in MEASURED}}


def memory_rows(build: Build, footprint: dict[str, Any]) -> list[dict[str, Any]]:
    """Name, bytes used and bytes available of each memory of the build's board, the main RAM first;
    none on this computer. Raises Error if plan and linker disagree by a byte."""
    chip = build.target.chip
    if chip.ram_bytes is None:
        return []
    beside = dict(footprint["memories"])
    for name, nbytes in beside.items():
        if (predicted := build.plan.memory.ram_bytes.get(name, 0)) != nbytes:
            raise differs(build, f"bytes in {name}", predicted, nbytes)
    used = {MAIN_RAM: footprint["sram_bytes"] - sum(beside.values()), **beside}
    there = {MAIN_RAM: chip.ram_bytes, **{m.name: m.nbytes for m in chip.beside}}
    return [{"name": n, "used_bytes": used[n], "available_bytes": there[n]} for n in there]


def differs(build: Build, key: str, predicted: int, found: int) -> Error:
    return Error(
        f"{build.elf}: the plan says {key} {predicted}, the linker map {found}; "
        "this is a bug of mcutrain"
    )


def resident_rows(build: Build) -> list[dict[str, Any]]:
    """Every byte of RAM and flash of a build: a row per symbol, stack and gap, with its class.

    Rows of kind ``ram`` or ``both`` add up to ``sram_bytes``, rows of kind ``flash`` or ``both``
    to ``flash_bytes``; a host port's stack has no row.
    """
    if build.footprint is None:
        return []
    classes = build.footprint["classes"].items()
    return [{"class": name, **row} for name, found in classes for row in found["rows"]]


def interface_bytes(build: Build) -> int:
    """Constants beside the plan's: the numerics hash, and address and size of each region."""
    word = build.target.chip.word_bytes
    return 8 + len(build.plan.memory.regions) * (word + max(word, REGION_SIZE_BYTES))


def format_bytes(plan: TrainingPlan) -> dict[str, int]:
    """What the plan's formats take: all errors that the arena holds at once, at the most of them,
    and the companions of what learns, by kind."""
    slots = [plan.memory.slots[t] for t in plan.errors]
    at_once = (
        bytes_covered(s for s in slots if s.first <= k <= s.last)
        for k in range(len(plan.graph.nodes))
    )
    return {
        "errors": max(at_once),
        **{
            kind.plural: sum(t.type.nbytes for t in plan.learning.companions.of(kind).values())
            for kind in plan.learning.companions.kinds
        },
    }


def format_prices(request: Request, plan: TrainingPlan) -> list[dict[str, Any]]:
    """For each format that the plan does not have: the bytes that a plan with it has more."""
    request, found = request.resolved(), []
    model, own = request.read(), plan.memory
    for option, formats in plan.formats.others():
        try:
            other = request.in_formats(formats).plan_of(model).memory
        except ModelError:  # the model's sums do not fit 32 bits in it
            continue
        price = {
            "arena_bytes": other.arena_bytes - own.arena_bytes,
            "learned_bytes": other.state_bytes - own.state_bytes,
        }
        found.append({"option": option, "value": getattr(formats, option), **price})
    return found


def layer_rows(plan: TrainingPlan) -> list[dict[str, Any]]:
    """One row per forward node: what it is, what it costs, what of it learns, its region."""
    rows = []
    inside = {inner: node.name for node, op in regions(plan) for inner in op.nodes}
    for node in plan.forward:
        params = [t for t in node.inputs if t.role is Role.PARAM]
        consts = [t for t in node.inputs if t.role is Role.CONST]
        rows.append(
            {
                "operator": node.index,
                "name": node.name,
                "kind": type(node.op).__name__,
                "output": list(node.output.type.shape),
                "macs": node.op.macs(node),
                "weight_bytes": sum(t.type.nbytes for t in [*params, *consts]),
                "learns": [t.name for t in params],
                "region": inside.get(node),
            }
        )
    return rows


def regions(plan: TrainingPlan) -> list[tuple[Node, RowRegion]]:
    """The nodes that are regions, each with its operator."""
    return [(node, node.op) for node in plan.graph.nodes if isinstance(node.op, RowRegion)]


def region_rows(plan: TrainingPlan) -> list[dict[str, Any]]:
    """One row per region: its nodes, and how many rows of each tensor it keeps, of how many."""
    found = []
    for node, op in regions(plan):
        by_rows = {
            arg.tensor: arg
            for call in op.pipeline.calls
            for arg in call.args
            if isinstance(arg, Row)
        }
        kept = [
            {
                "tensor": tensor.name,
                "rows": rows,
                "height": by_rows[tensor].height,
                "bytes": rows * by_rows[tensor].nbytes,
            }
            for tensor, rows in op.kept.items()
        ]
        arriving = None if op.arriving is None else op.arriving.name
        nodes = [inner.name for inner in op.nodes]
        found.append({"region": node.name, "nodes": nodes, "kept": kept, "arriving": arriving})
    return found

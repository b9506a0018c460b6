# SPDX-License-Identifier: Apache-2.0
"""What a plan costs: what is known without building, and what a build of it measures."""

from __future__ import annotations

from typing import Any

from host.build import Build, constant_bytes
from trainer.errors import Error
from trainer.plan import TrainingPlan
from trainer.tensor import Role

# What only a build tells; None without one.
MEASURED = (
    "stack_bytes", "link_bytes", "other_ram_bytes", "sram_bytes", "code_bytes",
    "other_flash_bytes", "flash_bytes", "stack_path",
)  # fmt: skip


def planned(plan: TrainingPlan) -> dict[str, Any]:
    """Bytes and operations that follow from the plan alone, on any target."""
    return {
        "model": plan.name,
        "scheme": plan.scheme.name,
        "classes": plan.classes,
        "numerics_hash": plan.numerics_hash.hex(),
        "arena_bytes": plan.memory.arena_bytes,
        "learned_bytes": plan.memory.state_bytes,
        "constant_bytes": constant_bytes(plan),
        "forward_macs": plan.forward_macs,
        "step_macs": plan.step_macs,
        **dict.fromkeys(MEASURED),
    }


def measured(build: Build) -> dict[str, Any]:
    """The whole cost of a build. Raises Error if the plan and the linker disagree by a byte."""
    predicted = {
        **planned(build.plan),
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
    for key in ("arena_bytes", "learned_bytes", "constant_bytes"):
        if footprint[key] != predicted[key]:
            raise Error(
                f"{build.elf}: the plan says {key} {predicted[key]:,}, the linker map "
                f"{footprint[key]:,}; this is a bug of mcutrain"
            )
    return {**predicted, **{key: footprint[key] for key in MEASURED}}


def interface_bytes(build: Build) -> int:
    """Constants beside the plan's: the numerics hash, and address and size of two regions."""
    pointer = 4 if build.target.toolchain_prefix else 8
    return 8 + 2 * 2 * pointer


def layer_rows(plan: TrainingPlan) -> list[dict[str, Any]]:
    """One row per forward node: what it is, what it costs, what of it learns."""
    rows = []
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
            }
        )
    return rows

# SPDX-License-Identifier: Apache-2.0
"""What a plan costs: what is known without building, and what a build of it measures."""

from __future__ import annotations

from typing import Any

from host.build import Build, constant_bytes
from trainer.errors import Error
from trainer.plan import TrainingPlan
from trainer.tensor import Role


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
    }


def measured(build: Build) -> dict[str, Any]:
    """The whole cost of a build. Raises Error if the plan and the linker disagree by a byte."""
    predicted, footprint = planned(build.plan), build.footprint
    for key in ("arena_bytes", "learned_bytes", "constant_bytes"):
        wanted = predicted[key] + (target_constants(build) if key == "constant_bytes" else 0)
        if footprint[key] != wanted:
            raise Error(
                f"{build.elf}: the plan says {key} {wanted:,}, the linker map {footprint[key]:,}; "
                "this is a bug of mcutrain"
            )
    shown = (
        "stack_bytes", "link_bytes", "sram_bytes", "flash_bytes", "constant_bytes", "code_bytes",
        "other_ram_bytes", "other_flash_bytes", "stack_path",
    )  # fmt: skip
    return {
        **predicted,
        "target": build.target.name,
        "build_hash": build.build_hash.hex(),
        **{key: footprint[key] for key in shown},
        "elf": str(build.elf),
    }


def target_constants(build: Build) -> int:
    """Constants of the generated interface beside the plan's: the numerics hash, the regions."""
    pointer = 8 if not build.target.toolchain_prefix else 4
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

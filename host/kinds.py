# SPDX-License-Identifier: Apache-2.0
"""What the bytes of a plan are for: slots of the arena, learned state, RAM and flash by kind."""

from __future__ import annotations

from typing import Any

import numpy as np

from mcutrain.trainer.graph.graph import storage
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.graph.tensor import DType, Role, Tensor
from mcutrain.trainer.ops.clamp_mask import ClampMask
from mcutrain.trainer.ops.error import EXPONENT
from mcutrain.trainer.ops.sgd import COMPANIONS
from mcutrain.trainer.planner.channel_region import ChannelRegion
from mcutrain.trainer.planner.row_region import RowRegion
from mcutrain.trainer.training_plan import TrainingPlan

ARENA_KINDS = ("inputs", "activations", "rings", "masks", "errors", "scratch", "other")
STATE_KINDS = (
    "weights",
    *(kind.plural for kind in COMPANIONS if kind.is_beside),
    "biases",
    *(kind.plural for kind in COMPANIONS if not kind.is_beside),
    "histories",
    "counters",
    "alignment",
)
STATE_NAMES = {"weights": "learned weights", "biases": "learned biases"}


def arena_kinds(plan: TrainingPlan) -> dict[Tensor | Node, str]:
    """One of ARENA_KINDS for each item of the arena; an alias is of its source's kind.

    Inputs are samples and targets, errors have their exponents with them. Other is what a step
    reports.
    """
    found: dict[Tensor | Node, str] = {}
    inference = set(plan.inference)
    again = set() if plan.recomputation is None else set(plan.recomputation.done.originals)
    for node in plan.graph.nodes:
        is_error = len(node.outputs) > 1 and node.outputs[1].type == EXPONENT
        if isinstance(node.op, RowRegion):
            found.update(dict.fromkeys(node.op.rings(node), "rings"))
        if isinstance(node.op, ChannelRegion):
            made = (t for t in (*node.op.inner, *node.outputs) if t.role is Role.ACTIVATION)
            found.update(dict.fromkeys(made, "errors"))
        for k, tensor in enumerate(node.outputs):
            if isinstance(node.op, ClampMask):
                found[tensor] = "masks"
            elif is_error and k < 2:
                found[tensor] = "errors"
            elif (node in inference and tensor is not plan.task.predicted) or tensor in again:
                found[tensor] = "activations"
            elif isinstance(node.op, RowRegion):  # behind the inference; what else it makes
                found[tensor] = "masks"
    owner = storage(plan.graph)
    kinds: dict[Tensor | Node, str] = {}
    for item in plan.memory.slots:
        if isinstance(item, Node):
            kinds[item] = "scratch"
        else:
            source = owner.get(item, item)
            rest = "inputs" if source.role is Role.INPUT else "other"
            kinds[item] = found.get(source, rest)
    return kinds


def state_kind(plan: TrainingPlan, tensor: Tensor) -> str:
    """What a tensor of a plan's state is for: one of STATE_KINDS, or a companion's plural."""
    companion = plan.learning.companions.kind_of(tensor)
    if companion is not None:
        return companion.plural
    if tensor in plan.learning.histories:
        return "histories"
    if tensor.role is not Role.PARAM:
        return "counters"
    return "weights" if tensor.type.dtype is DType.S8 else "biases"


def state_bytes(plan: TrainingPlan) -> dict[str, int]:
    """Bytes of the state by kind: in all ``plan.memory.state_bytes``."""
    found = dict.fromkeys(
        (*STATE_KINDS, *(kind.plural for kind in plan.learning.companions.kinds)), 0
    )
    for tensor in plan.learning.state:
        found[state_kind(plan, tensor)] += tensor.type.nbytes
    found["alignment"] = plan.memory.state_bytes - sum(found.values())
    return found


def arena_bytes(plan: TrainingPlan) -> dict[str, int]:
    """Bytes of the arena by kind, at the node where it is fullest: in all
    ``plan.memory.arena_bytes``. What nothing holds at that node is "unused"."""
    at = plan.graph.nodes.index(plan.memory.peak(plan.graph))
    names = (*ARENA_KINDS, "unused")
    held = np.full(plan.memory.arena_bytes, len(ARENA_KINDS))
    kinds = arena_kinds(plan)
    slots = [(k, s) for k, s in plan.memory.slots.items() if s.first <= at <= s.last]
    for item, slot in slots:
        floor = plan.memory.floors[slot.memory]
        held[floor + slot.offset : floor + slot.end] = names.index(kinds[item])
    return {kind: int((held == k).sum()) for k, kind in enumerate(names)}


def ram_bytes(plan: TrainingPlan, cost: dict[str, Any]) -> dict[str, int]:
    """RAM by kind, of what is known: stack, link and other only of a build (host.cost)."""
    parts = {
        "arena": cost["arena_bytes"],
        **{STATE_NAMES.get(kind, kind): size for kind, size in state_bytes(plan).items()},
        "kept latents": cost["latent_slot_bytes"],
        "next sample": cost["ahead_bytes"],
        "record": cost["record_bytes"],
        "constants": cost["copied_constant_bytes"],
        "stack": cost["stack_bytes"],
        "link": cost["link_bytes"],
        "other": total(cost["other_ram_bytes"]),
    }
    return {kind: nbytes for kind, nbytes in parts.items() if nbytes}


def flash_bytes(cost: dict[str, Any]) -> dict[str, int]:
    """Flash by kind, of what is known: code and other only of a build."""
    latents = cost["flash_latent_bytes"] or 0
    parts = {
        "constants": cost["constant_bytes"] - latents,
        "kept latents": latents,
        "code": cost["code_bytes"],
        "other": total(cost["other_flash_bytes"]),
    }
    return {kind: nbytes for kind, nbytes in parts.items() if nbytes}


def total(parts: dict[str, int] | None) -> int:
    return sum(parts.values()) if parts else 0

# SPDX-License-Identifier: Apache-2.0
"""What the bytes of the arena and of the learned state are for, by kind. The sums are exact."""

from __future__ import annotations

import numpy as np

from trainer.graph import Node
from trainer.plan import TrainingPlan
from trainer.tensor import DType, Role, Tensor

ARENA_KINDS = (
    "input", "activations", "masks", "errors", "raw_errors", "loss", "scratch", "unused"
)  # fmt: skip
LEARNED_KINDS = (
    "weights", "fractions", "biases", "sums", "histories", "classes", "sgd", "alignment"
)  # fmt: skip


def learned_parts(plan: TrainingPlan) -> dict[str, int]:
    """Bytes of the learned state by kind; they add up to ``state_bytes``."""
    parts = dict.fromkeys(LEARNED_KINDS, 0)
    for tensor in plan.state:
        parts[_learned_kind(plan, tensor)] += tensor.type.nbytes
    parts["alignment"] = plan.memory.state_bytes - sum(parts.values())
    return parts


def _learned_kind(plan: TrainingPlan, tensor: Tensor) -> str:
    if tensor is plan.sgd:
        return "sgd"
    if tensor is plan.active:
        return "classes"
    for kind, tensors in (
        ("fractions", plan.fractions.values()),
        ("sums", plan.sums.values()),
        ("histories", plan.histories),
    ):
        if any(tensor is t for t in tensors):
            return kind
    return "weights" if tensor.type.dtype is DType.S8 else "biases"


def arena_parts(plan: TrainingPlan) -> dict[str, int]:
    """Bytes of the arena by kind, at the node where it is fullest; they add up to ``arena_bytes``.

    ``unused`` is what nothing holds at that node: gaps that the placement leaves.
    """
    at = plan.graph.nodes.index(plan.memory.peak(plan.graph))
    held = np.full(plan.memory.arena_bytes, ARENA_KINDS.index("unused"))
    kinds = _arena_kinds(plan)
    slots = plan.memory.slots.items()
    # Aliases share their source's slot: what was written first names the bytes.
    for item, slot in reversed([(k, s) for k, s in slots if s.first <= at <= s.last]):
        held[slot.offset : slot.end] = ARENA_KINDS.index(kinds.get(item, "scratch"))
    return {kind: int((held == k).sum()) for k, kind in enumerate(ARENA_KINDS)}


def _arena_kinds(plan: TrainingPlan) -> dict[Tensor | Node, str]:
    """The kind of each tensor and node that may hold bytes of the arena."""
    kinds: dict[Tensor | Node, str] = {}
    forward, errors = set(plan.inference), set(plan.errors)
    for node in plan.graph.nodes:
        kinds[node] = "scratch"
        for tensor in node.inputs:
            if tensor.role is Role.INPUT:
                kinds[tensor] = "input"
        for place, tensor in enumerate(node.outputs):
            kinds[tensor] = _output_kind(
                node in forward, tensor in errors, place, node is plan.loss
            )
            if tensor is plan.predicted:
                kinds[tensor] = "loss"
    return kinds


def _output_kind(is_forward: bool, is_error: bool, place: int, is_loss: bool) -> str:
    """An operator's first output is its value; further ones are what it says about it."""
    if is_forward:
        return "masks" if place else "activations"
    if is_loss and place == 2:
        return "loss"
    return "errors" if is_error or place else "raw_errors"

# SPDX-License-Identifier: Apache-2.0
"""The class that a model predicts: the first greatest logit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mcutrain.trainer.graph.call import KernelCall
from mcutrain.trainer.graph.op import Op
from mcutrain.trainer.graph.tensor import Array, DType, TensorType

if TYPE_CHECKING:
    from mcutrain.trainer.graph.op import Node


def candidates(node: Node, logits: Array, classes: Array | None = None) -> Array:
    """(N,) int64: the logits that compete. One alone stands against the constant zero."""
    row = logits.reshape(-1).astype(np.int64)
    if row.size == 1:
        return np.array([node.inputs[0].type.zero_point, row[0]], np.int64)
    return row if classes is None else row[: int(classes[0])]


def class_params(logits: TensorType) -> dict[str, int]:
    return {"classes": logits.size, "zero_point": logits.zero_point}


@dataclass(frozen=True)
class FirstGreatest(Op):
    """logits (.., N) s8[, classes (1,) u32] -> predicted (1,) u32.

    With ``classes`` only the first so many logits count. One logit alone predicts class 1
    above its zero point, else class 0.
    """

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        return (TensorType((1,), DType.U32),)

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        return (np.array([candidates(node, *inputs).argmax()], np.uint32),)

    def lower(self, node: Node) -> KernelCall:
        logits, *classes = node.inputs
        args = (logits, *(classes or (None,)), node.output)
        name = "first_greatest"
        return KernelCall(name, f"{name}_s8", name, class_params(logits.type), args)

# SPDX-License-Identifier: Apache-2.0
"""How far a training moved each learned tensor, and how much of each layer is at its limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mcutrain.trainer.graph.tensor import Array, DType, Tensor

Shares = Mapping[str, float]


@dataclass(frozen=True)
class Moved:
    """One learned tensor of a layer: how many of its values changed, and by how many quanta, in the
    mean of all and at most. Weights have quanta of int8, biases of int32."""

    layer: str
    tensor: str
    kind: str  # "weights" or "biases"
    values: int
    changed: int
    mean: float
    most: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Limited:
    """The shares of a layer's learned weights and of its outputs that are at the limits of int8,
    before and after training. None: the layer has no such values, or its limits are by design."""

    layer: str
    weights: tuple[float, float] | None
    outputs: tuple[float, float] | None

    def to_json(self) -> dict[str, Any]:
        found = asdict(self)
        return {name: list(v) if isinstance(v, tuple) else v for name, v in found.items()}


@dataclass(frozen=True)
class Movement:
    """What a training did to the layers of a plan."""

    moved: tuple[Moved, ...]
    limited: tuple[Limited, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "moved": [each.to_json() for each in self.moved],
            "limited": [each.to_json() for each in self.limited],
        }


def moved(layer: str, tensor: Tensor, was: Array, now: Array) -> Moved:
    """How far a learned tensor, of any shape, went from ``was`` to ``now``.

    >>> from mcutrain.trainer.graph.tensor import Role, TensorType
    >>> w = Tensor("w", TensorType((2,), DType.S8), Role.PARAM)
    >>> moved("fc", w, np.int8([1, 2]), np.int8([1, -2]))
    Moved(layer='fc', tensor='w', kind='weights', values=2, changed=1, mean=2.0, most=4)
    """
    far = np.abs(now.astype(np.int64) - was.astype(np.int64)).reshape(-1)
    kind = "weights" if tensor.type.dtype is DType.S8 else "biases"
    return Moved(
        layer, tensor.name, kind, far.size, int((far > 0).sum()), float(far.mean()), int(far.max())
    )


def limited(weights: tuple[Shares, Shares], outputs: tuple[Shares, Shares]) -> tuple[Limited, ...]:
    """One row for each layer, of the shares by layer before and after."""

    def pair(shares: tuple[Shares, Shares], layer: str) -> tuple[float, float] | None:
        was, now = shares
        return (was[layer], now[layer]) if layer in was and layer in now else None

    layers = dict.fromkeys([*outputs[0], *weights[0]])
    return tuple(Limited(name, pair(weights, name), pair(outputs, name)) for name in layers)

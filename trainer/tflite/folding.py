# SPDX-License-Identifier: Apache-2.0
"""Operators that compute shapes: constant in a model of fixed size, so that none is left to run.

Keras writes SHAPE, STRIDED_SLICE and PACK before the RESHAPE of a Flatten of unknown batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import numpy as np

from mcutrain.trainer.errors import UnsupportedOpError
from mcutrain.trainer.graph.tensor import Array

if TYPE_CHECKING:
    from mcutrain.trainer.graph.op import OperatorSource


def shape(source: OperatorSource) -> Array:
    """SHAPE: the input's dimensions."""
    return np.array(source.shape(0), np.int64)


def refuse_activations(source: OperatorSource, does: str, positions: Iterable[int]) -> None:
    """Raises UnsupportedOpError where an operator does to activations what is folded of shapes."""
    for k in positions:
        if source.is_activation(k):
            label = source.activation(k).label
            raise UnsupportedOpError(
                f"{source} {does} the activation '{label}'; only shapes are computed"
            )


def strided_slice(source: OperatorSource) -> Array:
    """STRIDED_SLICE of a vector of integers. Raises UnsupportedOpError for other inputs."""
    refuse_activations(source, "takes a part of", range(1))
    x, begin, end, stride = (source.integers(k) for k in range(4))
    masks = {
        name: int(source.option(f"{name}Mask"))
        for name in ("Begin", "End", "Ellipsis", "NewAxis", "ShrinkAxis")
    }
    if x.ndim != 1 or any(v.size != 1 for v in (begin, end, stride)) or int(stride[0]) == 0:
        raise UnsupportedOpError(f"{source}: slices of one axis of a shape are supported")
    if masks["Ellipsis"] or masks["NewAxis"]:
        raise UnsupportedOpError(f"{source}: an ellipsis or a new axis is not supported")
    first = None if masks["Begin"] & 1 else int(begin[0])
    last = None if masks["End"] & 1 else int(end[0])
    if masks["ShrinkAxis"] & 1:
        first = first or 0
        if not -x.size <= first < x.size:
            raise UnsupportedOpError(f"{source}: element {first} of a shape of {x.size}")
        return np.asarray(x[first])
    return x[first : last : int(stride[0])]


def pack(source: OperatorSource) -> Array:
    """PACK of integers along the first axis. Raises UnsupportedOpError for other inputs."""
    refuse_activations(source, "stacks", range(source.inputs))
    values = [source.integers(k) for k in range(source.inputs)]
    if not values or any(v.shape != values[0].shape for v in values) or source.option("Axis"):
        raise UnsupportedOpError(f"{source}: integers of one shape along axis 0 are supported")
    return np.stack(values)


FOLDS: dict[str, Callable[[OperatorSource], Array]] = {
    "SHAPE": shape,
    "STRIDED_SLICE": strided_slice,
    "PACK": pack,
}

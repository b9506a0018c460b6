# SPDX-License-Identifier: Apache-2.0
"""Operators that compute shapes: constant in a model of fixed size, so that none is left to run.

Keras writes SHAPE, STRIDED_SLICE and PACK before the RESHAPE of a Flatten of unknown batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from mcutrain.trainer.errors import UnsupportedOpError
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.ops.gather import Gather, Tile
from mcutrain.trainer.ops.move import Move
from mcutrain.trainer.ops.slice import Slice, Split, SplitV, StridedSlice, Unpack
from mcutrain.trainer.tflite.tensors import MAX_INTEGERS

if TYPE_CHECKING:
    from mcutrain.trainer.graph.op import OperatorSource


def shape(source: OperatorSource) -> tuple[Array, ...]:
    """SHAPE: the input's dimensions."""
    return (np.array(source.activation(0).type.shape, np.int64),)


def moved(kind: type[Move], source: OperatorSource) -> tuple[Array, ...]:
    """What an operator makes of integers that it else makes of activations."""
    values = source.integers(kind.data)
    return tuple([part.moved(values) for part in bounded(kind, source, values.shape)])


def bounded(kind: type[Move], source: OperatorSource, of: tuple[int, ...]) -> list[Move]:
    """The parts of an operator. Raises UnsupportedOpError if they hold too much for a shape."""
    parts = list(kind.parts(source, of))
    size = max(math.prod(part.shape) for part in parts)
    require_few(source, size)
    return parts


def require_few(source: OperatorSource, size: int) -> None:
    if size > MAX_INTEGERS:
        raise UnsupportedOpError(f"{source} makes {size} integers; up to {MAX_INTEGERS} are folded")


def pack(source: OperatorSource) -> tuple[Array, ...]:
    """PACK of integers along the first axis. Raises UnsupportedOpError for other inputs."""
    values = [source.integers(k) for k in range(source.inputs)]
    if not values or any(v.shape != values[0].shape for v in values) or source.option("Axis"):
        raise UnsupportedOpError(f"{source}: integers of one shape along axis 0 are supported")
    require_few(source, len(values) * values[0].size)
    return (np.stack(values),)


def joined(source: OperatorSource) -> tuple[Array, ...]:
    """CONCATENATION of vectors of integers. Raises UnsupportedOpError for other inputs."""
    values = [source.integers(k) for k in range(source.inputs)]
    if not values or any(v.ndim != 1 for v in values) or source.option("Axis") not in (0, -1):
        raise UnsupportedOpError(f"{source}: vectors of integers along axis 0 are supported")
    require_few(source, sum(v.size for v in values))
    return (np.concatenate(values),)


MOVES: tuple[type[Move], ...] = (Slice, StridedSlice, Split, SplitV, Unpack, Gather, Tile)
FOLDS: dict[str, Callable[[OperatorSource], tuple[Array, ...]]] = {
    "SHAPE": shape,
    "PACK": pack,
    "CONCATENATION": joined,
    **{kind.tflite_name: partial(moved, kind) for kind in MOVES},
}

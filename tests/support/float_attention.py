# SPDX-License-Identifier: Apache-2.0
"""Layers of ``float_graph`` for attention and layer normalisation: values (N, ...) in float64."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mcutrain.trainer.graph.op import Node, Op
from mcutrain.trainer.graph.tensor import Array, Role
from mcutrain.trainer.making import float_layers as fo
from mcutrain.trainer.ops.add import Add
from mcutrain.trainer.ops.batch_matmul import BatchMatMul
from mcutrain.trainer.ops.elementwise import Elementwise
from mcutrain.trainer.ops.fully_connected import FullyConnected
from mcutrain.trainer.ops.lookup import Lookup
from mcutrain.trainer.ops.mul import Mul
from mcutrain.trainer.ops.softmax import Softmax
from mcutrain.trainer.ops.squared_difference import SquaredDifference
from mcutrain.trainer.ops.sub import Sub
from mcutrain.trainer.ops.transpose import Transpose
from tests.support.float_ops import dequantise, meaning

Pair = tuple[Array, Array]
# By operator: the value of a pair, and the derivatives by both.
PAIRS: dict[type[Op], tuple[Callable[..., Array], Callable[..., Pair]]] = {
    Add: (lambda a, b: a + b, lambda a, b: (np.ones(()), np.ones(()))),
    Sub: (lambda a, b: a - b, lambda a, b: (np.ones(()), -np.ones(()))),
    Mul: (lambda a, b: a * b, lambda a, b: (b, a)),
    SquaredDifference: (lambda a, b: (a - b) ** 2, lambda a, b: (2 * (a - b), -2 * (a - b))),
}


def summed(value: Array, shape: tuple[int, ...]) -> Array:
    """Over the axes that an operand of this shape was repeated along."""
    axes = tuple(k for k, (n, m) in enumerate(zip(value.shape, shape, strict=True)) if n != m)
    return np.asarray(value.sum(axis=axes, keepdims=True))


@dataclass(frozen=True)
class Both:
    """A pair of operands, of which one may be the constant at ``position``."""

    kind: type[Op]
    position: int | None = None
    constant: Array | None = None

    def pair(self, inputs: tuple[Array, ...]) -> Pair:
        if self.position is None:
            return inputs[0], inputs[1]
        assert self.constant is not None
        return (self.constant, inputs[0]) if self.position == 0 else (inputs[0], self.constant)

    def forward(self, inputs: tuple[Array, ...]) -> Array:
        return PAIRS[self.kind][0](*self.pair(inputs))

    def backward(self, inputs: tuple[Array, ...], dy: Array) -> fo.Grads:
        slopes = PAIRS[self.kind][1](*self.pair(inputs))
        found = [dy * slope for k, slope in enumerate(slopes) if k != self.position]
        return fo.Grads(tuple(summed(d, x.shape) for d, x in zip(found, inputs, strict=True)))


@dataclass(frozen=True)
class Curve:
    """A function of one value, with the derivative that its operator states."""

    node: Node

    def forward(self, inputs: tuple[Array, ...]) -> Array:
        return meaning(self.node, list(inputs))

    def backward(self, inputs: tuple[Array, ...], dy: Array) -> fo.Grads:
        op = self.node.op
        assert isinstance(op, Lookup)
        return fo.Grads((dy * op.slope(inputs[0]),))


@dataclass(frozen=True)
class Turn:
    """The axes behind the first in another order."""

    order: tuple[int, ...]

    def forward(self, inputs: tuple[Array, ...]) -> Array:
        return inputs[0].transpose(self.order)

    def backward(self, inputs: tuple[Array, ...], dy: Array) -> fo.Grads:
        return fo.Grads((dy.transpose(np.argsort(self.order)),))


@dataclass(frozen=True)
class Shares:
    """Softmax over the last axis."""

    beta: float

    def forward(self, inputs: tuple[Array, ...]) -> Array:
        x = self.beta * inputs[0]
        e = np.exp(x - x.max(axis=-1, keepdims=True))
        return np.asarray(e / e.sum(axis=-1, keepdims=True))

    def backward(self, inputs: tuple[Array, ...], dy: Array) -> fo.Grads:
        p = self.forward(inputs)
        return fo.Grads((self.beta * p * (dy - (p * dy).sum(axis=-1, keepdims=True)),))


@dataclass(frozen=True)
class Matrices:
    """Products of matrices (N, .., I, K) and (N, .., K, J), either of them adjoint."""

    adj_x: bool
    adj_y: bool

    def pair(self, inputs: tuple[Array, ...]) -> Pair:
        a, b = inputs
        return a.swapaxes(-1, -2) if self.adj_x else a, b.swapaxes(-1, -2) if self.adj_y else b

    def forward(self, inputs: tuple[Array, ...]) -> Array:
        a, b = self.pair(inputs)
        return np.asarray(a @ b)

    def backward(self, inputs: tuple[Array, ...], dy: Array) -> fo.Grads:
        a, b = self.pair(inputs)
        return fo.Grads(self.pair((dy @ b.swapaxes(-1, -2), a.swapaxes(-1, -2) @ dy)))


@dataclass(frozen=True)
class Rows(fo.FullyConnected):
    """x (N, .., I), w (O, I), b (O,) -> (N, .., O)."""

    def forward(self, inputs: tuple[Array, ...], w: Array, b: Array) -> Array:
        return np.asarray(inputs[0] @ w.T + b)

    def backward(self, inputs: tuple[Array, ...], w: Array, dy: Array) -> fo.Grads:
        flat, error = inputs[0].reshape(-1, w.shape[1]), dy.reshape(-1, w.shape[0])
        return fo.Grads((dy @ w,), error.T @ flat, error.sum(axis=0))


Layer = Both | Curve | Turn | Shares | Matrices | Rows


def attention_layer(node: Node) -> Layer | None:
    """The layer of a node; None for one that is no part of attention."""
    op, x = node.op, node.inputs[0].type
    if isinstance(op, FullyConnected):
        return (
            Rows()
            if len(op.out_shape) > 2 and x.shape[-1] == node.inputs[1].type.shape[1]
            else None
        )
    if isinstance(op, Elementwise):
        at = next((k for k, t in enumerate(node.inputs) if t.role is Role.CONST), None)
        if at is None:
            return Both(type(op))
        held = node.inputs[at]
        assert held.data is not None
        real = dequantise(held.type, held.data)
        return Both(type(op), at, real.reshape((1,) * (len(x.shape) - real.ndim) + real.shape))
    if isinstance(op, Lookup) and not op.passes_on:
        return Curve(node)
    if isinstance(op, Transpose):
        return Turn(op.order)
    if isinstance(op, Softmax):
        return Shares(op.beta)
    return Matrices(op.adj_x, op.adj_y) if isinstance(op, BatchMatMul) else None

# SPDX-License-Identifier: Apache-2.0
"""What the recurrent operators mean in reals, and how far their integers may be from it."""

from __future__ import annotations

import numpy as np

from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.graph.tensor import Array, TensorType
from mcutrain.trainer.ops.lstm import GATE_SCALE, GATES, UNIT, UnidirectionalSequenceLstm, parts
from mcutrain.trainer.ops.svdf import Svdf

GATE_END = 2.0**15 * GATE_SCALE  # what a gate's 16 bits hold


def sigmoid(x: Array) -> Array:
    return np.asarray(np.exp(-np.logaddexp(0, -x)))


def held(type_: TensorType, real: Array) -> Array:
    """The value that a tensor of this type can hold."""
    info = np.iinfo(type_.dtype.np)
    ends = [type_.scale * (end - type_.zero_point) for end in (info.min, info.max)]
    return np.clip(real, *ends)


def lstm(node: Node, reals: list[Array]) -> Array:
    """Each sum of a gate, and the gate, ends where 16 bits end; so do the cells."""
    op, (x_type, w_types, _, _, (h_type, c_type)) = node.op, parts(tuple(
        t.type for t in node.inputs
    ))  # fmt: skip
    assert isinstance(op, UnidirectionalSequenceLstm)
    x, weights, recurrent, biases, (h, c) = parts(tuple(reals))
    found = []
    for step in x.reshape(-1, x.shape[-1]):
        gates = []
        for k in range(GATES):
            fed = weights[k] @ step + biases[k] * x_type.scale * w_types[k].scale
            ends = np.clip([fed, recurrent[k] @ h.ravel()], -GATE_END, GATE_END)
            gates.append(np.clip(ends.sum(axis=0), -GATE_END, GATE_END))
        i, f, g, o = gates
        c = held(c_type, sigmoid(f) * c.ravel() + sigmoid(i) * np.tanh(g))
        c = np.clip(c, -op.cell_clip, op.cell_clip) if op.cell_clip else c
        h = held(h_type, sigmoid(o) * np.tanh(c))
        found.append(h)
    return np.stack(found)


def lstm_quanta(node: Node) -> float:
    """Bound of the error of one step, in quanta of the output.

    A gate has two sums of 0.75 quanta each. The functions are interpolated between points h apart
    to h^2 / 8 of their second derivative (0.1 and 0.77), of entries good to 2^-15, and rounded. A
    cell has the errors of its two products and two roundings; the output those of its own.
    """
    c_type, out = node.inputs[14].type, node.output.type
    gate = 1.5 * GATE_SCALE
    of_sigmoid = gate / 4 + 0.1 / 24**2 / 8 + 3 * UNIT
    of_tanh = 0.77 / 48**2 / 8 + 4 * UNIT
    reach = 2.0**15 * c_type.scale
    cell = of_sigmoid * (reach + 1) + gate + of_tanh + 1.5 * c_type.scale
    unit_of_cell = c_type.scale / 2  # where tanh drops bits of a fine cell, or steps coarsely
    return float((cell + of_tanh + of_sigmoid + unit_of_cell) / out.scale + 0.75)


def svdf(node: Node, reals: list[Array]) -> Array:
    op, types = node.op, [t.type for t in node.inputs]
    assert isinstance(op, Svdf)
    x, features, times, *bias, state = reals
    newest = held(types[-1], features @ x.ravel())
    kept = np.concatenate([state.reshape(times.shape)[:, 1:], newest[:, None]], axis=1)
    by_unit = (kept * times).sum(axis=1).reshape(-1, op.rank).sum(axis=1)
    return by_unit + (bias[0] * types[-1].scale * types[2].scale if bias else 0.0)


def svdf_quanta(node: Node) -> float:
    """The newest of each filter's sums has 0.75 quanta of the state, and factors in float32 are
    good to 2^-22 of a value that the state's type holds."""
    assert isinstance(node.op, Svdf)
    times, state, out = node.inputs[2].type, node.inputs[-1].type, node.output.type
    greatest = 2.0 ** (8 * state.dtype.nbytes - 1)
    newest = (0.75 + 2.0 * greatest * 2.0**-22) * state.scale
    return float(newest * node.op.rank * greatest * times.scale / out.scale + 0.75 + 1e-3)


RECURRENT_MEANINGS = {UnidirectionalSequenceLstm: lstm, Svdf: svdf}

# SPDX-License-Identifier: Apache-2.0
"""Long short-term memory over a sequence, with int16 cells, as tflite-micro computes it; frozen.

Forward, in reals, for each time step (TFLite quantisation specification,
UNIDIRECTIONAL_SEQUENCE_LSTM; Hochreiter and Schmidhuber 1997):
c = sigmoid(f) c + sigmoid(i) tanh(g),  h = sigmoid(o) tanh(c),  each gate w x + r h + b.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mcutrain.trainer.errors import UnsupportedOpError
from mcutrain.trainer.fixedpoint import Int64, Requant, requantize, wrap32
from mcutrain.trainer.graph.call import KernelCall, Table
from mcutrain.trainer.graph.once import once_per_node
from mcutrain.trainer.graph.op import Op, OutputScale
from mcutrain.trainer.graph.tensor import Array, DType, Tensor, TensorType
from mcutrain.trainer.ops.sigmoid16 import INPUT_BITS, SIGMOID_TABLE, TanhScale, logistic16, tanh16
from mcutrain.trainer.ops.weighted import MAX_FAN_IN

if TYPE_CHECKING:
    from mcutrain.trainer.graph.op import Node, OperatorSource

GATES = 4  # input, forget, cell, output: the order of the schema
GATE_SCALE, UNIT = 2.0**-INPUT_BITS, 2.0**-15
LEAST_POWER, GREATEST_POWER = -24, 0  # of the cells' scale
INT16_MIN, INT16_MAX = -(2**15), 2**15 - 1
GATE_TANH = TanhScale.of_power(-INPUT_BITS)
TANH = 4  # ActivationFunctionType of the schema


@dataclass(frozen=True)
class LstmScales:
    """What scales the sums and products of one layer."""

    inputs: tuple[Requant, ...]  # of each gate
    recurrent: tuple[Requant, ...]
    kept: Requant  # forget gate times cell
    added: Requant  # input gate times new value
    hidden: Requant  # output gate times tanh of the cell
    tanh: TanhScale
    clip: int  # greatest magnitude of a cell


@dataclass(frozen=True)
class UnidirectionalSequenceLstm(Op):
    """x (1, T, I) s8, four w (S, I) s8, four r (S, S) s8, four b (S,) s32, h (1, S) s8, c (1, S)
    s16 -> out (1, T, S) s8, and h and c behind the last time step. Time may come first.

    ``cell_clip`` limits the cells, in reals; 0 does not.
    """

    tflite_name = "UNIDIRECTIONAL_SEQUENCE_LSTM"
    output_suffixes = ("", "_h", "_c")
    output_scale = OutputScale.FIXED  # that of its state
    is_frozen = True
    keeps = (13, 14)
    cell_clip: float = 0.0

    @classmethod
    def from_tflite(cls, source: OperatorSource) -> tuple[Op, tuple[Tensor, ...]]:
        x, weights = source.activation(0), [source.weights(k) for k in range(1, 9)]
        if len(x.type.shape) != 3 or x.type.shape[1 if source.option("TimeMajor") else 0] != 1:
            raise UnsupportedOpError(
                f"{source} has the input {x.type.shape}; sequences with a batch of 1 are supported",
                "convert the model with a batch of 1",
            )
        cells = weights[0].type.shape[0]
        biases = [b for k in range(12, 16) for b in source.bias(cells, k)]
        if len(biases) < GATES:
            raise UnsupportedOpError(f"{source} has a gate without a bias")
        if source.option("FusedActivationFunction") != TANH or source.option("CellClip") < 0:
            raise UnsupportedOpError(
                f"{source} has another activation than TANH, or a negative limit of its cells",
                "take the LSTM of Keras with its default activations",
            )
        source.option("ProjClip")  # of a projection, which tflite-micro has not
        if source.option("DiagonalRecurrentTensors"):
            raise UnsupportedOpError(f"{source} has recurrent weights of a diagonal alone")
        source.pass_over_intermediates()
        h, c = source.state(18, DType.S8), source.state(19, DType.S16)
        if h.type.quant != source.out.type.quant:
            raise UnsupportedOpError(f"{source}: output and state have different quantisations")
        return cls(float(source.option("CellClip"))), (x, *weights, *biases, h, c)

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        x, weights, recurrent, biases, (h, c) = parts(types)
        cells, depth = h.size, x.shape[-1]
        if len(x.shape) != 3 or 1 not in x.shape[:2]:
            raise ValueError(f"x {x.shape} is no sequence with a batch of 1")
        shapes = [t.shape for t in (*weights, *recurrent, *biases)]
        wanted = [(cells, depth)] * GATES + [(cells, cells)] * GATES + [(cells,)] * GATES
        if shapes != wanted or c.size != cells:
            raise ValueError(f"weights {shapes} do not fit {depth} inputs and {cells} cells")
        if max(depth, cells) > MAX_FAN_IN:
            raise ValueError(f"{max(depth, cells)} products in a sum; {MAX_FAN_IN} are supported")
        if any(t.quant is None or len(t.quant.scales) != 1 for t in (*weights, *recurrent)):
            raise ValueError("each gate's weights have one scale in tflite-micro, not one a filter")
        self.scales(types)
        return TensorType((*x.shape[:2], cells), DType.S8, h.quant), h, c

    def scales(self, types: tuple[TensorType, ...]) -> LstmScales:
        """Raises ValueError for scales that cannot be expressed."""
        x, weights, recurrent, _, (h, c) = parts(types)
        power = math.log2(c.scale)
        if power != round(power) or not LEAST_POWER <= power <= GREATEST_POWER or c.zero_point:
            raise ValueError(
                f"the cells have the scale {c.scale:.6g} and zero point {c.zero_point}; a power of "
                f"two from 2**{LEAST_POWER} to 2**{GREATEST_POWER} and 0 are supported"
            )
        limit = math.trunc(min(self.cell_clip / c.scale, INT16_MAX))
        return LstmScales(
            tuple(Requant.from_real(x.scale * w.scale / GATE_SCALE) for w in weights),
            tuple(Requant.from_real(h.scale * r.scale / GATE_SCALE) for r in recurrent),
            Requant.from_real(UNIT),
            Requant.from_real(UNIT * UNIT / c.scale),
            Requant.from_real(UNIT * UNIT / h.scale),
            TanhScale.of_power(round(power)),
            limit if self.cell_clip > 0 else -INT16_MIN,
        )

    @once_per_node
    def node_scales(self, node: Node) -> LstmScales:
        return self.scales(tuple(t.type for t in node.inputs))

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        x, weights, recurrent, biases, (h, c) = parts(inputs)
        s, (x_type, h_type) = self.node_scales(node), (node.inputs[k].type for k in (0, 13))
        steps = x.reshape(-1, x.shape[-1]).astype(np.float64) - x_type.zero_point
        sums = [steps @ w.T.astype(np.float64) + b for w, b in zip(weights, biases, strict=True)]
        given = [scaled16(wrap32(acc), r) for acc, r in zip(sums, s.inputs, strict=True)]
        across = [r.T.astype(np.float64) for r in recurrent]
        hidden, cell = h.reshape(-1).astype(np.int64), c.reshape(-1).astype(np.int64)
        out = np.empty((len(steps), hidden.size), np.int8)
        for t in range(len(steps)):
            centred = hidden - h_type.zero_point
            back = ((centred @ r).astype(np.int64) for r in across)
            fed = [scaled16(acc, r) for acc, r in zip(back, s.recurrent, strict=True)]
            i, f, g, o = (clip16(a[t] + b) for a, b in zip(given, fed, strict=True))
            kept = scaled16(logistic16(f) * cell, s.kept)
            added = scaled16(logistic16(i) * tanh16(g, GATE_TANH), s.added)
            cell = np.clip(clip16(kept + added), -s.clip, s.clip)
            product = tanh16(cell, s.tanh) * logistic16(o)
            value = requantize(product, s.hidden.multiplier, s.hidden.shift)
            hidden = np.clip(wrap32(value + h_type.zero_point), -128, 127)
            out[t] = hidden
        last = hidden.astype(np.int8).reshape(h.shape), cell.astype(np.int16).reshape(c.shape)
        return (out.reshape(node.output.type.shape), *last)

    def lower(self, node: Node) -> KernelCall:
        x, weights, recurrent, biases, (h, c) = parts(node.inputs)
        s, depth = self.node_scales(node), x.type.shape[-1]
        gates = [
            [v for r in pair for v in (r.multiplier, r.shift)]
            for pair in zip(s.inputs, s.recurrent, strict=True)
        ]
        params = {
            "steps": x.type.size // depth,
            "inputs": depth,
            "cells": h.type.size,
            "x_zero_point": x.type.zero_point,
            "h_zero_point": h.type.zero_point,
            "kept_multiplier": s.kept.multiplier,
            "kept_shift": s.kept.shift,
            "added_multiplier": s.added.multiplier,
            "added_shift": s.added.shift,
            "hidden_multiplier": s.hidden.multiplier,
            "hidden_shift": s.hidden.shift,
            "tanh_multiplier": s.tanh.multiplier,
            "tanh_shift": s.tanh.shift,
            "clip": s.clip,
        }
        table = Table("gates", np.array(gates, np.int32))
        args = (x, weights, recurrent, biases, table, SIGMOID_TABLE, h, c, *node.outputs)
        return KernelCall("lstm", "lstm_s8", "lstm", params, args)

    def macs(self, node: Node) -> int:
        x, h = node.inputs[0].type, node.inputs[13].type
        steps = x.size // x.shape[-1]
        return GATES * steps * h.size * (x.shape[-1] + h.size)


def parts(each: tuple) -> tuple:  # type: ignore[type-arg]
    """(x, weights, recurrent weights, biases, (h, c)) of an LSTM's inputs, whatever they are."""
    return each[0], each[1:5], each[5:9], each[9:13], each[13:15]


def clip16(x: Int64) -> Int64:
    return np.clip(x, INT16_MIN, INT16_MAX)


def scaled16(acc: Int64, r: Requant) -> Int64:
    return clip16(requantize(acc, r.multiplier, r.shift))

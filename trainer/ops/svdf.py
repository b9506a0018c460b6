# SPDX-License-Identifier: Apache-2.0
"""A layer whose filters are products of a feature and a time filter, over the inputs of the last
inferences, as tflite-micro computes it; frozen.

Forward, in reals (TFLite SVDF; Nakkiran et al. 2015): a[f, t] = sum_i x_t[i] wf[f, i] of the last M
inputs, out[u] = b[u] + sum_{f of u} sum_t a[f, t] wt[f, t].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mcutrain.trainer.errors import UnsupportedOpError
from mcutrain.trainer.fixedpoint import Requant, requantize, wrap32
from mcutrain.trainer.graph.call import KernelCall
from mcutrain.trainer.graph.op import Op, OutputScale
from mcutrain.trainer.graph.tensor import Array, DType, QuantParams, Tensor, TensorType
from mcutrain.trainer.ops.weighted import MAX_FAN_IN

if TYPE_CHECKING:
    from mcutrain.trainer.graph.op import Node, OperatorSource

NONE, RELU = 0, 1  # ActivationFunctionType of the schema


@dataclass(frozen=True)
class Svdf(Op):
    """x (1, I) s8, wf (F, I) s8, wt (F, M) s8 or s16[, b (U,) s32], a (1, F M) of wt's type
    -> out (1, U) s8, and a behind this input. ``rank`` F / U filters make one output.

    The sums over filters and time wrap modulo 2**32, and a state whose zero point leads out of its
    type wraps too, as in tflite-micro up to October 2026.
    """

    tflite_name = "SVDF"
    output_suffixes = ("", "_state")
    output_scale = OutputScale.FIXED  # the sums are in it; a state is no activation to calibrate
    is_frozen = True
    keeps = (-1,)
    out_quant: QuantParams
    rank: int

    @classmethod
    def from_tflite(cls, source: OperatorSource) -> tuple[Op, tuple[Tensor, ...]]:
        x, features = source.activation(0), source.weights()
        times = source.weights(2, (DType.S8, DType.S16))
        rank = int(source.option("Rank"))
        filters = features.type.shape[0]
        if rank < 1 or filters % rank:
            raise UnsupportedOpError(f"{source} has {filters} filters of rank {rank}")
        # tflite-micro limits the output to what int8 holds, whatever the activation.
        if source.option("FusedActivationFunction") not in (NONE, RELU):
            raise UnsupportedOpError(
                f"{source} has another activation than RELU",
                "let the activation be RELU, or an operator of its own",
            )
        bias = source.bias(filters // rank, 3)
        state = source.state(4, times.type.dtype)
        quant = source.out.type.quant
        assert quant is not None
        return cls(quant, rank), (x, features, times, *bias, state)

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        x, features, times, *bias, state = types
        if len(features.shape) != 2 or len(times.shape) != 2 or x.shape != (1, features.shape[1]):
            raise ValueError(f"x {x.shape} does not fit filters {features.shape}, {times.shape}")
        filters, depth = features.shape
        if times.shape[0] != filters or state.size != times.size or state.dtype is not times.dtype:
            raise ValueError(f"time filters {times.shape} and state {state.shape} do not fit")
        if depth > MAX_FAN_IN or filters % self.rank:
            raise ValueError(f"{depth} inputs and {filters} filters of rank {self.rank}")
        if any(t.quant is None or len(t.quant.scales) != 1 for t in (features, times, state)):
            raise ValueError("tflite-micro takes one scale for all filters, not one each")
        if bias and bias[0].shape != (filters // self.rank,):
            raise ValueError(f"bias {bias[0].shape} for {filters // self.rank} outputs")
        self.requants(*types)
        return TensorType((1, filters // self.rank), DType.S8, self.out_quant), state

    def requants(self, *types: TensorType) -> tuple[Requant, Requant]:
        """Of the sums over features and over time; the factors are products in float32, as
        tflite-micro has them."""
        x, features, times, state = (*types[:3], types[-1])
        s_x, s_f, s_t, s_a, s_y = map(
            np.float32, (x.scale, features.scale, times.scale, state.scale, self.out_quant.scale)
        )
        with np.errstate(over="ignore", under="ignore"):
            return Requant.from_real(float(s_x * s_f / s_a)), Requant.from_real(
                float(s_a * s_t / s_y)
            )

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        x, features, times, *bias, state = inputs
        types = [t.type for t in node.inputs]
        first, second = self.requants(*types)
        zero, bound = types[-1].zero_point, np.iinfo(state.dtype)
        centred = x[0].astype(np.int64) - types[0].zero_point
        sums = requantize(features.astype(np.int64) @ centred, first.multiplier, first.shift)
        newest = (np.clip(sums, bound.min, bound.max) + zero).astype(state.dtype).astype(np.int64)
        kept = state.reshape(times.shape).astype(np.int64)
        kept = np.concatenate([kept[:, 1:], newest[:, None]], axis=1)
        by_filter = ((kept - zero) * times).sum(axis=1)
        acc = by_filter.reshape(-1, self.rank).sum(axis=1) + (bias[0] if bias else 0)
        scaled = requantize(wrap32(acc), second.multiplier, second.shift)
        out = np.clip(wrap32(scaled + self.out_quant.zero_point), -128, 127).astype(np.int8)
        return out.reshape(node.output.type.shape), kept.astype(state.dtype).reshape(state.shape)

    def lower(self, node: Node) -> KernelCall:
        x, features, times, *bias, state = node.inputs
        first, second = self.requants(*(t.type for t in node.inputs))
        params = {
            "inputs": x.type.size,
            "units": node.output.type.size,
            "rank": self.rank,
            "memory": times.type.shape[1],
            "x_zero_point": x.type.zero_point,
            "state_zero_point": state.type.zero_point,
            "out_zero_point": self.out_quant.zero_point,
            "feature_multiplier": first.multiplier,
            "feature_shift": first.shift,
            "time_multiplier": second.multiplier,
            "time_shift": second.shift,
        }
        args = (x, features, times, bias[0] if bias else None, state, *node.outputs)
        return KernelCall("svdf", f"svdf_{times.type.dtype.value}", "svdf", params, args)

    def macs(self, node: Node) -> int:
        return node.inputs[1].type.size + node.inputs[2].type.size

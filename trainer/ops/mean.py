# SPDX-License-Identifier: Apache-2.0
"""Mean over neighbouring axes, as over height and width before a classifier, and its gradient.

Forward: requantize(sum(x - z_x), s_x / (count s_y)) + z_y, clamped. tflite-micro divides the
integer multiplier of s_x / s_y by the count (established by experiment).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from mcutrain.trainer.fixedpoint import Requant
from mcutrain.trainer.graph.call import KernelCall
from mcutrain.trainer.graph.op import BehindHead, ErrorTensor, Op, OutputScale
from mcutrain.trainer.graph.tensor import Array, DType, QuantParams, Tensor, TensorType
from mcutrain.trainer.ops.error import COUNT_BITS, RawError, count_share, error_types, format_of
from mcutrain.trainer.ops.overlap import distance, in_step
from mcutrain.trainer.ops.reduction import Reduction
from mcutrain.trainer.ops.rescaling import Rescaling, quantized
from mcutrain.trainer.ops.strided_error import StridedError, Strides

if TYPE_CHECKING:
    from mcutrain.trainer.graph.op import Node, OperatorSource, Tape

MAX_COUNT = (2**31 - 1) // 255  # values whose sum, less their zero points, fits int32


@dataclass(frozen=True)
class Mean(Op):
    """x s8 -> out s8: the mean over the axes ``first`` to ``last``, which are not the batch.

    ``out_shape`` is given where axes of size 1 go or stay otherwise than those do.
    """

    tflite_name = "MEAN"
    output_scale = OutputScale.FREE
    behind_head = BehindHead.CHANNELS
    out_quant: QuantParams
    first: int
    last: int
    keep_dims: bool = False
    # It renames bytes: no part of the repr, and so of the numerics hash (SPEC 3.2).
    out_shape: tuple[int, ...] | None = field(default=None, repr=False)

    @classmethod
    def from_tflite(cls, source: OperatorSource) -> tuple[Op, tuple[Tensor, ...]]:
        x, quant = source.activation(0), source.out.type.quant
        assert quant is not None
        axes = Reduction.read(source, x.type.shape, f"a {cls.__name__.lower()}")
        plain = cls(quant, axes.first, axes.last, bool(source.option("KeepDims")))
        if plain.shape_of(x.type) == axes.out_shape:
            return plain, (x,)
        return replace(plain, out_shape=axes.out_shape), (x,)

    def shape_of(self, x: TensorType) -> tuple[int, ...]:
        """Of the output."""
        if self.out_shape is not None:
            return self.out_shape
        ones = (1,) * (self.last + 1 - self.first) if self.keep_dims else ()
        return (*x.shape[: self.first], *ones, *x.shape[self.last + 1 :])

    def block(self, x: TensorType) -> tuple[int, int, int]:
        """(outer, count, inner): sizes before, in and after the axes of the mean."""
        parts = x.shape[: self.first], x.shape[self.first : self.last + 1], x.shape[self.last + 1 :]
        outer, count, inner = (math.prod(part) for part in parts)
        return outer, count, inner

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        (x,) = types
        if not 0 < self.first <= self.last < len(x.shape):
            raise ValueError(f"a mean over the axes {self.first} to {self.last} of {x.shape}")
        count = self.block(x)[1]
        if count > MAX_COUNT:
            raise ValueError(f"a mean over {count} values; up to {MAX_COUNT} are supported")
        self.factor(x)  # a ValueError for scales that no multiplier can express
        outer, _, inner = self.block(x)
        shape = self.shape_of(x)
        if math.prod(shape) != outer * inner:
            raise ValueError(f"{outer * inner} means are not {shape}")
        return (TensorType(shape, DType.S8, self.out_quant),)

    def factor(self, x: TensorType) -> Requant:
        """s_x / (count s_y): the multiplier of s_x / s_y, divided by count and truncated."""
        whole, count = Requant.from_real(x.scale / self.out_quant.scale), self.block(x)[1]
        shift = min(count.bit_length() - 1, 31 + whole.shift)
        return Requant((whole.multiplier << shift) // count, whole.shift - shift)

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        x = node.inputs[0].type
        sums = inputs[0].reshape(self.block(x)).astype(np.int64).sum(axis=1)
        r = self.factor(x)
        sums -= self.block(x)[1] * x.zero_point
        out = quantized(sums, Rescaling(r.multiplier, r.shift), self.out_quant.zero_point)
        return (out.reshape(node.output.type.shape),)

    def narrowed(self, node: Node, channels: int) -> Op | None:
        if self.last + 1 == len(node.inputs[0].type.shape):
            return None
        shape = self.out_shape and (*self.out_shape[:-1], channels)
        return replace(self, out_shape=shape)

    def rescaled(self, quant: QuantParams) -> Op:
        return replace(self, out_quant=quant)

    def vjp(
        self, node: Node, error: ErrorTensor, tape: Tape
    ) -> Iterator[tuple[Tensor, ErrorTensor]]:
        (x,) = node.inputs
        if not tape.needs(x):
            return
        _, count, _ = self.block(x.type)
        if count & (count - 1) == 0:
            op = StridedError(self.spread(x.type), x.type, count.bit_length() - 1)
            yield x, tape.passed_error(op, node, x, *error, tape.mask(x))
        else:
            grad = MeanGrad(self, x.type)
            yield x, tape.raw_error(grad, node, x, *error, tape.mask(x))

    def spread(self, x: TensorType) -> Strides:
        """Where the error of each element of x lies."""
        outer, count, inner = self.block(x)
        return Strides.of((outer, count, inner), (inner, 0, 1))

    def overlays(self, node: Node) -> dict[tuple[int, int], int]:
        return {(0, 0): 0}

    def lower(self, node: Node) -> KernelCall:
        (x,) = node.inputs
        outer, count, inner = self.block(x.type)
        factor = self.factor(x.type)
        params = {
            "outer": outer,
            "count": count,
            "inner": inner,
            "sum_offset": -count * x.type.zero_point,
            "out_offset": self.out_quant.zero_point,
            "multiplier": factor.multiplier,
            "shift": factor.shift,
        }
        return KernelCall("mean", "mean_s8", "mean", params, (x, node.output))


@dataclass(frozen=True)
class MeanGrad(RawError):
    """dout, dout_e s16, mask of x, history s16[, sgd] -> dx, dx_e s16; history in place.

    raw = dout * round(2**15 / count); dx = REQ(raw, e - 15) with x's mask.
    """

    mean: Mean
    x: TensorType
    mutates = (3,)

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        if not self.share:
            count = self.mean.block(self.x)[1]
            raise ValueError(f"the gradient of a mean over {count} values rounds to nothing")
        return error_types(types[0], self.x, types[2])

    @property
    def share(self) -> int:
        return int(count_share(np.array(self.mean.block(self.x)[1])))

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        dout, exponent, mask, *state = inputs
        outer, count, inner = self.mean.block(self.x)
        share = dout.reshape(outer, 1, inner).astype(np.int64) * self.share
        raw = np.broadcast_to(share, (outer, count, inner)).reshape(self.x.shape)
        return self.requantized(node, raw, int(exponent[0]) - COUNT_BITS, mask, *state)

    def overlays(self, node: Node) -> dict[tuple[int, int], int]:
        dx, mask = node.output.type, node.inputs[2].type
        outer, count, inner = self.mean.block(self.x)
        rows = np.arange(outer * count)
        dout = distance(rows * inner, rows // count * inner) * dx.dtype.nbytes
        return super().overlays(node) | {(0, 0): dout, (0, 2): in_step(dx, mask)}

    def lower(self, node: Node) -> KernelCall:
        outer, count, inner = self.mean.block(self.x)
        params = {"outer": outer, "count": count, "inner": inner, "share": self.share}
        args = (*node.inputs[:3], *self.state_args(node), *node.outputs[:2])
        kernel = f"mean_grad_{format_of(node.inputs[0].type).suffix}"
        return KernelCall("mean", kernel, "mean_grad", params, args)

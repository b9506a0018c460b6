# SPDX-License-Identifier: Apache-2.0
"""Functions of one value: a table of 256 outputs, computed on the host, and their gradient.

A child says how the table is made, in the integers of tflite-micro, and what its slope is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from mcutrain.trainer.fixedpoint import Int64, Requant, requantize, scale_exponent, wrap32
from mcutrain.trainer.graph.call import Arg, KernelCall, Table
from mcutrain.trainer.graph.op import ErrorTensor, Op, OutputScale
from mcutrain.trainer.graph.tensor import Array, DType, QuantParams, Tensor, TensorType
from mcutrain.trainer.ops.error import RawError, error_types, format_of
from mcutrain.trainer.ops.overlap import in_step
from mcutrain.trainer.ops.rows import row_of_equals

if TYPE_CHECKING:
    from mcutrain.trainer.graph.op import Node, OperatorSource, Tape, Ties

INPUTS = np.arange(-128, 128, dtype=np.int64)  # the inputs of a table, in its order
SLOPE_BITS = 14


@dataclass(frozen=True)
class Lookup(Op, ABC):
    """x s8 -> out s8 of x's shape: out = table[x + 128].

    ``passes_on``: the slope is 1 wherever the output is inside its limits.
    """

    output_scale = OutputScale.FREE
    is_activation = True
    out_quant: QuantParams
    passes_on: ClassVar[bool] = False

    @classmethod
    def from_tflite(cls, source: OperatorSource) -> tuple[Op, tuple[Tensor, ...]]:
        assert source.out.type.quant is not None
        return cls(source.out.type.quant), (source.activation(0),)

    @abstractmethod
    def outputs(self, x: TensorType) -> Int64:
        """(256,): the outputs of INPUTS, before they saturate at ``limits``. May raise ValueError
        for scales that cannot be expressed."""

    def slope(self, real: Array) -> Array:
        """The derivative at real inputs; of those that do not just pass errors on."""
        raise NotImplementedError

    def table(self, x: TensorType) -> Array:
        """(256,) s8: the output of each input, from -128 on."""
        return np.clip(self.outputs(x), *self.limits()).astype(np.int8)

    def narrowed(self, node: Node, channels: int) -> Op | None:
        return self

    def tie(self, node: Node, ids: tuple[Array, ...], ties: Ties) -> Array | str:
        return ids[0]

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        (x,) = types
        self.table(x)  # a ValueError for scales that cannot be expressed
        return (TensorType(x.shape, DType.S8, self.out_quant),)

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        return (self.table(node.inputs[0].type)[inputs[0].astype(np.int64) + 128],)

    def overlays(self, node: Node) -> dict[tuple[int, int], int]:
        return {(0, 0): 0}

    def vjp(
        self, node: Node, error: ErrorTensor, tape: Tape
    ) -> Iterator[tuple[Tensor, ErrorTensor]]:
        (x,) = node.inputs
        if self.passes_on:
            yield from tape.pass_on(node, error)
        elif tape.needs(x):
            yield x, tape.raw_error(LookupGrad(self), node, x, *error, x, tape.mask(x))

    def lower(self, node: Node) -> KernelCall:
        (x,) = node.inputs
        table = Table("table", self.table(x.type))
        params = {"size": x.type.size}
        return KernelCall("lookup", "lookup_s8", "lookup", params, (x, table, node.output))

    def by_rows(self, node: Node) -> KernelCall | None:
        return row_of_equals(self.lower(node))


def rescaled(x: TensorType, out: QuantParams, factor: float, centred: Int64) -> Int64:
    """Inputs less their zero point, in the output's quanta: times ``factor s_x / s_y``."""
    r = Requant.from_real(x.scale * factor / out.scale)
    return wrap32(requantize(centred, r.multiplier, r.shift) + out.zero_point)


def float_outputs(x: TensorType, out: QuantParams, function: Callable[[Array], Array]) -> Int64:
    """``function`` of the real inputs, in float32 as TFLite fills a table (LUTPopulate).

    Raises ValueError for scales whose quotient is no int32.
    """
    with np.errstate(all="ignore"):  # what is not finite is refused
        real = np.float32(x.scale) * centred_inputs(x).astype(np.float32)
        quanta = function(real) * (np.float32(1) / np.float32(out.scale))
    return quanta_of(quanta, x, out)


def quanta_of(quanta: Array, x: TensorType, out: QuantParams) -> Int64:
    """Outputs of float32 ``quanta``. Raises ValueError if one is no int32."""
    if not (np.abs(quanta) < 2.0**31 - 256).all():
        raise ValueError(f"scales {x.scale:.6g} in and {out.scale:.6g} out lie too far apart")
    return away_from_zero(quanta.astype(np.float64)) + out.zero_point


def away_from_zero(x: Array) -> Int64:
    """The nearest whole numbers, ties away from zero; of float64s that hold float32 values.

    >>> away_from_zero(np.array([-2.5, -0.4, 0.5]))
    array([-3,  0,  1])
    """
    return np.asarray(np.sign(x) * np.floor(np.abs(x) + 0.5)).astype(np.int64)


def centred_inputs(x: TensorType) -> Int64:
    """(256,): INPUTS less the zero point."""
    return INPUTS - x.zero_point


def require_one_quantisation(kind: str, *quants: QuantParams | None) -> None:
    """Raises ValueError where bytes of different scales or zero points would be taken for each
    other."""
    for quant in quants[1:]:
        if quant != quants[0]:
            (first, other) = (
                f"{q.scale:.6g}, {q.zero_point}" if q else "none" for q in (quants[0], quant)
            )
            raise ValueError(
                f"one scale and zero point is {first}, another {other}: {kind} compares and clamps "
                "bytes, and needs equal ones"
            )


@dataclass(frozen=True)
class LookupGrad(RawError):
    """dout, dout_e s16, x s8, mask of x, history s16[, sgd] -> dx, dx_e s16; history in place.

    raw = dout * slope[x + 128], slope = round(2**14 f'(real x) / 2**kf);
    dx = REQ(raw, e + kf - 14) with x's mask.
    """

    lookup: Lookup
    mutates = (4,)

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        return error_types(types[0], *types[2:4])

    def slopes(self, x: TensorType) -> tuple[Array, int]:
        """(slope (256,) s16, kf): 2**kf is the smallest power of two >= the greatest |f'|."""
        real = self.lookup.slope(x.scale * centred_inputs(x))
        kf = scale_exponent(np.abs(real))
        return np.floor(2.0**SLOPE_BITS * real / 2.0**kf + 0.5).astype(np.int16), kf

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        dout, exponent, x, mask, *state = inputs
        slope, kf = self.slopes(node.inputs[2].type)
        raw = dout.astype(np.int64) * slope[x.astype(np.int64) + 128]
        return self.requantized(node, raw, int(exponent[0]) + kf - SLOPE_BITS, mask, *state)

    def overlays(self, node: Node) -> dict[tuple[int, int], int]:
        x = in_step(node.output.type, node.inputs[2].type)
        return super().overlays(node) | {(0, 0): 0, (0, 2): x}

    def lower(self, node: Node) -> KernelCall:
        dout, x = (t.type for t in (node.inputs[0], node.inputs[2]))
        slope, kf = self.slopes(x)
        params = {"size": x.size, "exponent_step": kf - SLOPE_BITS}
        state = self.state_args(node)
        args: tuple[Arg, ...] = (
            *node.inputs[:4], Table("slope", slope), *state, *node.outputs[:2],
        )  # fmt: skip
        kernel = f"lookup_grad_{format_of(dout).suffix}"
        return KernelCall("lookup", kernel, "lookup_grad", params, args)

# SPDX-License-Identifier: Apache-2.0
"""The smaller or greater of two values, elementwise, and which of them it is.

Forward: bytes are compared, so all have one quantisation (TFLite MINIMUM, MAXIMUM). With a constant
that is one number it is a limit, and no more than a table. The error goes to the operand that was
taken; of two equal ones that is the first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from mcutrain.trainer.fixedpoint import Int64
from mcutrain.trainer.graph.call import Arg, KernelCall, Table
from mcutrain.trainer.graph.cutting import KeptAxis
from mcutrain.trainer.graph.op import ErrorTensor, Op, OutputScale
from mcutrain.trainer.graph.tensor import Array, DType, QuantParams, Role, Tensor, TensorType
from mcutrain.trainer.ops.add import error_of_term
from mcutrain.trainer.ops.broadcast import Broadcast, tied_pair
from mcutrain.trainer.ops.clamp_mask import mask_type
from mcutrain.trainer.ops.error import MaskError
from mcutrain.trainer.ops.lookup import INPUTS, Lookup, require_one_quantisation
from mcutrain.trainer.ops.rows import row_of_pairs

if TYPE_CHECKING:
    from mcutrain.trainer.graph.op import Node, OperatorSource, Tape, Ties

UNIT = "minimum_maximum"


@dataclass(frozen=True)
class Maximum(Op):
    """a s8, b s8 -> out s8 of one quantisation; of one shape, or one repeated along axes of the
    other: the greater one."""

    tflite_name = "MAXIMUM"
    output_scale = OutputScale.SAME
    flip: ClassVar[int] = 0  # of all bits of both, before the greater one is taken
    out_quant: QuantParams

    @classmethod
    def from_tflite(cls, source: OperatorSource) -> tuple[Op, tuple[Tensor, ...]]:
        """With a constant of one value: the Limit that it is."""
        pair = source.operand(0), source.operand(1)
        quant = source.out.type.quant
        assert quant is not None
        for x, limit in (pair, pair[::-1]):
            if is_limit(x, limit):
                assert limit.data is not None
                return cls.limit(quant, int(limit.data.flat[0])), (x,)
        return cls(quant), pair

    @staticmethod
    def limit(quant: QuantParams, value: int) -> Limit:
        return Limit(quant, value, 127)

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        a, b = types
        require_one_quantisation(self.tflite_name, a.quant, b.quant, self.out_quant)
        return (TensorType(Broadcast(a.shape, b.shape).shape, DType.S8, self.out_quant),)

    def narrowed(self, node: Node, channels: int) -> Op | None:
        a, b = node.inputs
        is_plain = a.type.shape == b.type.shape and Role.CONST not in (a.role, b.role)
        return self if is_plain else None

    def tie(self, node: Node, ids: tuple[Array, ...], ties: Ties) -> Array | str:
        return tied_pair(ids, node.output.type.shape, ties)

    def cut(self, node: Node, kept: Mapping[Tensor, KeptAxis]) -> Op:
        return self

    def first_is_taken(self, a: Array, b: Array) -> Array:
        """bool, of the shape that both are repeated to."""
        return np.asarray((a ^ np.int8(self.flip)) >= (b ^ np.int8(self.flip)))

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        a, b = inputs
        return (np.where(self.first_is_taken(a, b), a, b),)

    def overlays(self, node: Node) -> dict[tuple[int, int], int]:
        whole = node.output.type.size
        return {(0, k): 0 for k, x in enumerate(node.inputs) if x.type.size == whole}

    def vjp(
        self, node: Node, error: ErrorTensor, tape: Tape
    ) -> Iterator[tuple[Tensor, ErrorTensor]]:
        out = node.output.type
        for k, x in enumerate(node.inputs):
            if not tape.needs(x):
                continue
            chosen = tape.made(ChosenMask(self, k), node, f"takes_{k}", *node.inputs)
            own = tape.passed_error(MaskError(out), node, x, *error, chosen)
            yield x, error_of_term(node, k, own, tape)

    def lower(self, node: Node) -> KernelCall:
        args: tuple[Arg, ...] = (*node.inputs, self.axes(node), node.output)
        return KernelCall(UNIT, f"{UNIT}_s8", UNIT, {"flip": self.flip}, args)

    def axes(self, node: Node) -> Table:
        a, b = (t.type.shape for t in node.inputs)
        return Table("axes", Broadcast(a, b).table())

    def by_rows(self, node: Node) -> KernelCall | None:
        return row_of_pairs(self.lower(node))


def is_limit(x: Tensor, limit: Tensor) -> bool:
    """Whether ``limit`` is one number for all of the activation ``x``."""
    if limit.data is None or x.data is not None or x.type.quant != limit.type.quant:
        return False
    try:
        keeps_shape = Broadcast(x.type.shape, limit.type.shape).shape == x.type.shape
    except ValueError:  # shapes that do not fit, which ``infer`` refuses
        return False
    return keeps_shape and bool((limit.data == limit.data.flat[0]).all())


@dataclass(frozen=True)
class Minimum(Maximum):
    """a s8, b s8 -> out s8, as Maximum: the smaller one."""

    tflite_name = "MINIMUM"
    flip = -1

    @staticmethod
    def limit(quant: QuantParams, value: int) -> Limit:
        return Limit(quant, -128, value)


@dataclass(frozen=True)
class Limit(Lookup):
    """x s8 -> out s8 of the same quantisation: not below one byte, or not above it."""

    output_scale = OutputScale.HELD
    passes_on = True
    clamps = True
    least: int = -128
    greatest: int = 127

    def limits(self) -> tuple[int, int]:
        return self.least, self.greatest

    def outputs(self, x: TensorType) -> Int64:
        require_one_quantisation("MINIMUM or MAXIMUM", x.quant, self.out_quant)
        return INPUTS


@dataclass(frozen=True)
class ChosenMask(Op):
    """a s8, b s8 -> mask u8 of the output's size (ops.clamp_mask): 1 where operand ``k`` of ``of``
    was taken; of two equal ones that is the first."""

    of: Maximum
    k: int

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        a, b = types
        return (mask_type(a.with_shape(*Broadcast(a.shape, b.shape).shape)),)

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        chosen = self.of.first_is_taken(*inputs) != bool(self.k)
        return (np.packbits(chosen.ravel(), bitorder="little"),)

    def overlays(self, node: Node) -> dict[tuple[int, int], int]:
        return self.of.overlays(node)

    def lower(self, node: Node) -> KernelCall:
        params = {"flip": self.of.flip, "second": self.k}
        args: tuple[Arg, ...] = (*node.inputs, self.of.axes(node), node.output)
        return KernelCall(UNIT, "chosen_mask_s8", "chosen_mask", params, args)

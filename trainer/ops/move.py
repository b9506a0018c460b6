# SPDX-License-Identifier: Apache-2.0
"""What SLICE, SPLIT, GATHER and their kin have in common: each output is a part of one input."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from mcutrain.trainer.graph.op import Op
from mcutrain.trainer.graph.tensor import Array, Tensor

if TYPE_CHECKING:
    from mcutrain.trainer.graph.op import Node, OperatorSource


@dataclass(frozen=True)
class Move(Op):
    """x s8 -> out s8 of ``shape``, each element one of x's; one quantisation.

    ``data`` is the input of an operator of the file that is moved; its other inputs say where to.
    """

    data: ClassVar[int] = 0
    shape: tuple[int, ...]

    @classmethod
    def parts(cls, source: OperatorSource, shape: tuple[int, ...]) -> Iterator[Move]:
        """The operator of each output, read from a model file, for data of this shape. Raises
        ModelError."""
        raise NotImplementedError

    @classmethod
    def imported(cls, source: OperatorSource) -> tuple[Tensor, ...]:
        x = source.activation(cls.data)
        return tuple([source.add(op, x) for op in cls.parts(source, x.type.shape)])

    def moved(self, values: Array) -> Array:
        """The elements of ``values`` that are the output, in its shape."""
        raise NotImplementedError

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        return (self.moved(inputs[0]),)

# SPDX-License-Identifier: Apache-2.0
"""What all losses have in common: they end the forward pass and begin the backward pass."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar

from mcutrain.trainer.graph.op import Op
from mcutrain.trainer.graph.tensor import Array, DType, TensorType
from mcutrain.trainer.ops.error import E12, ErrorFormat

RECORD = TensorType((2,), DType.U32)
SUFFIXES = ("_d_logits", "_d_logits_e", "_record")


@dataclass(frozen=True)
class Loss(Op, ABC):
    """logits s8, a target -> dlogits of their shape, dlogits_e s16 (1,), record (2,) u32.

    The record holds the integers that the loss is made of; ``real`` is the loss. ``errors`` is
    the format of dlogits, and so of every error. It is left out of ``repr``, which names the
    numerics of the default format.
    """

    errors: ErrorFormat = field(default=E12, kw_only=True, repr=False)
    output_suffixes = SUFFIXES
    takes_map: ClassVar[bool] = False  # whether there is a label for each position

    @abstractmethod
    def labels(self, logits: TensorType) -> int:
        """How many labels there are, from 0, of a sample or of each position; 0 if the target is a
        tensor of values."""

    @abstractmethod
    def real(self, record: Array, logits: TensorType) -> float:
        """The loss of a record, in real units."""

    @abstractmethod
    def permits(self, total: int, distance: int, logits: TensorType) -> bool:
        """Whether a record can hold these two (SPEC 1.2)."""

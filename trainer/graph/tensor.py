# SPDX-License-Identifier: Apache-2.0
"""Tensors and their types: the values that flow through a Graph."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import Enum, auto
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

ALIGN = 4


class DType(Enum):
    """Element type. The value is the suffix used in kernel names (CMSIS-NN)."""

    S8 = "s8"
    U8 = "u8"
    S16 = "s16"
    U16 = "u16"
    S32 = "s32"
    U32 = "u32"

    @property
    def nbytes(self) -> int:
        return int(self.value[1:]) // 8

    @cached_property
    def np(self) -> np.dtype[Any]:
        return np.dtype(("int" if self.value[0] == "s" else "uint") + self.value[1:])

    @property
    def c(self) -> str:
        """The type's name in C."""
        return f"{self.np.name}_t"

    @classmethod
    def of(cls, array: Array) -> DType:
        """The DType of a NumPy array of integers."""
        return cls(("u" if array.dtype.kind == "u" else "s") + str(array.dtype.itemsize * 8))


@dataclass(frozen=True)
class QuantParams:
    """Affine map ``real = scale * (q - zero_point)`` (TFLite int8 specification).

    ``scales`` holds the float32 value as stored, exactly, one for the whole tensor
    or one per index of ``axis``. The zero point is one for all.
    """

    scales: tuple[float, ...]
    zero_point: int = 0
    axis: int | None = None

    @property
    def scale(self) -> float:
        """The scale of a tensor quantised as a whole."""
        assert len(self.scales) == 1
        return self.scales[0]

    def nearest(self, real: float) -> int:
        """The quantum nearest to ``real`` >= 0, which may be no int8.

        The quotient is in float32 and rounded half up, as tflite-micro does.
        """
        return self.zero_point + math.floor(float(np.float32(real) / np.float32(self.scale)) + 0.5)

    def channel_scales(self, channels: int) -> npt.NDArray[np.float64]:
        """(channels,) float64: the scale of each channel."""
        return np.broadcast_to(np.array(self.scales, np.float64), (channels,)).copy()


@dataclass(frozen=True)
class TensorType:
    """Shape, element type and quantisation: all that is known before data."""

    shape: tuple[int, ...]
    dtype: DType
    quant: QuantParams | None = None

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.nbytes

    @property
    def alignment(self) -> int:
        """Of its address, in bytes: a power of two; the kernels read words of 32 bits at most."""
        return ALIGN

    @property
    def scale(self) -> float:
        assert self.quant is not None
        return self.quant.scale

    @property
    def zero_point(self) -> int:
        return self.quant.zero_point if self.quant else 0

    def with_shape(self, *shape: int) -> TensorType:
        return replace(self, shape=shape)


class Role(Enum):
    """Where a tensor lives on the device, and who may write it."""

    INPUT = auto()  # arena; written by the host or the sensor before a step
    CONST = auto()  # flash; never written
    PARAM = auto()  # RAM for the whole run; learned: written by an update op
    STATE = auto()  # RAM for the whole run; kept from step to step, not a weight
    ACTIVATION = auto()  # arena; written by exactly one node


SMALL = 4  # elements: state of up to this size is assigned at reset, not copied


@dataclass(eq=False)
class Tensor:
    """A named value in a Graph. ``name`` is a C identifier, unique in its graph.

    ``data`` is the constant, or the value at reset, of CONST, PARAM and STATE.
    ``label`` is the name in the model file, for messages, ``file_index`` its number there, -1
    for what no file holds. ``limits`` are the values at which the forward operator that wrote it
    saturates (SPEC 1.3, the mask).
    """

    name: str
    type: TensorType
    role: Role
    data: Array | None = None
    label: str = ""
    limits: tuple[int, int] = (-128, 127)
    file_index: int = -1

    def stand_for(self, old: Tensor) -> None:
        """Take over which tensor of the model file this is."""
        self.label = self.label or old.label
        self.file_index = old.file_index

    @property
    def initial(self) -> Array | None:
        """What a reset copies from flash; None of what is zero, or so small that it is assigned."""
        is_copied = self.data is not None and self.data.size > SMALL and self.data.any()
        return self.data if is_copied else None

    def __repr__(self) -> str:
        dims = "x".join(map(str, self.type.shape))
        return f"{self.name}:{self.type.dtype.value}[{dims}]"


def constant(name: str, data: Array, quant: QuantParams | None = None) -> Tensor:
    """A CONST tensor that holds ``data``."""
    return Tensor(name, TensorType(data.shape, DType.of(data), quant), Role.CONST, data)

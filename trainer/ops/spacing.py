# SPDX-License-Identifier: Apache-2.0
"""Windows whose taps or whose inputs lie apart, and groups of channels. Twin of
firmware/kernels/spacing.h.

Along an axis, tap k of output o reads the input i with

    i * spread == o * stride - pad + k * dilation,

if there is one. A dilated convolution has a ``dilation`` of its own. A transposed convolution of
stride s, in which input i adds tap k to the output i * s - p + k, has the stride 1, the spread s,
the pad -p and the dilation -1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mcutrain.trainer.graph.call import KernelCall
from mcutrain.trainer.ops.window import ALL, Geometry

if TYPE_CHECKING:
    import numpy.typing as npt

    from mcutrain.trainer.graph.tensor import Array


@dataclass(frozen=True)
class DilatedGeometry(Geometry):
    """Windows whose taps lie ``dilation`` apart. What reads no input of x reads the row and the
    column of zeros behind it."""

    dilation_h: int
    dilation_w: int

    @property
    def spread(self) -> tuple[int, int]:
        """How far inputs lie apart."""
        return 1, 1

    @property
    def is_dense(self) -> bool:
        return False

    @property
    def is_pointwise(self) -> bool:
        return False

    @property
    def span(self) -> tuple[int, int]:
        return (
            (self.kernel_h - 1) * self.dilation_h + 1,
            (self.kernel_w - 1) * self.dilation_w + 1,
        )

    def in_one_row(self) -> Geometry:
        return self

    def transposed(self) -> Geometry | None:
        return None

    def read_rows(self) -> Array:
        """(out_h, kernel_h): the row that each tap reads; in_h where there is none."""
        sizes = (self.out_h, self.kernel_h, self.in_h)
        return places(*sizes, self.stride_h, self.pad_top, self.dilation_h, self.spread[0])

    def read_columns(self) -> Array:
        """(out_w, kernel_w): the column that each tap reads; in_w where there is none."""
        sizes = (self.out_w, self.kernel_w, self.in_w)
        return places(*sizes, self.stride_w, self.pad_left, self.dilation_w, self.spread[1])

    def first_read(self) -> tuple[Array, Array]:
        rows, columns = self.read_rows().min(axis=1), self.read_columns().min(axis=1)
        return np.minimum(rows, self.in_h - 1), np.minimum(columns, self.in_w - 1)

    def first_readers(self) -> tuple[Array, Array]:
        return first_of(self.read_rows(), self.in_h), first_of(self.read_columns(), self.in_w)

    def frame(self, dtype: npt.DTypeLike, channels: int | None = None) -> Array:
        return np.zeros((self.in_h + 1, self.in_w + 1, channels or self.in_ch), dtype)

    def unpadded(self, padded: Array) -> Array:
        return padded[: self.in_h, : self.in_w]

    def windows(self, padded: Array, rows: slice = ALL) -> Array:
        y, x = self.read_rows()[rows], self.read_columns()
        return np.asarray(padded[y[:, None, :, None], x[None, :, None, :]])

    def taps(self) -> Iterator[tuple[int, int, tuple[Array, Array]]]:  # type: ignore[override]
        y, x = self.read_rows(), self.read_columns()
        for ky in range(self.kernel_h):
            for kx in range(self.kernel_w):
                yield ky, kx, np.ix_(y[:, ky], x[:, kx])  # type: ignore[misc]


@dataclass(frozen=True)
class SpacedGeometry(DilatedGeometry):
    """Windows whose inputs lie ``spread`` apart, too, over ``groups`` of channels."""

    spread_h: int
    spread_w: int
    groups: int

    @property
    def spread(self) -> tuple[int, int]:
        return self.spread_h, self.spread_w

    @property
    def is_inside(self) -> bool:
        in_order = min(self.dilation_h, self.dilation_w) > 0 and self.spread == (1, 1)
        return in_order and super().is_inside

    def of_groups(self) -> Iterator[tuple[Geometry, slice, slice]]:
        """(windows of one group, its channels of x, its filters), by group."""
        ins, outs = self.in_ch // self.groups, self.out_ch // self.groups
        group = replace(self, in_ch=ins, out_ch=outs, groups=1)
        for k in range(self.groups):
            yield group, slice(k * ins, (k + 1) * ins), slice(k * outs, (k + 1) * outs)


def places(
    outputs: int, taps: int, inputs: int, stride: int, pad: int, dilation: int, spread: int
) -> Array:
    """(outputs, taps): the input that each tap of each output reads; ``inputs`` if none.

    >>> places(2, 3, 4, 1, 2, 2, 1), places(3, 2, 9, 1, 0, -1, 2)
    (array([[4, 0, 2],
           [4, 1, 3]]), array([[0, 9],
           [9, 0],
           [1, 9]]))
    """
    at = np.arange(outputs)[:, None] * stride - pad + np.arange(taps) * dilation
    at = np.where(at % spread == 0, at // spread, inputs)
    return np.where((at >= 0) & (at < inputs), at, inputs)


def first_of(read: Array, inputs: int) -> Array:
    """(inputs,): the first output that reads each input; the last of all if none does."""
    outputs = np.broadcast_to(np.arange(len(read))[:, None], read.shape)
    found = np.full(inputs + 1, len(read) - 1)
    np.minimum.at(found, read, outputs)
    return found[:inputs]


def of_unit(call: KernelCall, unit: str) -> KernelCall:
    """The call of the kernel of the same name in another unit."""
    kernel, struct = (name.replace(call.unit, unit, 1) for name in (call.kernel, call.struct))
    return replace(call, unit=unit, kernel=kernel, struct=struct)

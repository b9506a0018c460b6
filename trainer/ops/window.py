# SPDX-License-Identifier: Apache-2.0
"""Where the windows of convolutions and pools lie. Twin of firmware/kernels/window.h."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mcutrain.trainer.errors import ModelError, UnsupportedOpError
from mcutrain.trainer.graph.tensor import Array, Tensor, TensorType

if TYPE_CHECKING:
    from mcutrain.trainer.graph.op import Node, OperatorSource

MAX_KERNEL_H = 32  # row pointers that a kernel keeps on the stack (MCT_MAX_KERNEL_H)
MAX_KERNEL_W = 4096
MAX_TAPS = 64  # pointers to the taps of a spaced window, on the stack too (MCT_MAX_TAPS)
MAX_POOL = 2**16  # along a side of a pool: more have no room in bounds.MAX_TAPS
MAX_DILATION = 2**15  # with a kernel of 2**12 a position is an int32

ALL = slice(None)
CACHED = 2**16  # values that the reference unfolds at a time


@dataclass(frozen=True)
class Geometry:
    """Sizes of a convolution: (in_h, in_w, in_ch) to (out_h, out_w, out_ch)."""

    in_h: int
    in_w: int
    in_ch: int
    out_h: int
    out_w: int
    out_ch: int
    kernel_h: int
    kernel_w: int
    stride_h: int
    stride_w: int
    pad_top: int
    pad_left: int

    @property
    def is_dense(self) -> bool:
        """Whether the taps of a window lie side by side, and so do the inputs (ops.spacing)."""
        return True

    @property
    def span(self) -> tuple[int, int]:
        """Rows and columns from the first tap of a window to the last one, both counted."""
        return self.kernel_h, self.kernel_w

    @property
    def is_inside(self) -> bool:
        """Whether no window reaches over an edge of the input."""
        rows, columns = self.span
        bottom = (self.out_h - 1) * self.stride_h + rows - self.pad_top
        right = (self.out_w - 1) * self.stride_w + columns - self.pad_left
        at_edge = self.pad_top == self.pad_left == 0
        return at_edge and bottom <= self.in_h and right <= self.in_w

    def first_read(self) -> tuple[Array, Array]:
        """(out_h,) and (out_w,): no output of a row or column reads an input below this one."""
        y = np.arange(self.out_h) * self.stride_h - self.pad_top
        x = np.arange(self.out_w) * self.stride_w - self.pad_left
        return np.clip(y, 0, self.in_h - 1), np.clip(x, 0, self.in_w - 1)

    def first_readers(self) -> tuple[Array, Array]:
        """(in_h,) and (in_w,): no output below this one reads an input of the row or column."""
        y = -((self.kernel_h - 1 - self.pad_top - np.arange(self.in_h)) // self.stride_h)
        x = -((self.kernel_w - 1 - self.pad_left - np.arange(self.in_w)) // self.stride_w)
        return np.clip(y, 0, self.out_h - 1), np.clip(x, 0, self.out_w - 1)

    def frame(self, dtype: npt.DTypeLike, channels: int | None = None) -> Array:
        """Zeros (height, width, channels) for the input and what the kernel reaches around it;
        without ``channels`` for in_ch."""
        height = (self.out_h - 1) * self.stride_h + self.kernel_h
        width = (self.out_w - 1) * self.stride_w + self.kernel_w
        rows, cols = max(height, self.pad_top + self.in_h), max(width, self.pad_left + self.in_w)
        return np.zeros((rows, cols, channels or self.in_ch), dtype)

    def padded(self, x: Array, zero_point: int = 0, dtype: npt.DTypeLike | None = None) -> Array:
        """x (in_h, in_w, channels) less its zero point in a frame of zeros, of the type ``dtype``
        or else its own."""
        found = self.frame(x.dtype if dtype is None else dtype, x.shape[2])
        np.subtract(x, found.dtype.type(zero_point), out=self.unpadded(found), dtype=found.dtype)
        return found

    def windows(self, padded: Array, rows: slice = ALL) -> Array:
        """View (out_h, out_w, kernel_h, kernel_w, channels) of the padded input: what each output
        of ``rows`` reads."""
        first, end, _ = rows.indices(self.out_h)
        row, position, value = padded.strides
        return np.lib.stride_tricks.as_strided(
            padded[first * self.stride_h :],
            (end - first, self.out_w, self.kernel_h, self.kernel_w, padded.shape[2]),
            (self.stride_h * row, self.stride_w * position, row, position, value),
            writeable=False,
        )

    @property
    def is_pointwise(self) -> bool:
        """Whether each output reads the input of its own position alone."""
        return self.kernel_h == self.kernel_w == self.stride_h == self.stride_w == 1

    def transposed(self) -> Geometry | None:
        """The windows of outputs that read an input, turned by half: a convolution again. None
        with strides, which leave gaps between those outputs."""
        top, left = self.kernel_h - 1 - self.pad_top, self.kernel_w - 1 - self.pad_left
        if (self.stride_h, self.stride_w) != (1, 1) or min(top, left) < 0:
            return None
        sizes = (self.out_h, self.out_w, self.out_ch, self.in_h, self.in_w, self.in_ch)
        return Geometry(*sizes, self.kernel_h, self.kernel_w, 1, 1, top, left)

    def in_one_row(self) -> Geometry:
        """The same outputs as windows of a row, where nothing of that tells the two apart: kernels
        that take neighbours of a row together find more of them."""
        if self.is_pointwise and self.in_w == self.out_w and self.in_h == self.out_h:
            positions = self.out_h * self.out_w
            return replace(self, in_h=1, in_w=positions, out_h=1, out_w=positions)
        if self.in_w == self.out_w == self.kernel_w == 1 and self.pad_left == 0:
            return replace(
                self, in_h=1, in_w=self.in_h, out_h=1, out_w=self.out_h, kernel_h=1,
                kernel_w=self.kernel_h, stride_h=1, stride_w=self.stride_h, pad_top=0,
                pad_left=self.pad_top,
            )  # fmt: skip
        return self

    def bands(self, rows: slice = ALL) -> Iterator[slice]:
        """Output rows in parts whose ``columns`` stay in the processor's cache."""
        first, end, _ = rows.indices(self.out_h)
        row_values = self.out_w * self.kernel_h * self.kernel_w * self.in_ch
        step = self.out_h if self.is_pointwise else max(1, CACHED // row_values)
        for row in range(first, end, step):
            yield slice(row, min(row + step, end))

    def columns(self, padded: Array, rows: slice) -> Array:
        """(positions, kernel_h * kernel_w * in_ch): what each output of ``rows`` reads of the
        padded input, in the order of OHWI weights."""
        if self.is_pointwise:
            return np.asarray(padded[: self.out_h, : self.out_w][rows].reshape(-1, self.in_ch))
        return self.windows(padded, rows).reshape(-1, self.kernel_h * self.kernel_w * self.in_ch)

    def taps(self) -> Iterator[tuple[int, int, tuple[slice, slice]]]:
        """(ky, kx, the padded input's positions that this tap reads, one per output)."""
        for ky in range(self.kernel_h):
            for kx in range(self.kernel_w):
                rows = slice(ky, ky + (self.out_h - 1) * self.stride_h + 1, self.stride_h)
                cols = slice(kx, kx + (self.out_w - 1) * self.stride_w + 1, self.stride_w)
                yield ky, kx, (rows, cols)

    def unpadded(self, padded: Array) -> Array:
        """The part of a padded array that is the input."""
        top, left = self.pad_top, self.pad_left
        return padded[top : top + self.in_h, left : left + self.in_w]


@dataclass(frozen=True)
class Placement:
    """Where the windows of a convolution or a pool lie: strides, top-left padding, outputs."""

    stride: tuple[int, int]
    padding: tuple[int, int]
    out_hw: tuple[int, int]

    def shape(self, channels: int) -> tuple[int, ...]:
        return (1, *self.out_hw, channels)

    @classmethod
    def read(
        cls,
        source: OperatorSource,
        x: Tensor,
        kernel: tuple[int, ...],
        dilation: tuple[int, int] = (1, 1),
        *,
        most: tuple[int, int] = (MAX_KERNEL_H, MAX_KERNEL_W),
    ) -> Placement:
        """As TFLite's ComputePaddingHeightWidth has it, for kernels up to ``most``. Raises
        ModelError."""
        stride = (int(source.option("StrideH")), int(source.option("StrideW")))
        if len(x.type.shape) != 4 or x.type.shape[0] != 1 or min(*stride, *kernel, *dilation) < 1:
            raise ModelError(
                f"{source}: input {x.type.shape}, kernel {kernel}, strides {stride}, dilation "
                f"{dilation}; an input (1, H, W, C) and sizes from 1 are needed"
            )
        if kernel[0] > most[0] or kernel[1] > most[1]:
            raise UnsupportedOpError(
                f"{source} has a kernel of {kernel[0]}x{kernel[1]}; "
                f"up to {most[0]}x{most[1]} are supported"
            )
        if max(dilation) > MAX_DILATION:
            raise UnsupportedOpError(
                f"{source} has the dilation {max(dilation)}; up to {MAX_DILATION} are supported"
            )
        same = source.is_same_padding()
        sizes, pads = [], []
        for size, k, apart, step in zip(x.type.shape[1:3], kernel, dilation, stride, strict=True):
            span = (k - 1) * apart + 1
            out = -(-size // step) if same else (size - span) // step + 1
            if out < 1:
                raise ModelError(f"{source}: a kernel of {kernel} exceeds {x.type.shape}")
            sizes.append(out)
            pads.append(max(0, (out - 1) * step + span - size) // 2)
        return cls(stride, (pads[0], pads[1]), (sizes[0], sizes[1]))


@dataclass(frozen=True)
class Pool2D:
    """What pools share: x (1, H, W, C) s8 -> out (1, H', W', C) s8, same quantisation.

    No operator of its own: one is a child of this and of Op.
    """

    out_shape: tuple[int, ...]
    window: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int] = (0, 0)  # top, left
    act_min: int = -128
    act_max: int = 127

    @classmethod
    def from_tflite(cls, source: OperatorSource) -> tuple[Any, tuple[Tensor, ...]]:
        x = source.activation(0)
        window = (int(source.option("FilterHeight")), int(source.option("FilterWidth")))
        place = Placement.read(source, x, window, most=(MAX_POOL, MAX_POOL))
        shape = place.shape(x.type.shape[-1])
        return cls(shape, window, place.stride, place.padding, *source.limits()), (x,)

    def limits(self) -> tuple[int, int]:
        return self.act_min, self.act_max

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        (x,) = types
        if x.shape[3] != self.out_shape[3]:
            raise ValueError(f"{x.shape[3]} channels in, {self.out_shape[3]} out")
        return (x.with_shape(*self.out_shape),)

    def narrowed(self, node: Node, channels: int) -> Any:
        return replace(self, out_shape=(*self.out_shape[:-1], channels))

    def geometry(self, x: TensorType) -> Geometry:
        _, in_h, in_w, channels = x.shape
        out_h, out_w = self.out_shape[1:3]
        sizes = (in_h, in_w, channels, out_h, out_w, channels)
        return Geometry(*sizes, *self.window, *self.stride, *self.padding)

    def reads(self, node: Node) -> tuple[int, int]:
        g = self.geometry(node.inputs[0].type)
        taps = g.kernel_h * g.kernel_w
        return taps, g.out_h * g.out_w * taps * g.in_ch

    @property
    def is_disjoint(self) -> bool:
        """Whether no position lies in two windows."""
        steps = zip(self.stride, self.window, strict=True)
        return all(stride >= size for stride, size in steps)

    @property
    def is_tall(self) -> bool:
        """Whether a window has more rows than the kernels that work by rows point to."""
        return self.window[0] > MAX_KERNEL_H

    @property
    def row_window(self) -> tuple[int, int, int]:
        """(kernel, stride, padding at the top) along the rows."""
        return self.window[0], self.stride[0], self.padding[0]

    def params(self, x: TensorType) -> dict[str, int]:
        """The sizes, as the C structs of pools have them."""
        sizes = vars(self.geometry(x)).items()
        return {("channels" if k == "in_ch" else k): v for k, v in sizes if k != "out_ch"}

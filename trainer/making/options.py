# SPDX-License-Identifier: Apache-2.0
"""Options of operators, as ``tflite_writer`` writes them: named after the tables of the TFLite
schema, with fields named after the tables'."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Padding(IntEnum):
    """Values of the schema's enum of that name."""

    SAME = 0
    VALID = 1


class Activation(IntEnum):
    """Fused activation functions, by the schema's values."""

    NONE = 0
    RELU = 1
    RELU_N1_TO_1 = 2
    RELU6 = 3
    TANH = 4


@dataclass(frozen=True)
class Conv2DOptions:
    padding: Padding = Padding.SAME
    stride_h: int = 1
    stride_w: int = 1
    fused_activation_function: Activation = Activation.NONE
    dilation_h_factor: int = 1
    dilation_w_factor: int = 1


@dataclass(frozen=True)
class DepthwiseConv2DOptions:
    padding: Padding = Padding.SAME
    stride_h: int = 1
    stride_w: int = 1
    depth_multiplier: int = 1
    fused_activation_function: Activation = Activation.NONE
    dilation_h_factor: int = 1
    dilation_w_factor: int = 1


@dataclass(frozen=True)
class FullyConnectedOptions:
    fused_activation_function: Activation = Activation.NONE
    keep_num_dims: bool = False


@dataclass(frozen=True)
class Pool2DOptions:
    padding: Padding = Padding.VALID
    stride_h: int = 1
    stride_w: int = 1
    filter_height: int = 1
    filter_width: int = 1
    fused_activation_function: Activation = Activation.NONE


@dataclass(frozen=True)
class AddOptions:
    fused_activation_function: Activation = Activation.NONE


@dataclass(frozen=True)
class ReshapeOptions:
    new_shape: tuple[int, ...] = ()


@dataclass(frozen=True)
class SoftmaxOptions:
    beta: float = 1.0


@dataclass(frozen=True)
class MulOptions:
    fused_activation_function: Activation = Activation.NONE


@dataclass(frozen=True)
class ConcatenationOptions:
    axis: int = 0
    fused_activation_function: Activation = Activation.NONE


@dataclass(frozen=True)
class ReducerOptions:
    keep_dims: bool = False


@dataclass(frozen=True)
class PadOptions:
    """PAD has no fields; its widths are a tensor."""


@dataclass(frozen=True)
class TransposeOptions:
    """TRANSPOSE has no fields; its permutation is a tensor."""


@dataclass(frozen=True)
class SqueezeOptions:
    squeeze_dims: tuple[int, ...] = ()


@dataclass(frozen=True)
class ExpandDimsOptions:
    """EXPAND_DIMS has no fields; its axis is a tensor."""


@dataclass(frozen=True)
class ResizeNearestNeighborOptions:
    align_corners: bool = False
    half_pixel_centers: bool = False


@dataclass(frozen=True)
class LeakyReluOptions:
    alpha: float = 0.0


@dataclass(frozen=True)
class HardSwishOptions:
    """HARD_SWISH has no fields."""


@dataclass(frozen=True)
class QuantizeOptions:
    """QUANTIZE has no fields."""


@dataclass(frozen=True)
class DequantizeOptions:
    """DEQUANTIZE has no fields."""


@dataclass(frozen=True)
class ShapeOptions:
    out_type: int = 2  # int32


@dataclass(frozen=True)
class StridedSliceOptions:
    begin_mask: int = 0
    end_mask: int = 0
    ellipsis_mask: int = 0
    new_axis_mask: int = 0
    shrink_axis_mask: int = 0


@dataclass(frozen=True)
class PackOptions:
    values_count: int = 0
    axis: int = 0


@dataclass(frozen=True)
class SliceOptions:
    """SLICE has no fields; its begin and its size are tensors."""


@dataclass(frozen=True)
class SplitOptions:
    num_splits: int = 0


@dataclass(frozen=True)
class SplitVOptions:
    num_splits: int = 0


@dataclass(frozen=True)
class UnpackOptions:
    num: int = 0
    axis: int = 0


@dataclass(frozen=True)
class GatherOptions:
    axis: int = 0
    batch_dims: int = 0


@dataclass(frozen=True)
class TileOptions:
    """TILE has no fields; how often it repeats is a tensor."""


@dataclass(frozen=True)
class ResizeBilinearOptions:
    align_corners: bool = False
    half_pixel_centers: bool = False

# SPDX-License-Identifier: Apache-2.0
"""Models of uint8, as TensorFlow 1 made them, read as models of int8 that compute the same.

An activation less 128 is int8, and its zero point too: all differences from the zero point stay.
Weights have a zero point of their own, so that they reach from -255 to 255 about it. Those beyond
int8 are few; a layer adds what they lack as it adds the weights of channels that learn apart, a
depthwise one by a kernel of its own.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import tflite

from mcutrain.trainer.errors import UnsupportedOpError
from mcutrain.trainer.graph.op import Op, of_kind
from mcutrain.trainer.graph.tensor import Array, Tensor, constant
from mcutrain.trainer.ops.average_pool2d import AveragePool2D
from mcutrain.trainer.ops.average_pool2d_half_up import AveragePool2DHalfUp
from mcutrain.trainer.ops.depthwise_conv2d import DepthwiseConv2D
from mcutrain.trainer.ops.depthwise_conv2d_wide import DepthwiseConv2DWide
from mcutrain.trainer.ops.gather_channels import GatherChannels
from mcutrain.trainer.ops.weighted import MAX_FAN_IN, Weighted
from mcutrain.trainer.tflite.signed import AGAIN

if TYPE_CHECKING:
    from mcutrain.trainer.tflite.listing import Listing
    from mcutrain.trainer.tflite.operator import FileOperator

# What computes the same on int8 as on uint8, but for what ``imported`` changes.
EXACT = (
    *("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "AVERAGE_POOL_2D", "MAX_POOL_2D"),
    *("ADD", "CONCATENATION", "RESHAPE", "SQUEEZE", "EXPAND_DIMS", "SOFTMAX"),
)
LAYERS = EXACT[:3]
MAX_WEIGHTS = 2**20  # times an error of 2047 they fit 32 bits


def is_unsigned(listing: Listing) -> bool:
    """Whether a layer that is read has inputs and weights of uint8."""
    known = range(listing.declared.subgraph.TensorsLength())
    for index in listing.read:
        operands = listing.inputs_of(index)[:2]
        if listing.kind(index) in LAYERS and len(operands) == 2:
            types = [listing.declared.type_of(t) for t in operands if t in known]
            if types == 2 * [tflite.TensorType.UINT8]:
                return True
    return False


def imported(kind: type[Op], source: FileOperator) -> tuple[Tensor, ...]:
    """The outputs of an operator, as ``Op.imported``. Raises ModelError."""
    if source.kind not in EXACT:
        raise UnsupportedOpError(
            f"{source} is of a model of uint8, where {', '.join(EXACT)} are supported", AGAIN
        )
    if issubclass(kind, AveragePool2D):
        op, inputs = AveragePool2DHalfUp.from_tflite(source)
        return (source.add(op, *inputs),)
    if not issubclass(kind, Weighted):
        return kind.imported(source)
    layer, inputs = kind.from_tflite(source)
    assert isinstance(layer, Weighted)
    if not source.beyond or not source.beyond[0].any():
        return (source.add(layer, *inputs),)
    layer, inputs = with_rest(source, layer, inputs, source.beyond[0])
    return (source.add(layer, *inputs),)


def require_small_errors(source: FileOperator, w: Tensor, rest: Array) -> None:
    """Raises UnsupportedOpError if an error that goes back through the layer could pass int32: a
    product has 11 bits of an error and a weight, of all filters and taps of an input channel."""
    assert w.data is not None
    whole = np.abs(w.data.astype(np.int64) + rest)
    greatest = int(whole.reshape(-1, whole.shape[-1]).sum(axis=0).max())
    if greatest > MAX_WEIGHTS:
        raise UnsupportedOpError(
            f"{source}: the weights of one channel add up to {greatest:,}; {MAX_WEIGHTS:,} are "
            "supported where some are beyond int8",
            AGAIN,
        )


def with_rest(
    source: FileOperator, layer: Weighted, inputs: tuple[Tensor, ...], rest: Array
) -> tuple[Weighted, tuple[Tensor, ...]]:
    """A layer and its inputs that add the products of some channels with ``rest`` of the weights.
    Raises UnsupportedOpError for sums that could pass int32."""
    x, w = inputs[:2]
    if w.type.size // w.type.shape[layer.out_axis] > MAX_FAN_IN // 2:
        raise UnsupportedOpError(f"{source} sums more than {MAX_FAN_IN // 2} products", AGAIN)
    assert w.type.quant is not None
    name = f"{w.name}_rest"
    if isinstance(layer, DepthwiseConv2D):
        wide = of_kind(DepthwiseConv2DWide, layer)
        assert isinstance(wide, Weighted)
        return wide, (*inputs, constant(name, rest.astype(np.int8), w.type.quant))
    require_small_errors(source, w, rest)
    columns = np.flatnonzero(rest.reshape(-1, rest.shape[-1]).any(axis=0))
    channels = tuple(int(column) for column in columns)
    layer = replace(layer, channels=channels)
    w_rest = constant(name, rest[..., columns].astype(np.int8), w.type.quant)
    gather = GatherChannels(channels, layer.geometry(x.type, w.type).in_ch)
    (some,) = source.graph.add(gather, x, name=f"{source.name}_x", index=source.index)
    return layer, (*inputs, some, w_rest)

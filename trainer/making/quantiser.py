# SPDX-License-Identifier: Apache-2.0
"""Post-training quantisation: a trained FloatNet and calibration data to an int8 ``.tflite``.

TFLite's int8 specification: activations affine per tensor, weights symmetric with one scale per
output channel (fully connected: per tensor), biases int32 at input scale times weight scale.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt

from mcutrain.trainer.graph.tensor import QuantParams
from mcutrain.trainer.making.float_layers import (
    Add,
    Array,
    AveragePool2D,
    BatchNorm,
    Conv2D,
    DepthwiseConv2D,
    FloatWindow,
    FullyConnected,
    MaxPool2D,
    Reshape,
    WeightedOp,
)
from mcutrain.trainer.making.float_net import INPUT, FloatLayer, FloatNet, without_batch_norm
from mcutrain.trainer.making.options import (
    Activation,
    AddOptions,
    Conv2DOptions,
    DepthwiseConv2DOptions,
    FullyConnectedOptions,
    Padding,
    Pool2DOptions,
    ReshapeOptions,
    SoftmaxOptions,
)
from mcutrain.trainer.making.writer import WriterOp, WriterTensor, constant, write_model

# A softmax's output is always this (TFLite quantisation specification, SOFTMAX).
SOFTMAX_QUANT = QuantParams((1 / 256,), -128)
_WEIGHT_AXIS = {Conv2D: 0, DepthwiseConv2D: 3}
_KINDS = {
    Conv2D: "CONV_2D",
    DepthwiseConv2D: "DEPTHWISE_CONV_2D",
    FullyConnected: "FULLY_CONNECTED",
    AveragePool2D: "AVERAGE_POOL_2D",
    MaxPool2D: "MAX_POOL_2D",
    Add: "ADD",
    Reshape: "RESHAPE",
}


def stored_scale(scale: float) -> float:
    """``scale`` with 12 bits of mantissa, so that it is exact in float32 and in the file.

    Fewer bits than float32 has, so that the last bit of a sum, which differs between
    processors, does not show in the file.

    >>> stored_scale(0.1) == float(np.float32(stored_scale(0.1)))
    True
    """
    mantissa, exponent = np.frexp(scale)
    return float(np.ldexp(np.ceil(mantissa * 4096) / 4096, exponent))


def activation_quant(low: float, high: float) -> QuantParams:
    """Int8 over [low, high], widened to hold 0 exactly.

    >>> activation_quant(0.0, 6.0).zero_point
    -128
    """
    low, high = min(low, 0.0), max(high, 0.0, 1e-6)
    scale = stored_scale((high - low) / 255)
    return QuantParams((scale,), int(np.floor(-128 - low / scale + 0.5)))


def quantize_array(x: Array, quant: QuantParams) -> npt.NDArray[np.int8]:
    """Real values to int8, half up, saturated."""
    q = np.floor(np.asarray(x, np.float64) / quant.scale + 0.5) + quant.zero_point
    clipped: npt.NDArray[np.int8] = np.clip(q, -128, 127).astype(np.int8)
    return clipped


def dequantize_array(q: npt.NDArray[np.int8], quant: QuantParams) -> npt.NDArray[np.float64]:
    return (q.astype(np.float64) - quant.zero_point) * quant.scale


def quantize_net(
    net: FloatNet,
    params: Mapping[str, Array],
    calibration: Array,
    input_quant: QuantParams | None = None,
    headroom: float = 1.0,
    softmax: bool = True,
) -> bytes:
    """The ``.tflite`` of ``net``, with a softmax at its end unless its outputs are values.

    ``calibration`` (N, ...) are inputs in real units, such as the training samples; each
    activation's range is what they reach, times ``headroom``, within the limits of its fused
    activation. The input's is what they span, unless ``input_quant`` gives it. A batch norm becomes
    part of the layer before it. Raises ValueError for limits that no fused activation of TFLite
    has.
    """
    net, params = without_batch_norm(net, params)
    if input_quant is None:
        input_quant = activation_quant(float(np.min(calibration)), float(np.max(calibration)))
    values = net.forward(params, calibration)
    quants = {INPUT: input_quant}
    tensors = [_activation(INPUT, values, input_quant)]
    ops: list[WriterOp] = []
    for layer in net.layers:
        quant = _output_quant(layer, values[layer.name], quants, headroom)
        quants[layer.name] = quant
        operands = list(_constants(layer, params, quants))
        tensors += [*operands, _activation(layer.name, values, quant)]
        names = (*layer.inputs, *(operand.name for operand in operands))
        options = _options(layer, params, values[layer.inputs[0]].shape[-1])
        ops.append(WriterOp(_KINDS[type(layer.op)], names, (layer.name,), options))
    output = net.layers[-1].name
    if softmax:
        tensors.append(WriterTensor("softmax", values[output][:1].shape, quant=SOFTMAX_QUANT))
        ops.append(WriterOp("SOFTMAX", (output,), ("softmax",), SoftmaxOptions()))
        output = "softmax"
    return write_model(tensors, ops, [INPUT], [output])


def _activation(name: str, values: Mapping[str, Array], quant: QuantParams) -> WriterTensor:
    return WriterTensor(name, values[name][:1].shape, quant=quant)


def _output_quant(
    layer: FloatLayer, values: Array, quants: Mapping[str, QuantParams], headroom: float
) -> QuantParams:
    if isinstance(layer.op, AveragePool2D | MaxPool2D | Reshape):
        return quants[layer.inputs[0]]  # these move values and do not rescale them
    low = max(float(values.min()) * headroom, layer.lo)
    high = min(float(values.max()) * headroom, layer.hi)
    return activation_quant(low, high)


def _constants(
    layer: FloatLayer, params: Mapping[str, Array], quants: Mapping[str, QuantParams]
) -> Iterator[WriterTensor]:
    """The operands after the activations: weights and bias, or a reshape's shape."""
    if isinstance(layer.op, Reshape):
        yield constant(f"{layer.name}/shape", np.array((1, *layer.op.shape), np.int32))
    if not isinstance(layer.op, WeightedOp):
        return
    weight = _quantize_weight(layer, params[layer.weight])
    yield weight
    assert weight.quant is not None
    scales = quants[layer.inputs[0]].scale * np.array(weight.quant.scales)
    bias = np.floor(params[layer.bias] / scales + 0.5).astype(np.int32)
    # TFLite stores the product as float32; per axis if the weights are.
    axis = None if weight.quant.axis is None else 0
    quant = QuantParams(tuple(scales.astype(np.float32).tolist()), 0, axis)
    yield constant(layer.bias, bias, quant)


def _quantize_weight(layer: FloatLayer, weight: Array) -> WriterTensor:
    axis = _WEIGHT_AXIS.get(type(layer.op))
    others = tuple(i for i in range(weight.ndim) if i != axis)
    largest = np.abs(weight).max(axis=others if axis is not None else None, keepdims=True)
    scales = np.vectorize(stored_scale, otypes=[np.float64])(np.maximum(largest, 1e-6) / 127)
    quantized = np.clip(np.floor(weight / scales + 0.5), -127, 127).astype(np.int8)
    return constant(layer.weight, quantized, QuantParams(tuple(scales.ravel().tolist()), 0, axis))


def _fused(layer: FloatLayer) -> Activation:
    known = {
        (-np.inf, np.inf): Activation.NONE,
        (0.0, np.inf): Activation.RELU,
        (0.0, 6.0): Activation.RELU6,
    }
    if (layer.lo, layer.hi) not in known:
        raise ValueError(
            f"{layer.name} is limited to {layer.lo} to {layer.hi}; "
            "TFLite fuses none, 0 to infinity and 0 to 6"
        )
    return known[layer.lo, layer.hi]


def _moves(window: FloatWindow) -> tuple[Padding, int, int]:
    """Padding, stride_h, stride_w. Without pads, SAME and VALID give the same output."""
    padding = Padding.SAME if any(window.pads) else Padding.VALID
    return padding, *window.stride


def _options(layer: FloatLayer, params: Mapping[str, Array], in_ch: int) -> object:
    op, fused = layer.op, _fused(layer)
    match op:
        case Conv2D(window):
            return Conv2DOptions(*_moves(window), fused)
        case DepthwiseConv2D(window):
            multiplier = params[layer.weight].shape[3] // in_ch
            return DepthwiseConv2DOptions(*_moves(window), multiplier, fused)
        case AveragePool2D(window) | MaxPool2D(window):
            return Pool2DOptions(*_moves(window), *window.kernel, fused)
        case FullyConnected():
            return FullyConnectedOptions(fused)
        case Add():
            return AddOptions(fused)
        case Reshape(shape):
            return ReshapeOptions((1, *shape))
        case BatchNorm():
            raise AssertionError("without_batch_norm has left none")

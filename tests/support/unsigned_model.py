# SPDX-License-Identifier: Apache-2.0
"""A model of uint8 as TensorFlow 1 made them, and what it computes by TFLite's rules for uint8."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mcutrain.trainer.fixedpoint import Requant, requantize
from mcutrain.trainer.graph.tensor import Array, QuantParams
from mcutrain.trainer.making.options import (
    Activation,
    Conv2DOptions,
    DepthwiseConv2DOptions,
    Pool2DOptions,
    ReshapeOptions,
)
from mcutrain.trainer.making.writer import WriterOp, WriterTensor, write_model

CLASSES = 3
SHAPE = (1, 6, 6, 2)


@dataclass(frozen=True)
class Weights:
    """uint8 weights with their zero point, and an int32 bias."""

    w: Array
    zero: int
    scale: float
    bias: Array

    def tensors(self, name: str) -> list[WriterTensor]:
        quant = QuantParams((self.scale,), self.zero)
        return [
            WriterTensor(f"{name}_w", self.w.shape, "uint8", quant, self.w),
            WriterTensor(f"{name}_b", self.bias.shape, "int32", None, self.bias),
        ]


def drawn(rng: np.random.Generator, shape: tuple[int, ...], out: int, zero: int) -> Weights:
    """All of uint8: some weights are beyond int8 about ``zero``, unless that is 128."""
    w = rng.integers(1, 256, shape).astype(np.uint8)
    if zero != 128:  # as trained weights are: far ones are few
        w = np.clip(rng.normal(zero, 25, shape), 0, 255).astype(np.uint8)
        w.reshape(-1)[rng.integers(0, w.size, 3)] = 0 if zero > 128 else 255
    return Weights(w, zero, float(np.float32(0.011)), rng.integers(-900, 900, out).astype(np.int32))


@dataclass(frozen=True)
class UnsignedModel:
    """Convolution, depthwise, pool, head; the zero points of the weights are given."""

    zeros: tuple[int, int, int] = (157, 60, 94)
    x: tuple[float, int] = (1 / 32, 120)  # scale and zero point
    inner: tuple[float, int] = (0.05, 0)
    logits: tuple[float, int] = (0.11, 96)

    @property
    def layers(self) -> list[Weights]:
        rng = np.random.default_rng(3)
        shapes = ((4, 3, 3, 2), (1, 3, 3, 4), (CLASSES, 1, 1, 4))
        outs = (4, 4, CLASSES)
        return [drawn(rng, *each) for each in zip(shapes, outs, self.zeros, strict=True)]

    def file(self, inner: tuple[WriterOp, ...] = ()) -> bytes:
        def values(name: str, shape: tuple[int, ...], quant: tuple[float, int]) -> WriterTensor:
            scale = float(np.float32(quant[0]))
            return WriterTensor(name, shape, "uint8", QuantParams((scale,), quant[1]))

        tensors = [
            values("x", SHAPE, self.x), values("conv", (1, 6, 6, 4), self.inner),
            values("dw", (1, 6, 6, 4), self.inner), values("pool", (1, 1, 1, 4), self.inner),
            values("logits", (1, 1, 1, CLASSES), self.logits),
            values("out", (1, CLASSES), self.logits),
            WriterTensor("shape", (2,), "int32", None, np.array([1, CLASSES], np.int32)),
        ]  # fmt: skip
        for name, layer in zip(("conv", "dw", "head"), self.layers, strict=True):
            tensors += layer.tensors(name)
        relu6 = Activation.RELU6
        ops = [
            WriterOp("CONV_2D", ("x", "conv_w", "conv_b"), ("conv",),
                     Conv2DOptions(fused_activation_function=relu6), 1),
            WriterOp("DEPTHWISE_CONV_2D", ("conv", "dw_w", "dw_b"), ("dw",),
                     DepthwiseConv2DOptions(fused_activation_function=relu6), 1),
            WriterOp("AVERAGE_POOL_2D", ("dw",), ("pool",),
                     Pool2DOptions(filter_height=6, filter_width=6, stride_h=6, stride_w=6), 1),
            WriterOp("CONV_2D", ("pool", "head_w", "head_b"), ("logits",), Conv2DOptions(), 1),
            *(inner or (WriterOp("RESHAPE", ("logits", "shape"), ("out",),
                                 ReshapeOptions((1, CLASSES)), 1),)),
        ]  # fmt: skip
        return write_model(tensors, ops, ["x"], ["out"])

    def logits_of(self, x: Array) -> Array:
        """(CLASSES,) uint8 of one sample, uint8 in all the steps between."""
        conv, dw, head = self.layers
        found = layer_of(patches(x.reshape(SHAPE[1:]), self.x[1]), conv, self.x, self.inner)
        found = depthwise_of(patches(found, self.inner[1]), dw, self.inner)
        count = found.shape[0] * found.shape[1]
        pooled = (found.astype(np.int64).sum(axis=(0, 1)) + count // 2) // count
        return layer_of(pooled[None, None, None, None], head, self.inner, self.logits).reshape(-1)


def patches(x: Array, zero: int) -> Array:
    """(H, W, 3, 3, C) int64: what a kernel of 3x3 meets; outside it is the zero point."""
    padded = np.full((x.shape[0] + 2, x.shape[1] + 2, x.shape[2]), zero, np.int64)
    padded[1:-1, 1:-1] = x
    view = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (0, 1))
    return np.moveaxis(view, 2, -1)


def rescaled(acc: Array, layer: Weights, x: tuple[float, int], out: tuple[float, int]) -> Array:
    """uint8 of accumulators: by the product of the scales as float32, as TFLite has it."""
    product = np.float32(np.float32(x[0]) * np.float32(layer.scale))
    factor = Requant.from_real(float(product) / float(np.float32(out[0])))
    values = requantize(acc + layer.bias, factor.multiplier, factor.shift) + out[1]
    low = out[1] if out[0] == 0.05 else 0  # RELU6, but for the logits
    high = out[1] + round(6 / out[0]) if out[0] == 0.05 else 255
    return np.asarray(np.clip(values, max(low, 0), min(high, 255)).astype(np.uint8))


def layer_of(x: Array, layer: Weights, quant: tuple[float, int], out: tuple[float, int]) -> Array:
    """Of (H, W, KH, KW, I) values."""
    w = layer.w.astype(np.int64) - layer.zero
    acc = np.einsum("yxijc,oijc->yxo", x - quant[1], w)
    return rescaled(acc, layer, quant, out)


def depthwise_of(x: Array, layer: Weights, quant: tuple[float, int]) -> Array:
    w = layer.w[0].astype(np.int64) - layer.zero
    return rescaled(np.einsum("yxijc,ijc->yxc", x - quant[1], w), layer, quant, quant)

# SPDX-License-Identifier: Apache-2.0
"""A small int8 model whose residual blocks lie in one another, with concatenations and pads."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mcutrain.trainer.graph.tensor import QuantParams
from mcutrain.trainer.making.options import (
    Activation,
    AddOptions,
    ConcatenationOptions,
    Conv2DOptions,
    DepthwiseConv2DOptions,
    FullyConnectedOptions,
    Padding,
    PadOptions,
    ReducerOptions,
)
from mcutrain.trainer.making.writer import WriterOp, WriterTensor, constant, write_model
from tests.support.small_models import activation

CLASSES = 5
POSITIVE = (8 / 255, -128)  # scale and zero point of what a RELU writes
SIGNED = (8 / 255, 0)


@dataclass
class Builder:
    """Tensors and operators so far; layers are drawn so that activations stay about 1."""

    rng: np.random.Generator
    tensors: dict[str, WriterTensor] = field(default_factory=dict)
    ops: list[WriterOp] = field(default_factory=list)

    def put(self, *tensors: WriterTensor) -> None:
        self.tensors |= {t.name: t for t in tensors}

    def write(
        self, kind: str, inputs: tuple[str, ...], out: WriterTensor, options: Any = None
    ) -> str:
        self.put(out)
        self.ops.append(WriterOp(kind, inputs, (out.name,), options))
        return out.name

    def parameters(self, name: str, shape: tuple[int, ...], axis: int) -> tuple[str, str]:
        """Weights of variance 2 / fan-in (He et al. 2015), and small biases."""
        channels = shape[axis]
        fan_in = np.prod(shape) / channels
        scale = np.sqrt(2 / fan_in) / 73 * self.rng.uniform(0.7, 1.4, channels)  # 73: std of ints
        quant = QuantParams(tuple(float(np.float32(s)) for s in scale), 0, axis)
        self.put(
            constant(f"{name}_w", self.rng.integers(-127, 128, shape).astype(np.int8), quant),
            constant(f"{name}_b", self.rng.integers(-300, 301, channels).astype(np.int32)),
        )
        return f"{name}_w", f"{name}_b"

    def conv(
        self, name: str, x: str, channels: int, kernel: int, stride: int = 1, relu: bool = True
    ) -> str:
        _, height, width, in_ch = self.tensors[x].shape
        params = self.parameters(name, (channels, kernel, kernel, in_ch), 0)
        shape = (1, -(-height // stride), -(-width // stride), channels)
        options = Conv2DOptions(
            Padding.SAME, stride, stride, Activation.RELU if relu else Activation.NONE
        )
        out = activation(name, shape, *(POSITIVE if relu else SIGNED))
        return self.write("CONV_2D", (x, *params), out, options)

    def padded_depthwise(self, name: str, x: str) -> str:
        """PAD, then a depthwise 3x3 without padding of its own."""
        shape = self.tensors[x].shape
        _, height, width, channels = shape
        self.put(constant(f"{name}_widths", np.array([[0, 0], [1, 1], [1, 1], [0, 0]], np.int32)))
        wide = activation(f"{name}_pad", (1, height + 2, width + 2, channels), *POSITIVE)
        padded = self.write("PAD", (x, f"{name}_widths"), wide, PadOptions())
        params = self.parameters(name, (1, 3, 3, channels), 3)
        options = DepthwiseConv2DOptions(Padding.VALID, fused_activation_function=Activation.RELU)
        out = activation(name, shape, *POSITIVE)
        return self.write("DEPTHWISE_CONV_2D", (padded, *params), out, options)

    def add(self, name: str, a: str, b: str) -> str:
        out = activation(name, self.tensors[a].shape, *POSITIVE)
        return self.write("ADD", (a, b), out, AddOptions(Activation.RELU))

    def concat(self, name: str, *inputs: str) -> str:
        channels = sum(self.tensors[t].shape[3] for t in inputs)
        out = activation(name, (*self.tensors[inputs[0]].shape[:3], channels), *POSITIVE)
        return self.write("CONCATENATION", inputs, out, ConcatenationOptions(axis=3))

    def mean(self, name: str, x: str) -> str:
        self.put(constant(f"{name}_axes", np.array([1, 2], np.int32)))
        out = activation(name, (1, self.tensors[x].shape[3]), *POSITIVE)
        return self.write("MEAN", (x, f"{name}_axes"), out, ReducerOptions())

    def dense(self, name: str, x: str, classes: int) -> str:
        params = self.parameters(name, (classes, self.tensors[x].shape[1]), 0)
        out = activation(name, (1, classes), 0.05, 3)
        return self.write("FULLY_CONNECTED", (x, *params), out, FullyConnectedOptions())


def nested_model(seed: int = 0) -> bytes:
    """outer = relu(stem + conv(concat(left(inner), right(inner)))), inner = relu(p + pw(dw(p))),
    p = conv(stem); the head reads concat(outer, inner, stem).
    """
    net = Builder(np.random.default_rng(seed))
    net.put(activation("x", (1, 12, 12, 3), 1 / 50, 0))
    stem = net.conv("stem", "x", 8, 3)
    p = net.conv("p", stem, 8, 3)
    inner = net.add("inner", p, net.conv("pw", net.padded_depthwise("dw", p), 8, 1, relu=False))
    both = net.concat("both", net.conv("left", inner, 4, 1), net.conv("right", inner, 4, 3))
    outer = net.add("outer", stem, net.conv("back", both, 8, 3, relu=False))
    last = net.conv("last", net.concat("all", outer, inner, stem), 16, 3, stride=2)
    logits = net.dense("head", net.mean("mean", last), CLASSES)
    return write_model(list(net.tensors.values()), net.ops, ["x"], [logits])

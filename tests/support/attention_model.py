# SPDX-License-Identifier: Apache-2.0
"""A small int8 transformer: attention of two heads, layer normalisation and a block of two layers,
in the operators that converters write for them. Ranges are those of drawn samples."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mcutrain.trainer.graph.tensor import Array, QuantParams
from mcutrain.trainer.making.options import (
    Activation,
    AddOptions,
    BatchMatMulOptions,
    FullyConnectedOptions,
    MulOptions,
    ReducerOptions,
    ReshapeOptions,
    SoftmaxOptions,
    SubOptions,
    TransposeOptions,
)
from mcutrain.trainer.making.writer import WriterOp, WriterTensor, constant, write_model

STEPS, CHANNELS, HEADS, CLASSES = 8, 12, 2, 4
WIDTH = CHANNELS // HEADS
SAMPLES = 64
SHARES = QuantParams((1 / 256,), -128)
EPSILON = 1e-3


def fitted(values: Array) -> QuantParams:
    """The int8 range of values and 0."""
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    scale = float(np.float32((high - low) / 255))
    return QuantParams((scale,), int(np.clip(round(-128 - low / scale), -128, 127)))


@dataclass
class Calibrated:
    """Tensors and operators so far, and what the samples make of them in reals (N, ...)."""

    rng: np.random.Generator
    tensors: list[WriterTensor] = field(default_factory=list)
    ops: list[WriterOp] = field(default_factory=list)
    reals: dict[str, Array] = field(default_factory=dict)

    def activation(self, name: str, real: Array, quant: QuantParams | None = None) -> str:
        self.reals[name] = real
        quant = quant or fitted(real)
        self.tensors.append(WriterTensor(name, (1, *real.shape[1:]), "int8", quant))
        return name

    def write(self, kind: str, inputs: tuple[str, ...], name: str, real: Array,
              options: Any = None, quant: QuantParams | None = None) -> str:  # fmt: skip
        self.ops.append(WriterOp(kind, inputs, (name,), options))
        return self.activation(name, real, quant)

    def quant(self, name: str) -> QuantParams:
        (found,) = (t.quant for t in self.tensors if t.name == name)
        assert found is not None
        return found

    def whole(self, name: str, *numbers: int) -> str:
        self.tensors.append(constant(name, np.array(numbers, np.int32)))
        return name

    def real_constant(self, name: str, real: Array) -> str:
        """As an int8 constant, whose reals are those that it stands for."""
        quant = fitted(real)
        data = np.clip(np.rint(real / quant.scale) + quant.zero_point, -128, 127).astype(np.int8)
        self.tensors.append(constant(name, data, quant))
        self.reals[name] = quant.scale * (data.astype(np.float64) - quant.zero_point)
        return name

    def dense(
        self, name: str, x: str, channels: int, relu: bool = False, has_bias: bool = True
    ) -> str:
        """A layer of the last axis: weights of variance 1 / fan-in, and small biases."""
        real = self.reals[x]
        w = self.rng.normal(0, real.shape[-1] ** -0.5, (channels, real.shape[-1]))
        scales = np.abs(w).max(axis=1).astype(np.float32) / np.float32(127)
        quant = QuantParams(tuple(float(s) for s in scales), 0, 0)
        data = np.rint(w / scales[:, None].astype(np.float64)).astype(np.int8)
        unit = self.quant(x).scale * scales.astype(np.float64)
        b = np.rint(self.rng.normal(0, 0.1, channels) / unit).astype(np.int32)
        b = b if has_bias else np.zeros_like(b)
        self.tensors += [constant(f"{name}_w", data, quant)]
        self.tensors += [constant(f"{name}_b", b)] if has_bias else []
        out = real @ (data * scales[:, None].astype(np.float64)).T + b * unit
        out = np.maximum(out, 0) if relu else out
        activation = Activation.RELU if relu else Activation.NONE
        options = FullyConnectedOptions(activation, keep_num_dims=True)
        inputs = (x, f"{name}_w", *((f"{name}_b",) if has_bias else ()))
        return self.write("FULLY_CONNECTED", inputs, name, out, options)

    def product(self, name: str, a: str, b: str) -> str:
        return self.write("MUL", (a, b), name, self.reals[a] * self.reals[b], MulOptions())

    def mean(self, name: str, x: str, axis: int, keep_dims: bool) -> str:
        real = self.reals[x].mean(axis=axis, keepdims=keep_dims)
        inputs = (x, self.whole(f"{name}_axes", axis))
        return self.write("MEAN", inputs, name, real, ReducerOptions(keep_dims))

    def heads(self, name: str, x: str, order: tuple[int, ...]) -> str:
        """(1, T, C) as one matrix of each head, its axes in this order."""
        real = self.reals[x].reshape(-1, STEPS, HEADS, WIDTH)
        shape = (1, STEPS, HEADS, WIDTH)
        to = self.whole(f"{name}_shape", *shape)
        options = ReshapeOptions(shape)
        split = self.write("RESHAPE", (x, to), f"{name}_split", real, options, self.quant(x))
        inputs = (split, self.whole(f"{name}_order", *order))
        real = real.transpose(order)
        return self.write("TRANSPOSE", inputs, name, real, TransposeOptions(), self.quant(x))

    def attention(self, x: str) -> str:
        queries = self.heads("queries", self.dense("q", x, CHANNELS), (0, 2, 1, 3))
        # A bias of the keys moves all scores of a query alike: its gradient is 0.
        keys = self.heads("keys", self.dense("k", x, CHANNELS, has_bias=False), (0, 2, 3, 1))
        values = self.heads("values", self.dense("v", x, CHANNELS), (0, 2, 1, 3))
        real = self.reals[queries] @ self.reals[keys]
        options = BatchMatMulOptions()
        scores = self.write("BATCH_MATMUL", (queries, keys), "scores", real, options)
        scaled = self.product("scaled", scores, self.real_constant("unit", np.array(WIDTH**-0.5)))
        e = np.exp(self.reals[scaled])
        real = e / e.sum(axis=-1, keepdims=True)
        shares = self.write("SOFTMAX", (scaled,), "shares", real, SoftmaxOptions(), SHARES)
        real = real @ self.reals[values]
        mixed = self.write("BATCH_MATMUL", (shares, values), "mixed", real, options)
        inputs = (mixed, self.whole("back", 0, 2, 1, 3))
        quant, real = self.quant(mixed), real.transpose(0, 2, 1, 3)
        turned = self.write("TRANSPOSE", inputs, "turned", real, TransposeOptions(), quant)
        shape = (1, STEPS, CHANNELS)
        inputs = (turned, self.whole("joined_shape", *shape))
        real = real.reshape(-1, *shape[1:])
        joined = self.write("RESHAPE", inputs, "joined", real, ReshapeOptions(shape), quant)
        return self.dense("mix", joined, CHANNELS)

    def added(self, name: str, a: str, b: str) -> str:
        return self.write("ADD", (a, b), name, self.reals[a] + self.reals[b], AddOptions())

    def normalised(self, name: str, x: str) -> str:
        """x r - mean r, r = gamma / sqrt(variance + epsilon)."""
        mean = self.mean(f"{name}_mean", x, 2, True)
        real = (self.reals[x] - self.reals[mean]) ** 2
        squares = self.write("SQUARED_DIFFERENCE", (x, mean), f"{name}_squares", real)
        variance = self.mean(f"{name}_variance", squares, 2, True)
        epsilon = self.real_constant(f"{name}_epsilon", np.array(EPSILON))
        safe = self.added(f"{name}_safe", variance, epsilon)
        root = self.write("RSQRT", (safe,), f"{name}_root", self.reals[safe] ** -0.5)
        gamma = self.real_constant(f"{name}_gamma", self.rng.uniform(0.7, 1.3, (1, 1, CHANNELS)))
        scale = self.product(f"{name}_scale", root, gamma)
        scaled, moved = (
            self.product(f"{name}_x", x, scale),
            self.product(f"{name}_m", mean, scale),
        )
        real = self.reals[scaled] - self.reals[moved]
        return self.write("SUB", (scaled, moved), name, real, SubOptions())


def attention_model(seed: int = 0) -> bytes:
    """Attention, residual, normalisation, two layers, residual, mean over the steps, head."""
    net = Calibrated(np.random.default_rng(seed))
    x = net.activation("x", net.rng.normal(0, 1, (SAMPLES, STEPS, CHANNELS)))
    first = net.normalised("norm", net.added("sum", x, net.attention(x)))
    hidden = net.dense("up", first, 2 * CHANNELS, relu=True)
    second = net.added("sum2", first, net.dense("down", hidden, CHANNELS))
    net.dense("head", net.mean("mean", second, 1, False), CLASSES)
    return write_model(net.tensors, net.ops, ["x"], ["head"])

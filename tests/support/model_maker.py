# SPDX-License-Identifier: Apache-2.0
"""Parts of random ``.tflite`` models: sizes, scales, zero points, layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mcutrain.trainer.graph.tensor import QuantParams
from mcutrain.trainer.making.options import (
    Activation,
    AddOptions,
    Conv2DOptions,
    DepthwiseConv2DOptions,
    FullyConnectedOptions,
    Padding,
    Pool2DOptions,
)
from mcutrain.trainer.making.writer import WriterGraph, WriterOp, WriterTensor, write_model

ACTIVATIONS = tuple(Activation)[:4]  # which an operator may have fused


@dataclass
class Chance:
    """Random choices for one model; RandomState, because its stream is frozen."""

    rng: np.random.RandomState

    def number(self, low: int, high: int) -> int:
        return int(self.rng.randint(low, high + 1))

    def pick(self, *choices: Any) -> Any:
        return choices[self.rng.randint(len(choices))]

    def scale(self, low: float = 0.002, high: float = 0.3) -> float:
        """Log-uniform, as the float32 that a file holds."""
        return float(np.float32(np.exp(self.rng.uniform(np.log(low), np.log(high)))))

    def zero_point(self) -> int:
        return int(self.pick(-128, 127, 0, self.number(-128, 127)))

    def quant(self) -> QuantParams:
        return QuantParams((self.scale(),), self.zero_point())

    def weights(self, name: str, shape: tuple[int, ...], axis: int) -> WriterTensor:
        count = self.pick(1, shape[axis])
        spread = self.pick(1.0, 1.0, 1e3)
        scales = tuple(self.scale(0.001 / spread, 0.02) for _ in range(count))
        quant = QuantParams(scales, 0, axis if count > 1 else None)
        data = self.rng.randint(-128, 128, shape).astype(np.int8)
        return WriterTensor(name, shape, "int8", quant, data)

    def bias(self, name: str, x: QuantParams, w: WriterTensor, size: int) -> list[WriterTensor]:
        """One or none; its scales are those of the products."""
        if self.pick(True, True, False):
            assert w.quant is not None
            scales = tuple(float(np.float32(x.scale * s)) for s in w.quant.scales)
            data = self.rng.randint(-(2**15), 2**15, size).astype(np.int32)
            axis = 0 if len(scales) > 1 else None
            return [WriterTensor(name, (size,), "int32", QuantParams(scales, 0, axis), data)]
        return []


def out_size(size: int, kernel: int, stride: int, padding: Padding) -> int:
    return -(-size // stride) if padding == Padding.SAME else (size - kernel) // stride + 1


class ModelMaker:
    """Builds one model: an input, maybe a layer with weights, and the operator under test."""

    def __init__(self, seed: int) -> None:
        self.c = Chance(np.random.RandomState(seed))
        self.tensors: list[WriterTensor] = []
        self.ops: list[WriterOp] = []
        self.others: list[WriterGraph] = []

    def activation(self, name: str, shape: tuple[int, ...], quant: QuantParams) -> WriterTensor:
        self.tensors.append(WriterTensor(name, shape, "int8", quant))
        return self.tensors[-1]

    def image(self) -> tuple[int, ...]:
        return (1, self.c.number(1, 9), self.c.number(1, 9), self.c.number(1, 6))

    def finish(self) -> bytes:
        return write_model(
            self.tensors, self.ops, [self.tensors[0].name], [self.ops[-1].outputs[0]],
            others=self.others,
        )  # fmt: skip

    def window(self, x: tuple[int, ...]) -> dict[str, Any]:
        padding = self.c.pick(*Padding)
        limit = 6 if padding == Padding.SAME else 99
        kernel = [self.c.number(1, min(limit, max(size, 4))) for size in x[1:3]]
        if padding == Padding.VALID:
            kernel = [min(k, size) for k, size in zip(kernel, x[1:3], strict=True)]
        stride = self.c.number(1, 3), self.c.number(1, 3)
        return {"padding": padding, "kernel": kernel, "stride": stride}

    def spatial(self, x: tuple[int, ...], w: dict[str, Any]) -> tuple[int, int]:
        sizes = zip(x[1:3], w["kernel"], w["stride"], strict=True)
        h, width = (out_size(*size, w["padding"]) for size in sizes)
        return h, width

    def layer(
        self, kind: str, x: WriterTensor, name: str, channels: int | None = None
    ) -> WriterTensor:
        """A CONV_2D or DEPTHWISE_CONV_2D with random options, or with so many ``channels``."""
        window, in_ch = self.window(x.shape), x.shape[3]
        h, w = self.spatial(x.shape, window)
        is_conv = kind == "CONV_2D"
        multiplier = self.c.number(1, 3)
        out_ch = self.c.number(1, 7) if is_conv else in_ch * multiplier
        if channels is not None:
            out_ch, multiplier = channels, channels // in_ch
        shape = (out_ch, *window["kernel"], in_ch) if is_conv else (1, *window["kernel"], out_ch)
        weights = self.c.weights(f"{name}_w", shape, 0 if is_conv else 3)
        assert x.quant is not None
        bias = self.c.bias(f"{name}_b", x.quant, weights, out_ch)
        self.tensors += [weights, *bias]
        common = {
            "padding": window["padding"],
            "stride_h": window["stride"][0],
            "stride_w": window["stride"][1],
            "fused_activation_function": self.c.pick(*ACTIVATIONS),
        }
        options = Conv2DOptions(**common)
        if not is_conv:
            options = DepthwiseConv2DOptions(**common, depth_multiplier=multiplier)
        # tflite-micro's depthwise kernel asks for two inputs where a bias is absent, not for a -1.
        absent = (None,) if is_conv else ()
        inputs = (x.name, weights.name, *((bias[0].name,) if bias else absent))
        self.ops.append(WriterOp(kind, inputs, (name,), options))
        return self.activation(name, (1, h, w, out_ch), self.c.quant())

    def dense(self, x: WriterTensor, name: str) -> WriterTensor:
        return self.dense_of(x, name, self.c.number(1, 9))

    def dense_of(self, x: WriterTensor, name: str, out_ch: int) -> WriterTensor:
        """A FULLY_CONNECTED with so many outputs."""
        size = int(np.prod(x.shape[1:]))
        weights = self.c.weights(f"{name}_w", (out_ch, size), 0)
        assert x.quant is not None
        bias = self.c.bias(f"{name}_b", x.quant, weights, out_ch)
        self.tensors += [weights, *bias]
        options = FullyConnectedOptions(self.c.pick(*ACTIVATIONS))
        inputs = (x.name, weights.name, *(b.name for b in bias))
        self.ops.append(WriterOp("FULLY_CONNECTED", inputs, (name,), options))
        return self.activation(name, (1, out_ch), self.c.quant())

    def average(self, x: WriterTensor) -> None:
        window = self.window(x.shape)
        h, w = self.spatial(x.shape, window)
        options = Pool2DOptions(
            window["padding"], *window["stride"], *window["kernel"], self.c.pick(*ACTIVATIONS)
        )
        self.ops.append(WriterOp("AVERAGE_POOL_2D", (x.name,), ("y",), options))
        assert x.quant is not None
        self.activation("y", (1, h, w, x.shape[3]), x.quant)

    def add(self, x: WriterTensor) -> None:
        options = AddOptions(self.c.pick(*ACTIVATIONS))
        second = self.pointwise(x, "b", x.shape[3])
        self.ops.append(WriterOp("ADD", (x.name, second.name), ("y",), options))
        self.activation("y", x.shape, self.c.quant())

    def pointwise(self, x: WriterTensor, name: str, out_ch: int) -> WriterTensor:
        weights = self.c.weights(f"{name}_w", (out_ch, 1, 1, x.shape[3]), 0)
        self.tensors.append(weights)
        inputs = (x.name, weights.name, None)
        self.ops.append(WriterOp("CONV_2D", inputs, (name,), Conv2DOptions()))
        return self.activation(name, (*x.shape[:3], out_ch), self.c.quant())

# SPDX-License-Identifier: Apache-2.0
"""A model file in pieces, of which a test may spoil any."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mcutrain.trainer.graph.tensor import QuantParams
from mcutrain.trainer.making.options import Conv2DOptions, FullyConnectedOptions
from mcutrain.trainer.making.writer import WriterOp, WriterTensor, write_model

UNIT = QuantParams((0.125,), 3)


@dataclass
class Parts:
    """A model of a convolution and a fully connected layer, in pieces that a test may spoil."""

    tensors: dict[str, WriterTensor]
    ops: list[WriterOp]
    inputs: list[str] = field(default_factory=lambda: ["x"])
    outputs: list[str] = field(default_factory=lambda: ["y"])

    def change(self, name: str, **fields: Any) -> None:
        self.tensors[name] = replace(self.tensors[name], **fields)

    def quantise(self, name: str, scales: tuple[float, ...], zero: int = 0,
                 axis: int | None = None) -> None:  # fmt: skip
        self.change(name, quant=QuantParams(scales, zero, axis))

    def op(self, index: int, **fields: Any) -> None:
        self.ops[index] = replace(self.ops[index], **fields)

    def write(self) -> bytes:
        return write_model(list(self.tensors.values()), self.ops, self.inputs, self.outputs)


def parts() -> Parts:
    rng = np.random.RandomState(0)
    whole = {"dtype": "int8", "quant": UNIT}

    def weights(name: str, *shape: int) -> WriterTensor:
        data = rng.randint(-127, 128, shape).astype(np.int8)
        return WriterTensor(name, shape, "int8", QuantParams((0.01,) * shape[0], 0, 0), data)

    def bias(name: str, size: int) -> WriterTensor:
        return WriterTensor(name, (size,), "int32", None, np.arange(size, dtype=np.int32))

    tensors = [
        WriterTensor("x", (1, 4, 4, 2), **whole),
        weights("w", 3, 3, 3, 2),
        bias("b", 3),
        WriterTensor("a", (1, 4, 4, 3), **whole),
        weights("v", 5, 48),
        bias("c", 5),
        WriterTensor("y", (1, 5), **whole),
    ]
    ops = [
        WriterOp("CONV_2D", ("x", "w", "b"), ("a",), Conv2DOptions()),
        WriterOp("FULLY_CONNECTED", ("a", "v", "c"), ("y",), FullyConnectedOptions()),
    ]
    return Parts({t.name: t for t in tensors}, ops)


def spoilt(kind: str, quant: QuantParams = UNIT, options: Any = None) -> Parts:
    """A convolution, and ``kind`` of its output: the one that is under test."""
    p = parts()
    p.op(1, kind=kind, inputs=("a",), options=options)
    p.change("y", shape=(1, 4, 4, 3), quant=quant)
    return p

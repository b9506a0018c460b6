# SPDX-License-Identifier: Apache-2.0
"""Random networks whose channels hang together in many ways, and random choices of what stays."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mcutrain.trainer.graph.tensor import Tensor
from mcutrain.trainer.making.options import (
    AddOptions,
    ConcatenationOptions,
    Conv2DOptions,
    MulOptions,
    PackOptions,
    Padding,
    PadOptions,
    Pool2DOptions,
    ReducerOptions,
    ReshapeOptions,
    SliceOptions,
    SplitOptions,
    TransposeOptions,
)
from mcutrain.trainer.making.writer import WriterOp, WriterTensor, constant
from mcutrain.trainer.model import Model, forward
from mcutrain.trainer.shrinking.groups import Groups
from mcutrain.trainer.tflite.reader import parse
from tests.support.micro import Micro
from tests.support.model_maker import ModelMaker
from tests.support.random_models import samples

Grow = Callable[["Cuttable", WriterTensor, str], WriterTensor]


class Cuttable(ModelMaker):
    """Grows a network of images; what was grown before may be read again."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.images: list[WriterTensor] = []

    def same(self, kind: str, inputs: tuple[str, ...], name: str, x: WriterTensor,
             options: object = None, shape: tuple[int, ...] | None = None,
             keeps_scale: bool = True) -> WriterTensor:  # fmt: skip
        assert x.quant is not None
        self.ops.append(WriterOp(kind, inputs, (name,), options))
        quant = x.quant if keeps_scale else self.c.quant()
        return self.activation(name, x.shape if shape is None else shape, quant)

    def ints(self, name: str, *values: object) -> str:
        self.tensors.append(constant(name, np.array(values, np.int32)))
        return name

    def forget_dead_ends(self) -> None:
        """Leave out what does not lead to the output: what it reads could not be cut."""
        needed, kept = {"y"}, []
        for op in reversed(self.ops):
            if needed.intersection(op.outputs):
                needed.update(name for name in op.inputs if name)
                needed.update(op.outputs)
                kept.append(op)
        self.ops = kept[::-1]
        self.tensors = [t for t in self.tensors if t.name in needed]

    def other(self, x: WriterTensor, *, channels: bool) -> WriterTensor:
        """An image of x's height and width, and, if asked for, of its channels."""
        end = 4 if channels else 3
        return self.c.pick(*(t for t in self.images if t.shape[:end] == x.shape[:end]))


def conv(make: Cuttable, x: WriterTensor, name: str) -> WriterTensor:
    if x.shape[3] % 2 == 0 and make.c.pick(True, False, False):
        return grouped(make, x, name)
    return make.layer("CONV_2D", x, name)


def grouped(make: Cuttable, x: WriterTensor, name: str) -> WriterTensor:
    w = make.c.weights(f"{name}_w", (2 * make.c.number(1, 4), 1, 1, x.shape[3] // 2), 0)
    make.tensors.append(w)
    shape = (*x.shape[:3], w.shape[0])
    options = Conv2DOptions()
    return make.same("CONV_2D", (x.name, w.name, None), name, x, options, shape, False)  # type: ignore[arg-type]


def depthwise(make: Cuttable, x: WriterTensor, name: str) -> WriterTensor:
    return make.layer("DEPTHWISE_CONV_2D", x, name)


def add(make: Cuttable, x: WriterTensor, name: str) -> WriterTensor:
    kind = make.c.pick("ADD", "MUL", "MAXIMUM")
    other = make.other(x, channels=True)
    if kind == "MAXIMUM":
        if other.quant != x.quant or other is x:
            return conv(make, x, name)
        return make.same(kind, (x.name, other.name), name, x)
    options = AddOptions() if kind == "ADD" else MulOptions()
    return make.same(kind, (x.name, other.name), name, x, options, None, False)


def times_constant(make: Cuttable, x: WriterTensor, name: str) -> WriterTensor:
    shape = make.c.pick((x.shape[3],), (1, 1, 1, x.shape[3]), x.shape, (1,), (1, *x.shape[1:3], 1))
    data = make.c.rng.randint(-128, 128, shape).astype(np.int8)
    make.tensors.append(constant(f"{name}_c", data, make.c.quant()))
    inputs = make.c.pick((x.name, f"{name}_c"), (f"{name}_c", x.name))
    return make.same("MUL", inputs, name, x, MulOptions(), None, False)


def squeeze(make: Cuttable, x: WriterTensor, name: str) -> WriterTensor:
    """A gate made of the means of all channels, or one for all channels at each position."""
    if make.c.pick(True, False):
        gate = make.pointwise(x, f"{name}_g", 1)
        return make.same("MUL", (x.name, gate.name), name, x, MulOptions(), None, False)
    axes, channels = make.ints(f"{name}_axes", 1, 2), x.shape[3]
    mean = make.same("MEAN", (x.name, axes), f"{name}_m", x, ReducerOptions(True),
                     (1, 1, 1, channels), False)  # fmt: skip
    gate = make.pointwise(make.pointwise(mean, f"{name}_s", 3), f"{name}_g", channels)
    return make.same("MUL", (x.name, gate.name), name, x, MulOptions(), None, False)


def join(make: Cuttable, x: WriterTensor, name: str) -> WriterTensor:
    same = [t for t in make.images if t.shape[:3] == x.shape[:3] and t.quant == x.quant]
    other = make.c.pick(*same)
    if other.shape == x.shape and make.c.pick(True, False, False):
        shape, options = (1, *x.shape), PackOptions(2, 0)
        packed = make.same("PACK", (x.name, other.name), f"{name}_p", x, options, (2, *x.shape[0:]))
        first = make.ints(f"{name}_first", 0, 0, 0, 0, 0), make.ints(f"{name}_size", *shape)
        part = make.same("SLICE", (packed.name, *first), f"{name}_l", x, SliceOptions(), shape)
        told = make.ints(f"{name}_shape", *x.shape)
        return make.same("RESHAPE", (part.name, told), name, x, ReshapeOptions(x.shape))
    wide = (*x.shape[:3], x.shape[3] + other.shape[3])
    return make.same("CONCATENATION", (x.name, other.name), name, x, ConcatenationOptions(3), wide)


def part(make: Cuttable, x: WriterTensor, name: str) -> WriterTensor:
    """Some of the channels, or one of equal parts of them."""
    channels = x.shape[3]
    if channels % 2 == 0 and make.c.pick(True, False):
        axis, half = make.ints(f"{name}_axis", 3), (*x.shape[:3], channels // 2)
        make.ops.append(WriterOp("SPLIT", (axis, x.name), (f"{name}_0", name), SplitOptions(2)))
        assert x.quant is not None
        make.activation(f"{name}_0", half, x.quant)
        return make.activation(name, half, x.quant)
    first = make.c.number(0, channels - 1)
    count = make.c.number(1, channels - first)
    begin, size = (0, 0, 0, first), (1, -1, x.shape[2], count)
    told = make.ints(f"{name}_first", *begin), make.ints(f"{name}_size", *size)
    shape = (*x.shape[:3], count)
    return make.same("SLICE", (x.name, *told), name, x, SliceOptions(), shape)


def pad(make: Cuttable, x: WriterTensor, name: str) -> WriterTensor:
    widths = [(0, 0), (1, 0), (0, 1), make.c.pick((0, 0), (0, 0), (1, 1))]
    shape = tuple(n + sum(w) for n, w in zip(x.shape, widths, strict=True))
    return make.same("PAD", (x.name, make.ints(f"{name}_n", *widths)), name, x, PadOptions(), shape)


def pool(make: Cuttable, x: WriterTensor, name: str) -> WriterTensor:
    kind = make.c.pick("AVERAGE_POOL_2D", "MAX_POOL_2D")
    return make.same(kind, (x.name,), name, x, Pool2DOptions(Padding.SAME, 1, 1, 2, 2))


def turned(make: Cuttable, x: WriterTensor, name: str) -> WriterTensor:
    """Height and width change places, or the channels go to the front and come back."""
    order = make.c.pick((0, 2, 1, 3), (0, 3, 1, 2))
    shape = tuple(x.shape[k] for k in order)
    told = make.ints(f"{name}_order", *order)
    if order[3] == 3:
        return make.same("TRANSPOSE", (x.name, told), name, x, TransposeOptions(), shape)
    front = make.same("TRANSPOSE", (x.name, told), f"{name}_t", x, TransposeOptions(), shape)
    soft = make.same("RELU", (front.name,), f"{name}_r", front)
    back = make.ints(f"{name}_back", 0, 2, 3, 1)
    return make.same("TRANSPOSE", (soft.name, back), name, x, TransposeOptions())


def slopes(make: Cuttable, x: WriterTensor, name: str) -> WriterTensor:
    shape = make.c.pick((1, 1, x.shape[3]), x.shape[1:], (1, 1, 1))
    data = make.c.rng.randint(-128, 128, shape).astype(np.int8)
    make.tensors.append(constant(f"{name}_a", data, make.c.quant()))
    return make.same("PRELU", (x.name, f"{name}_a"), name, x, None, None, False)


def table(make: Cuttable, x: WriterTensor, name: str) -> WriterTensor:
    return make.same("RELU", (x.name,), name, x)


GROWN: tuple[Grow, ...] = (
    conv, conv, conv, depthwise, add, add, times_constant, squeeze, join, join, part, pad, pool,
    turned, slopes, table,
)  # fmt: skip


def cuttable_model(seed: int) -> bytes:
    """A model of 3 to 9 operators behind an image, a hidden dense layer or none, and a head."""
    make = Cuttable(seed)
    shape = (1, make.c.number(2, 6), make.c.number(2, 6), make.c.pick(1, 2, 3))
    x = make.activation("x", shape, make.c.quant())
    x = make.layer("CONV_2D", x, "stem", make.c.number(2, 8))
    make.images.append(x)
    for k in range(make.c.number(3, 9)):
        source = make.c.pick(x, make.c.pick(*make.images))
        x = make.c.pick(*GROWN)(make, source, f"t{k}")
        make.images.append(x)
    x = make.pointwise(x, "last", make.c.number(2, 9))
    if make.c.pick(True, False):
        size = int(np.prod(x.shape))
        told = make.ints("flat", 1, make.c.pick(size, -1))
        x = make.same("RESHAPE", (x.name, told), "flat_out", x, ReshapeOptions((1, -1)), (1, size))
    if make.c.pick(True, False):
        x = make.dense_of(x, "hidden", make.c.number(2, 9))
    make.dense_of(x, "y", 3)
    make.forget_dead_ends()
    return make.finish()


def some_kept(groups: Groups, seed: int) -> dict[str, tuple[int, ...]]:
    """A random choice, of some of the groups."""
    rng = np.random.RandomState(seed)
    kept = {}
    for group in groups.groups:
        if rng.randint(4):
            count = rng.randint(1, group.units + 1)
            kept[group.name] = tuple(sorted(rng.permutation(group.units)[:count].tolist()))
    return kept


def assert_micro_computes(data: bytes, model: Model, count: int = 2) -> None:
    """Every activation of a file in tflite-micro has the bits of ``model`` in the reference."""
    micro = Micro(data)
    for sample in samples(model.input.type.shape, count, 3):
        micro.run(sample)
        values = forward(model, sample)
        for node in model.graph.nodes:
            for tensor in node.outputs:
                if tensor.file_index >= 0:
                    found = micro.tensor(tensor.file_index)
                    np.testing.assert_array_equal(found.ravel(), values[tensor].ravel(), node.name)


def constant_channels(model: Model) -> dict[Tensor, np.ndarray]:
    """(C,) bool for each activation: which channels are one value, at all positions and for all of
    some samples."""
    runs = [forward(model, x) for x in samples(model.input.type.shape, 3, 5)]
    rows = {
        t: np.concatenate([run[t].reshape(-1, t.type.shape[-1]) for run in runs])
        for t in runs[0]
        if t.data is None
    }
    return {t: (each == each[0]).all(axis=0) for t, each in rows.items()}


def read(data: bytes) -> Model:
    return parse(data, "cuttable")

# SPDX-License-Identifier: Apache-2.0
"""Random models around what attention and embeddings are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from mcutrain.trainer.graph.tensor import QuantParams
from mcutrain.trainer.making.options import (
    BatchMatMulOptions,
    FullyConnectedOptions,
    L2NormOptions,
    LogSoftmaxOptions,
    ReducerOptions,
    SoftmaxOptions,
)
from mcutrain.trainer.making.writer import WriterOp, WriterTensor, constant
from tests.support.model_maker import ACTIVATIONS, ModelMaker
from tests.support.random_structural import append, features, integers, random_shape

UNIT, SHARES = QuantParams((1 / 128,), 0), QuantParams((1 / 256,), -128)
LOGARITHMS = QuantParams((16 / 256,), 127)


def matrix(
    make: ModelMaker, name: str, shape: tuple[int, ...], x: WriterTensor, is_constant: bool
) -> str:
    """An activation made of ``x``, or a constant, of this shape."""
    if not is_constant:
        values = make.dense_of(x, f"{name}_d", int(np.prod(shape)))
        assert values.quant is not None
        to = integers(make, f"{name}_s", *shape)
        make.ops.append(WriterOp("RESHAPE", (values.name, to), (name,)))
        make.activation(name, shape, values.quant)
    else:
        data = np.asarray(make.c.rng.randint(-128, 128, shape), np.int8)
        make.tensors.append(constant(name, data, make.c.quant()))
    return name


def batch_matmul(make: ModelMaker) -> None:
    rows, depth, cols = (make.c.number(1, 7) for _ in range(3))
    batch = tuple(make.c.number(1, 3) for _ in range(make.c.number(0, 2)))
    adj = make.c.pick(True, False), make.c.pick(True, False)
    repeated = tuple(make.c.pick(n, n, 1) for n in batch)[make.c.number(0, len(batch)) :]
    shapes = [
        (depth, rows) if adj[0] else (rows, depth),
        (cols, depth) if adj[1] else (depth, cols),
    ]
    first = make.c.pick(True, False)
    leads = (batch, repeated) if first else (repeated, batch)
    x = make.activation("x", make.image(), make.c.quant())
    a, b = (lead + shape for lead, shape in zip(leads, shapes, strict=True))
    fixed = make.c.pick("", "", "a", "b")
    names = matrix(make, "a", a, x, fixed == "a"), matrix(make, "b", b, x, fixed == "b")
    append(make, "BATCH_MATMUL", names, BatchMatMulOptions(*adj), (*batch, rows, cols),
           make.c.quant())  # fmt: skip


def product_of_rows(make: ModelMaker) -> None:
    """A FULLY_CONNECTED whose weights are an activation."""
    depth, cols, lead = make.c.number(1, 7), make.c.number(1, 5), (1, make.c.number(1, 5))
    x = make.activation("x", make.image(), make.c.quant())
    a = make.dense_of(x, "d", lead[1] * depth)
    b = make.dense_of(x, "e", cols * depth)
    for name, old, shape in (("a", a, (*lead, depth)), ("b", b, (cols, depth))):
        assert old.quant is not None
        to = integers(make, f"{name}_s", *shape)
        make.ops.append(WriterOp("RESHAPE", (old.name, to), (name,)))
        make.activation(name, shape, old.quant)
    keeps = make.c.pick(True, False)
    options = FullyConnectedOptions(make.c.pick(*ACTIVATIONS), keeps)
    shape = (*lead, cols) if keeps else (lead[1], cols)
    append(make, "FULLY_CONNECTED", ("a", "b"), options, shape, make.c.quant())


def rows_of(make: ModelMaker, reach: tuple[float, float]) -> WriterTensor:
    """Rows of values, of a scale within ``reach``."""
    a = features(make, *random_shape(make, 2, 4))
    quant = QuantParams((make.c.scale(*reach),), make.c.zero_point())
    at = make.tensors.index(a)
    make.tensors[at] = replace(a, quant=quant)
    if make.ops[-1].kind == "RESHAPE":
        before = next(k for k, t in enumerate(make.tensors) if t.name == make.ops[-1].inputs[0])
        make.tensors[before] = replace(make.tensors[before], quant=quant)
    return make.tensors[at]


def softmax_inside(make: ModelMaker) -> None:
    """SOFTMAX with a layer behind it, so that it is not left out."""
    a = rows_of(make, (0.002, 0.3))
    options = SoftmaxOptions(make.c.pick(1.0, 1.0, 0.5))
    make.ops.append(WriterOp("SOFTMAX", ("a",), ("p",), options))
    make.dense_of(make.activation("p", a.shape, SHARES), "y", 3)


def log_softmax(make: ModelMaker) -> None:
    a = rows_of(make, make.c.pick((0.002, 0.3), (0.002, 0.3), (1e-5, 5.0)))
    append(make, "LOG_SOFTMAX", ("a",), LogSoftmaxOptions(), a.shape, LOGARITHMS)


def l2_normalization(make: ModelMaker) -> None:
    a = rows_of(make, make.c.pick((0.002, 0.3), (1e-5, 5.0)))
    append(make, "L2_NORMALIZATION", ("a",), L2NormOptions(), a.shape, UNIT)


def reduction(kind: str) -> Callable[[ModelMaker], None]:
    def make_model(make: ModelMaker) -> None:
        a = features(make, *random_shape(make, 2, 4))
        rank = len(a.shape)
        first = make.c.number(1, rank - 1)
        axes = list(range(first, make.c.number(first, rank - 1) + 1))
        keep = make.c.pick(True, False)
        if make.c.pick(True, False) and (keep or len(axes) < rank - 1):
            axes.append(0)  # of size 1: it need be no neighbour
        shape = tuple(1 if k in axes else n for k, n in enumerate(a.shape) if keep or k not in axes)
        make.c.rng.shuffle(axes)
        signed = [make.c.pick(axis, axis - rank) for axis in axes]
        assert a.quant is not None
        far = QuantParams((make.c.scale(1e-4, 10.0),), make.c.zero_point())
        quant = a.quant if kind == "REDUCE_MAX" else make.c.pick(a.quant, make.c.quant(), far)
        append(make, kind, ("a", integers(make, "axes", *signed)), ReducerOptions(keep),
               shape, quant)  # fmt: skip

    return make_model


# As MAKERS of random_models, which holds these too.
ATTENTION: dict[str, tuple[Callable[[ModelMaker], None], int]] = {
    "BATCH_MATMUL": (batch_matmul, 40),
    "FULLY_CONNECTED, of activations": (product_of_rows, 15),
    "SOFTMAX, inside": (softmax_inside, 15),
    "LOG_SOFTMAX": (log_softmax, 20),
    "L2_NORMALIZATION": (l2_normalization, 25),
    "REDUCE_MAX": (reduction("REDUCE_MAX"), 20),
    "SUM": (reduction("SUM"), 20),
    "MEAN, any axes of size 1": (reduction("MEAN"), 20),
}

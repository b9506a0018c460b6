# SPDX-License-Identifier: Apache-2.0
"""What the importer reads and refuses of products of activations, scores, reductions, lengths."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mcutrain.trainer.errors import ModelError, UnsupportedOpError
from mcutrain.trainer.export import export_model
from mcutrain.trainer.graph.tensor import QuantParams
from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.making.options import (
    Activation,
    BatchMatMulOptions,
    FullyConnectedOptions,
    L2NormOptions,
    ReducerOptions,
    ReshapeOptions,
    SoftmaxOptions,
)
from mcutrain.trainer.making.writer import WriterOp, WriterTensor, constant
from mcutrain.trainer.ops.batch_matmul import BatchMatMul
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import parse
from tests.support.file_parts import Parts, parts

UNIT = QuantParams((0.125,), 3)
SHARES = QuantParams((1 / 256,), -128)
LOGARITHMS = QuantParams((1 / 16,), 127)
LENGTHS = QuantParams((1 / 128,), 0)


def behind(*ops: WriterOp, tensors: tuple[WriterTensor, ...]) -> Parts:
    """Operators behind the fully connected layer, whose output is ``y`` (1, 5)."""
    p = parts()
    p.ops += ops
    p.tensors |= {t.name: t for t in tensors}
    p.outputs = [p.ops[-1].outputs[0]]
    return p


def int8(name: str, *shape: int, quant: QuantParams = UNIT) -> WriterTensor:
    return WriterTensor(name, shape, "int8", quant)


def float32(name: str, *shape: int) -> WriterTensor:
    return WriterTensor(name, shape, "float32", None)


def whole(name: str, *values: int) -> WriterTensor:
    return constant(name, np.array(values, np.int32))


def scores(kind: str) -> Parts:
    """In float32, behind a DEQUANTIZE."""
    ops = WriterOp("DEQUANTIZE", ("y",), ("f",)), WriterOp(kind, ("f",), ("p",))
    return behind(*ops, tensors=(float32("f", 1, 5), float32("p", 1, 5)))


@pytest.mark.parametrize("kind", ["SOFTMAX", "LOG_SOFTMAX"])
def test_scores_in_float32_at_the_end_are_left_out(kind: str) -> None:
    model = parse(scores(kind).write(), "scores")

    assert [node.op.tflite_name for node in model.graph.nodes] == ["CONV_2D", "FULLY_CONNECTED"]
    assert model.logits is model.output is model.graph.nodes[-1].output


@pytest.mark.parametrize("kind", ["SOFTMAX", "LOG_SOFTMAX"])
def test_a_model_with_such_scores_is_exported_with_another_head(kind: str) -> None:
    original = scores(kind).write()
    plan = make_plan(parse(original, "scores"), PlanOptions("head", classes=3))
    interpreter = Interpreter(plan)
    interpreter.step(np.zeros(plan.task.input.type.shape, np.int8), 1)
    exported = parse(export_model(original, plan, interpreter.state), "again")

    assert exported.classes == 3
    (learned,) = (t for t in plan.learned if t.name.endswith("_w"))
    np.testing.assert_array_equal(exported.weighted[-1].inputs[1].data, interpreter.state[learned])


def test_scores_are_left_out_behind_which_bytes_are_renamed() -> None:
    ops = (WriterOp("SOFTMAX", ("y",), ("p",), SoftmaxOptions(1.0)),
           WriterOp("RESHAPE", ("p", "s"), ("q",), ReshapeOptions((1, 1, 5))))  # fmt: skip
    made = (int8("p", 1, 5, quant=SHARES), whole("s", 1, 1, 5), int8("q", 1, 1, 5, quant=SHARES))
    model = parse(behind(*ops, tensors=made).write(), "scores")

    assert model.logits is model.weighted[-1].output
    assert model.output.type.shape == (1, 1, 5)


def test_a_softmax_with_a_layer_behind_it_stays() -> None:
    p = parts()
    p.ops.insert(1, WriterOp("SOFTMAX", ("a",), ("p",), SoftmaxOptions(1.0)))
    p.tensors["p"] = int8("p", 1, 4, 4, 3, quant=SHARES)
    p.op(2, inputs=("p", "v", "c"))
    model = parse(p.write(), "inside")
    plan = make_plan(model, PlanOptions("full"))

    assert [node.op.tflite_name for node in plan.forward][1] == "SOFTMAX"
    assert model.logits is model.weighted[-1].output


def product(kind: str = "BATCH_MATMUL", second: str = "a2", shape: tuple[int, ...] = (1, 4, 4, 4),
            **fields: Any) -> Parts:  # fmt: skip
    """a (1, 4, 4, 3) times itself, turned."""
    p = behind(
        WriterOp(
            kind, ("a", second), ("m",), fields.pop("options", BatchMatMulOptions(False, True))
        ),
        tensors=(int8("m", *shape),),
    )
    p.tensors["a2"] = constant("a2", np.ones((4, 3), np.int8), UNIT)
    p.ops[1], p.ops[2] = p.ops[2], p.ops[1]
    p.op(2, inputs=("m", "v", "c"))
    p.change("v", shape=(5, 64), data=np.ones((5, 64), np.int8))
    p.outputs = ["y"]
    return p


def test_a_product_with_a_constant_is_read() -> None:
    model = parse(product().write(), "product")

    assert isinstance(model.graph.nodes[1].op, BatchMatMul)
    assert make_plan(model, PlanOptions("full")).learned


def of_activations(**fields: Any) -> Parts:
    """A fully connected layer whose weights are the output of another: y (1, 5) times y."""
    inputs = fields.pop("inputs", ("y", "y"))
    op = WriterOp("FULLY_CONNECTED", inputs, ("m",), FullyConnectedOptions(**fields))
    return behind(op, tensors=(int8("m", 1, 1),))


def test_a_fully_connected_layer_of_activations_is_a_product() -> None:
    model = parse(of_activations().write(), "product")
    (op,) = (n.op for n in model.graph.nodes if isinstance(n.op, BatchMatMul))

    assert op.of_rows and op.adj_y
    assert len(model.weighted) == 2


def reduced(kind: str, axes: tuple[int, ...], *shape: int, keep: bool = False) -> Parts:
    """Of a (1, 4, 4, 3), before the fully connected layer."""
    p = behind(
        WriterOp(kind, ("a", "axes"), ("m",), ReducerOptions(keep)),
        tensors=(whole("axes", *axes), int8("m", *shape)),
    )
    p.ops[1], p.ops[2] = p.ops[2], p.ops[1]
    size = int(np.prod(shape))
    p.op(2, inputs=("m", "v", "c"))
    p.change("v", shape=(5, size), data=np.ones((5, size), np.int8))
    p.outputs = ["y"]
    return p


@pytest.mark.parametrize("kind", ["MEAN", "SUM", "REDUCE_MAX"])
def test_axes_of_size_1_go_or_stay_wherever_they_are(kind: str) -> None:
    model = parse(reduced(kind, (0, 1, -2), 3).write(), "reduced")

    assert model.graph.nodes[1].output.type.shape == (3,)
    assert make_plan(model, PlanOptions("full")).learned


REFUSED: dict[str, tuple[type[ModelError], str, Callable[[], Parts]]] = {
    "a product of matrices that do not fit": (
        ModelError, r"operator 1 .*\(1, 4, 4, 3\) and \(4, 3\) do not fit: 3 and 4 to sum",
        lambda: product(options=BatchMatMulOptions())),
    "a product of another shape": (
        ModelError, r"operator 1 .*is not \(1, 4, 4, 5\)",
        lambda: product(shape=(1, 4, 4, 5))),
    "a product with a vector": (
        ModelError, r"operator 1 .*matrices are needed",
        lambda: product(second="c2")),
    "weights that are an activation, and a bias": (
        UnsupportedOpError, r"operator 2 .*weights that are an activation, and a bias",
        lambda: of_activations(inputs=("y", "y", "c"))),
    "axes beyond the rank": (
        ModelError, r"operator 1 .*REDUCE_MAX.*axes \[1, 4\] of \(1, 4, 4, 3\)",
        lambda: reduced("REDUCE_MAX", (1, 4), 1, 3)),
    "axes that are no neighbours": (
        UnsupportedOpError, r"operator 1 .*a maximum over the axes \[1, 3\]",
        lambda: reduced("REDUCE_MAX", (1, 3), 1, 4)),
    "no axes": (
        UnsupportedOpError, r"operator 1 .*a sum over the axes \[\]",
        lambda: reduced("SUM", (), 1, 4, 4, 3)),
    "a maximum of another scale": (
        ModelError, r"operator 1 .*but computes int8 \(1, 3\), scale 0\.125",
        lambda: (p := reduced("REDUCE_MAX", (1, 2), 1, 3), p.quantise("m", (0.5,), 3))[0]),
    "a length with a fused activation": (
        UnsupportedOpError, r"operator 2 .*L2_NORMALIZATION.*fused activation",
        lambda: behind(WriterOp("L2_NORMALIZATION", ("y",), ("m",), L2NormOptions(Activation.RELU)),
                       tensors=(int8("m", 1, 5, quant=LENGTHS),))),
    "a length of another scale": (
        ModelError, r"operator 2 .*but computes int8 \(1, 5\), scale 0\.0078125",
        lambda: behind(WriterOp("L2_NORMALIZATION", ("y",), ("m",), L2NormOptions()),
                       tensors=(int8("m", 1, 5),))),
    "logarithms inside": (
        UnsupportedOpError, r"operator 2 .*LOG_SOFTMAX.* not at the end",
        lambda: behind(WriterOp("LOG_SOFTMAX", ("y",), ("m",)), WriterOp("RELU", ("m",), ("z",)),
                       tensors=(int8("m", 1, 5, quant=LOGARITHMS),
                                int8("z", 1, 5, quant=LOGARITHMS)))),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_named(name: str) -> None:
    kind, message, make = REFUSED[name]
    p = make()
    p.tensors.setdefault("c2", constant("c2", np.ones(3, np.int8), UNIT))
    with pytest.raises(kind, match=message) as caught:
        parse(p.write(), "refused")

    assert "\n" not in str(caught.value)

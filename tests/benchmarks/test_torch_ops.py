# SPDX-License-Identifier: Apache-2.0
"""The operators of the yardsticks in PyTorch: the bits of the reference, and what they mean."""

from __future__ import annotations

import numpy as np
import pytest

from mcutrain.trainer.fixedpoint import requantize
from mcutrain.trainer.graph.graph import Graph
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.graph.tensor import Array, DType, QuantParams, Role, Tensor, TensorType
from mcutrain.trainer.ops.fully_connected import FullyConnected
from mcutrain.trainer.ops.max_pool2d import MaxPool2D
from mcutrain.trainer.ops.weighted import Weighted
from tests.support.bench import draw_inputs, node_of
from tests.support.float_ops import MEANINGS, meaning, real_inputs, whole
from tests.support.op_cases import CASES, Case

pytest.importorskip("torch", reason="no PyTorch: pip install torch")

import torch

from benchmarks.torch_ops import Plain, Rescale, TorchLayer, plain

pytestmark = pytest.mark.usefixtures("one_thread")


def supported(case: Case) -> tuple[Node, TorchLayer | Plain] | None:
    """The row's node and what runs it; None if it is not a forward operator that is known."""
    node = node_of(Graph(), case)
    first_axes = {node.inputs[0].type.shape[0], node.output.type.shape[0]}
    if type(case.op) not in MEANINGS or first_axes != {1}:
        return None
    try:
        return node, TorchLayer(node) if isinstance(case.op, Weighted) else plain(node)
    except NotImplementedError:
        return None


OPERATORS = {case.name: found for case in CASES if (found := supported(case))}


def test_rows_of_every_operator_of_the_benchmarks_are_tried() -> None:
    kinds = {type(node.op).__name__ for node, _ in OPERATORS.values()}

    assert kinds >= {
        "Conv2D", "DepthwiseConv2D", "FullyConnected", "Add", "AveragePool2D", "MaxPool2D",
        "Mean", "Reshape", "Pad", "Relu", "Relu6", "Quantize", "Concatenation",
    }  # fmt: skip


def operands(node: Node, inputs: list[Array]) -> list[torch.Tensor | None]:
    """What the operator takes: quanta less the zero point, or whole weights and biases."""
    pairs = zip(node.inputs, inputs, strict=True)
    quanta = [v.astype(np.float32) - t.type.zero_point for t, v in pairs]
    if not isinstance(node.op, Weighted):
        return [torch.from_numpy(q) for q in quanta]
    w = node.op.whole_weights(node.inputs[0].type, inputs[1], inputs[-1])
    b = torch.from_numpy(inputs[2].astype(np.float64)) if node.op.has_bias else None
    return [torch.from_numpy(quanta[0]), torch.from_numpy(w.astype(np.float32)), b]


@pytest.mark.parametrize("name", OPERATORS)
def test_an_operator_has_the_bits_of_the_reference(name: str) -> None:
    node, op = OPERATORS[name]
    case = next(case for case in CASES if case.name == name)
    for round_ in range(12):
        inputs = draw_inputs(case, round_, round_)
        before, out = op.int8(*operands(node, inputs))  # type: ignore[arg-type]

        (expected,) = node.op.reference(node, *inputs)
        found = out.numpy() + node.output.type.zero_point
        assert np.array_equal(found.reshape(expected.shape), expected), f"round {round_}"
        assert before is out  # no gradient, no work for it


@pytest.mark.parametrize("name", OPERATORS)
def test_an_operator_means_what_it_does_in_reals(name: str) -> None:
    """In float64, to the last bits: up to 1e5 sums of products lose 2**-53 of their terms each."""
    node, op = OPERATORS[name]
    case = next(case for case in CASES if case.name == name)
    for round_ in range(4):
        reals = real_inputs(node, tuple(draw_inputs(case, round_, round_)))
        parts = whole(node, reals) if isinstance(node.op, Weighted) else reals
        if isinstance(node.op, Weighted) and not node.op.has_bias:
            parts = [*parts[:2], None]
        arrays = (None if v is None else torch.from_numpy(np.array(v)) for v in parts)
        found = op.real(*arrays).numpy()  # type: ignore[arg-type]

        if name.startswith("relu"):  # the limits are the trainer's
            zero = node.output.type.scale * (node.op.limits()[0] - node.output.type.zero_point)
            found = np.clip(found, zero, 6 if name.startswith("relu6") else None)
        expected = meaning(node, reals)
        scale = np.abs(expected).max()
        assert np.abs(found.reshape(expected.shape) - expected).max() <= 1e-11 * scale


@pytest.mark.parametrize("shifts", [(-31, 31), (-12, -1), (-1, 2)])
def test_rescaling_is_requantisation(shifts: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    shift = rng.integers(*shifts, 300)
    multiplier = rng.integers(2**30, 2**31, 300)
    multiplier[:3] = 0, 2**30, 2**31 - 1
    rescale = Rescale(multiplier, shift)
    for bits in (1, 4, 12, 24, 31):
        x = rng.integers(-(2**bits), 2**bits, (300, 300))
        x[:5] = np.array([-(2**31), 2**31 - 1, 0, -1, 1])[:, None]
        expected = requantize(x, multiplier, shift)
        np.testing.assert_array_equal(rescale(torch.from_numpy(x)).numpy(), expected)


def test_sums_beyond_float32_are_exact() -> None:
    """Of 2000 products, 2**25 and more; the bias leaves 5 of them if each is exact."""
    rng = np.random.default_rng(4)
    x = rng.integers(-128, -100, (1, 2000)).astype(np.int8)
    w = rng.integers(90, 128, (16, 2000)).astype(np.int8)
    sums = (x.astype(np.int64) - 127) @ w.T.astype(np.int64)
    types = (
        TensorType(x.shape, DType.S8, QuantParams((1.0,), 127)),
        TensorType(w.shape, DType.S8, QuantParams((1.0,))),
        TensorType((16,), DType.S32),
    )
    graph = Graph()
    inputs = (Tensor(f"in{k}", type_, Role.INPUT) for k, type_ in enumerate(types))
    graph.add(FullyConnected(QuantParams((1.0,)), (1, 16)), *inputs, name="fc", index=0)
    (node,) = graph.nodes
    bias = (5 - sums[0]).astype(np.int32)
    _, out = TorchLayer(node).int8(*operands(node, [x, w, bias]))  # type: ignore[arg-type]

    assert np.abs(sums).min() > 2**24
    assert out.tolist() == [[5.0] * 16]


def test_an_error_goes_to_the_first_maximum() -> None:
    """As in SPEC 1.3: small values, so that there are ties."""
    rng = np.random.default_rng(3)
    for node, op in OPERATORS.values():
        if not isinstance(node.op, MaxPool2D):
            continue
        assert isinstance(op, Plain)
        x = rng.integers(0, 3, node.inputs[0].type.shape).astype(np.int8)
        error = rng.integers(-9, 10, node.output.type.shape)
        leaf = torch.from_numpy(x.astype(np.float32)).requires_grad_()
        op.real(leaf).backward(torch.from_numpy(error.astype(np.float32)))  # type: ignore
        routed = node.op.routed(node.op.geometry(node.inputs[0].type), error, x)

        assert leaf.grad is not None
        np.testing.assert_array_equal(leaf.grad.numpy().reshape(routed.shape), routed)


def test_an_unknown_operator_is_named() -> None:
    case = next(case for case in CASES if type(case.op).__name__ == "Logistic")

    with pytest.raises(NotImplementedError, match="Logistic"):
        plain(node_of(Graph(), case))

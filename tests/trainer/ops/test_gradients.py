# SPDX-License-Identifier: Apache-2.0
"""The gradient rules, through autodiff, against finite differences of the operators in reals.

The output's error G is given, so that the loss is sum(G * y). The operators are linear in
each of their inputs: a central difference of any width is their derivative.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from mcutrain.trainer.graph.graph import Graph
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.graph.tensor import Array, DType, QuantParams, Role, Tensor, TensorType
from mcutrain.trainer.ops.add import Add
from mcutrain.trainer.ops.conv2d import Conv2D
from mcutrain.trainer.ops.reshape import Reshape
from mcutrain.trainer.ops.sgd import FRACTION
from mcutrain.trainer.ops.softmax_cross_entropy import SoftmaxCrossEntropy
from mcutrain.trainer.ops.weighted import Weighted
from tests.support.bench import run_nodes
from tests.support.float_ops import bias_scales
from tests.support.gradient_net import RATE, SOUND, Net, input_tolerance, layer_net, through
from tests.support.op_cases.layers import CONV, DW, Layer
from tests.support.op_cases.pools import POOLS, Pool

# A rate's byte is good to 2**-8, its product with the learning rate's to 2**-7.
RATE_ERROR = 2.0**-8 + 2.0**-7 + 2.0**-15


@pytest.mark.rows
@pytest.mark.parametrize("layer", SOUND, ids=lambda layer: layer.name)
def test_input_error_is_the_derivative(layer: Layer) -> None:
    net, node = layer_net(layer)
    dx, unit = net.error_of("y_d_x")
    expected = through(node, net.reals(), net.x, net.g) * net.open

    assert (np.abs(dx - expected) <= input_tolerance(net, node, net.g, unit)).all()
    assert np.abs(expected).max() > 16 * unit or layer.name.endswith("1x1")  # the check is sharp


@pytest.mark.rows
@pytest.mark.parametrize("layer", SOUND, ids=lambda layer: layer.name)
def test_weight_update_descends_the_derivative(layer: Layer) -> None:
    """The new 256 w + frac is the old one less lr * dL/dw, in quanta of w / 256."""
    net, node = layer_net(layer)
    op = node.op
    assert isinstance(op, Weighted)
    _, _, w = op.split_inputs(node)
    frac = net.tape.companions.of(FRACTION)[w]
    assert w.type.quant is not None
    scales = np.array(w.type.quant.scales)
    if w.type.quant.axis == 0:
        scales = scales.reshape(-1, *[1] * (len(w.type.shape) - 1))
    dw = through(node, net.reals(), w, net.g)
    before = 256.0 * net.values[w]
    step = np.clip(RATE.real * dw / scales * 256, -(2**16), 2**16)
    expected = np.where(dw == 0, before, np.clip(before - step, -127 * 256, 127 * 256))
    found = 256.0 * net.after[w] + net.after[frac]
    untouched = np.abs(dw) < 1e-12 * np.abs(dw).max()

    # Stochastic rounding moves the step by less than 1.
    assert (np.abs(found - expected) <= RATE_ERROR * np.abs(step) + 1)[~untouched].all()
    assert (found == before)[untouched].all()
    assert np.abs(step).max() > 32  # the check is sharp


@pytest.mark.rows
@pytest.mark.parametrize("layer", [s for s in SOUND if s.bias_bits], ids=lambda layer: layer.name)
def test_bias_update_descends_the_derivative(layer: Layer) -> None:
    net, node = layer_net(layer)
    x, w, b = node.inputs[:3]
    scales = bias_scales(x.type, w.type, b.type.size)
    db = through(node, net.reals(), b, net.g)
    step = RATE.real * db / scales
    moved = net.values[b].astype(np.float64) - net.after[b]

    assert (np.abs(moved - step) <= RATE_ERROR * np.abs(step) + 1).all()


@pytest.mark.rows
@pytest.mark.parametrize("pool", POOLS, ids=lambda pool: pool.name)
def test_pooled_error_is_the_derivative(pool: Pool) -> None:
    case = next(pool.rows())
    net = Net(case.feeds[0].type, pool.x_limits, 0)
    y = net.add(case.op, net.x, name="y")
    net.differentiate(y)
    dx, unit = net.error_of("y_d_x")
    node = net.nodes[-1]
    expected = through(node, net.reals(), net.x, net.g) * net.open
    spread = through(node, net.reals(), net.x, np.ones(net.g.shape))

    # A share is 1 / count as 15 bits: off by 2**-16 at each of the windows of a position,
    # of which a count of at most that of a whole window makes at most so many times spread; REQ
    # rounds once. Powers of two are exact, and both bounds leave them that.
    windows = np.prod(pool.window) * spread
    share = windows * np.abs(net.g).max() * 2.0**-16
    exact = net.tape.histories == []

    assert (np.abs(dx - expected) <= (1e-12 if exact else share + unit)).all()


def test_an_add_passes_the_error_on_to_both() -> None:
    x = TensorType((1, 3, 2, 5), DType.S8, QuantParams((0.05,), -3))
    net = Net(x, (-100, 90), 0)
    source = net.leaf("q", x, Role.PARAM)
    (b,) = net.graph.add(Reshape((1, 3, 2, 5)), source, name="b", index=9)
    y = net.add(Add(QuantParams((0.11,), 5)), net.x, b, name="y")
    net.differentiate(y)

    np.testing.assert_array_equal(net.error_of("y_d_x")[0], net.g * net.open)
    np.testing.assert_array_equal(net.error_of("y_d_b")[0], net.g * (np.abs(net.after[b]) < 127))


def test_a_reshape_passes_the_error_on() -> None:
    net = Net(TensorType((1, 3, 2, 5), DType.S8, QuantParams((0.05,), -3)), (-100, 90), 0)
    y = net.add(Reshape((1, 30)), net.x, name="y")
    net.differentiate(y)

    np.testing.assert_array_equal(net.error_of("y_d_x")[0], net.g.reshape(1, 3, 2, 5) * net.open)


SQUARE = TensorType((1, 4, 3, 3), DType.S8, QuantParams((0.05,), -3))
WIDE = QuantParams((2.0,), 5)  # no sum saturates


def residual(net: Net) -> Iterator[Tensor]:
    """y = conv(x) + x."""
    yield net.add(Add(WIDE), square_layer(net, CONV, net.x, "a"), net.x, name="y")


def two_branches(net: Net) -> Iterator[Tensor]:
    """y = (conv(x) + depthwise(x)) + x: three readers."""
    a, b = square_layer(net, CONV, net.x, "a"), square_layer(net, DW, net.x, "b")
    yield net.add(Add(WIDE), net.add(Add(WIDE), a, b, name="s"), net.x, name="y")


def doubled(net: Net) -> Iterator[Tensor]:
    """y = x + x: one reader, twice."""
    yield net.add(Add(WIDE), net.x, net.x, name="y")


def square_layer(net: Net, kind: type[Conv2D], x: Tensor, name: str) -> Tensor:
    op = kind(WIDE, (1, 4, 3, 3), (1, 1), (1, 1), has_bias=False)
    shape = (3, 3, 3, 3) if kind is CONV else (1, 3, 3, 3)
    quant = QuantParams((0.01, 0.02, 0.013), 0, op.out_axis)
    w = net.leaf(f"{name}_w", TensorType(shape, DType.S8, quant), Role.PARAM)
    return net.add(op, x, w, name=name)


@pytest.mark.parametrize("build", [residual, two_branches, doubled])
def test_errors_accumulate_where_a_tensor_has_several_readers(
    build: Callable[[Net], Iterator[Tensor]],
) -> None:
    net = Net(SQUARE, (-110, 100), 3)
    (y,) = build(net)
    net.differentiate(y)
    dx, unit = net.error_of("x_d")
    reals = net.reals()
    inner = [node for node in net.nodes if isinstance(node.op, Weighted)]
    adds = [node for node in net.nodes if isinstance(node.op, Add)]
    for node in (*inner, *adds):
        assert (np.abs(net.after[node.output].astype(int)) < 127).all()  # no mask but x's
    passed = sum(node.inputs.count(net.x) for node in adds)
    expected = passed * net.g + sum(through(node, reals, net.x, net.g) for node in inner)
    tolerance = unit + sum(
        input_tolerance(net, node, net.g, edge_unit(net, node)) for node in inner
    )
    # near(E << 8, ..) is off by half of 2**(e - 8) per reader, and e by at most 4 more bits
    # than the sum's own exponent.
    tolerance = tolerance + (passed + len(inner)) * unit * 2.0**-4

    assert (np.abs(dx - expected * net.open) <= tolerance).all()
    assert passed + len(inner) >= 2
    assert np.abs(expected - net.g).max() > 10 * np.max(tolerance)  # one reader alone would fail


def edge_unit(net: Net, node: Node) -> float:
    return net.error_of(f"{node.name}_d_x")[1]


@pytest.mark.parametrize("classes", [2, 3, 10, 100])
def test_logits_error_is_the_derivative_of_cross_entropy(classes: int) -> None:
    rng = np.random.RandomState(classes)
    type_ = TensorType((1, classes), DType.S8, QuantParams((0.125,), 7))
    logits, label = (
        Tensor("l", type_, Role.INPUT),
        Tensor("y", TensorType((1,), DType.U32), Role.INPUT),
    )
    graph = Graph()
    graph.add(SoftmaxCrossEntropy(), logits, label, name="loss", index=0)
    for _ in range(20):
        q, y = rng.randint(-60, 61, (1, classes)).astype(np.int8), int(rng.randint(classes))
        values = run_nodes(graph.nodes, {logits: q, label: np.array([y], np.uint32)})
        error, exponent, _ = (values[t] for t in graph.nodes[0].outputs)

        def loss(real: Array, y: int = y) -> float:
            return float(np.log(np.exp(real).sum()) - real.ravel()[y])

        step, real = 1e-5, 0.125 * (q.astype(np.float64) - 7)
        nudges = step * np.eye(classes)[:, None]
        expected = [(loss(real + n) - loss(real - n)) / (2 * step) for n in nudges]
        # Each exponential is off by half of 2**-15, so p by (1 + classes / 2) of them at most;
        # 12 bits round that to 2**-12, or to 2**-11 where 2048 is clamped to 2047.
        tolerance = (1 + classes / 2) * 2.0**-15 + 2.0**-11

        assert np.abs(error.ravel() * 2.0 ** int(exponent[0]) - expected).max() <= tolerance

# SPDX-License-Identifier: Apache-2.0
"""The gradient rules, through autodiff, against finite differences of the operators in reals.

The output's error G is given, so that the loss is sum(G * y). The operators are linear in
each of their inputs: a central difference of any width is their derivative.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from mcutrain.trainer.autodiff import GraphTape, backward
from mcutrain.trainer.fixedpoint import scale_exponent
from mcutrain.trainer.graph.graph import Graph
from mcutrain.trainer.graph.op import ErrorTensor, Node, Op
from mcutrain.trainer.graph.tensor import Array, DType, QuantParams, Role, Tensor, TensorType
from mcutrain.trainer.ops.add import Add
from mcutrain.trainer.ops.error import E12, EXPONENT, ErrorFormat
from mcutrain.trainer.ops.gather_channels import GatherChannels
from mcutrain.trainer.ops.reshape import Reshape
from mcutrain.trainer.ops.sgd import FRACTION, LearningRate, sgd_state
from mcutrain.trainer.ops.softmax_cross_entropy import SoftmaxCrossEntropy
from mcutrain.trainer.ops.weighted import Weighted
from tests.support.bench import run_nodes
from tests.support.float_ops import bias_scales, meaning, real_inputs
from tests.support.op_cases.layers import CONV, DW, LAYERS, Layer
from tests.support.op_cases.pools import POOLS, Pool

RATE = LearningRate(181, 12)
GREATEST_ERROR = 300  # so small that no weight gradient saturates at 2**23
# A rate's byte is good to 2**-8, its product with the learning rate's to 2**-7.
RATE_ERROR = 2.0**-8 + 2.0**-7 + 2.0**-15
LOSS_EXPONENT = -14


class Net:
    """A graph whose input x is computed from something learned, and its gradients."""

    def __init__(self, x: TensorType, limits: tuple[int, int], seed: int) -> None:
        self.rng = np.random.RandomState(seed)
        self.graph = Graph()
        self.values: dict[Tensor, Array] = {}
        source = self.leaf("p", x, Role.PARAM)
        (self.x,) = self.graph.add(Reshape(x.shape), source, name="x", index=0)
        self.x.limits = limits

    def leaf(self, name: str, type_: TensorType, role: Role, reach: int = 127) -> Tensor:
        tensor = Tensor(name, type_, role)
        drawn = self.rng.randint(-reach, reach + 1, type_.shape)
        self.values[tensor] = drawn.astype(type_.dtype.np)
        return tensor

    def add(self, op: Op, *inputs: Tensor, name: str) -> Tensor:
        return self.graph.add(op, *inputs, name=name, index=len(self.graph.nodes))[0]

    def differentiate(self, y: Tensor, errors: ErrorFormat = E12) -> None:
        """Appends the gradients of ``y`` and runs them, until the histories settle."""
        self.nodes = list(self.graph.nodes)
        reach = min(GREATEST_ERROR, errors.greatest)
        error = self.leaf("g", TensorType(y.type.shape, errors.dtype), Role.INPUT, reach)
        exponent = Tensor("g_e", EXPONENT, Role.INPUT)
        self.values[exponent] = np.array([LOSS_EXPONENT], np.int16)
        sgd = sgd_state(RATE, seed=5)
        self.tape = GraphTape(self.graph, sgd)
        backward(self.tape, y, ErrorTensor(error, exponent))
        fixed = [sgd, *self.tape.histories, *self.tape.companions.of(FRACTION).values()]
        self.values |= {t: t.data for t in fixed if t.data is not None}
        self.after = run_nodes(self.graph.nodes, self.values)
        for _ in self.tape.histories:  # an error must be whole before what follows from it is
            self.values |= {h: self.after[h] for h in self.tape.histories}
            self.after = run_nodes(self.graph.nodes, self.values)
        self.g = self.values[error] * 2.0**LOSS_EXPONENT

    def error_of(self, name: str) -> tuple[Array, float]:
        """(the error in reals, its unit) of the error tensor ``name``."""
        by_name = {t.name: value for t, value in self.after.items()}
        unit = 2.0 ** int(by_name[f"{name}_e"][0])
        return by_name[name] * unit, unit

    @property
    def open(self) -> Array:
        x = self.after[self.x]
        return (x > self.x.limits[0]) & (x < self.x.limits[1])

    def reals(self) -> dict[Tensor, Array]:
        """Every forward tensor in reals: the point at which the nodes are differentiated."""
        found: dict[Tensor, Array] = {}
        for node in self.nodes:
            arrays = tuple(self.values.get(t, self.after[t]) for t in node.inputs)
            if not isinstance(node.op, GatherChannels):
                found |= dict(zip(node.inputs, real_inputs(node, arrays), strict=True))
        return found


def derivative(loss: Callable[[Array], float], at: Array) -> Array:
    """Central differences of a function that is linear in ``at``."""
    found = np.empty(at.shape)
    for index in np.ndindex(at.shape):
        nudge = np.zeros(at.shape)
        nudge[index] = 1.0
        found[index] = (loss(at + nudge) - loss(at - nudge)) / 2
    return found


def through(node: Node, reals: dict[Tensor, Array], tensor: Tensor, g: Array) -> Array:
    """The derivative of sum(g * node's output) by ``tensor``."""
    inputs = [reals.get(t, np.zeros(t.type.shape)) for t in node.inputs]
    position = node.inputs.index(tensor)

    def loss(value: Array) -> float:
        changed = [*inputs[:position], value, *inputs[position + 1 :]]
        return float((meaning(node, changed) * g).sum())

    return derivative(loss, inputs[position])


def layer_net(layer: Layer, seed: int = 0, errors: ErrorFormat = E12) -> tuple[Net, Node]:
    op = layer.op()
    forward = next(layer.rows())
    net = Net(forward.feeds[0].type, layer.x_limits, seed)
    w_type = forward.feeds[1].type
    whole = net.leaf("w", w_type, Role.CONST if layer.channels else Role.PARAM)
    b = [net.leaf("b", forward.feeds[2].type, Role.PARAM, 900)] if op.has_bias else []
    split = []
    if layer.channels is not None:
        columns = list(op.columns(net.x.type, w_type))
        net.values[whole][..., columns] = 0
        in_ch = op.geometry(net.x.type, w_type).in_ch
        x_l = net.add(GatherChannels(layer.channels, in_ch), net.x, name="x_l")
        split = [x_l, net.leaf("w_l", forward.feeds[-1].type, Role.PARAM)]
    y = net.add(op, net.x, whole, *b, *split, name="y")
    net.differentiate(y, errors)
    return net, net.nodes[-1]


def input_tolerance(net: Net, node: Node, g: Array, unit: float) -> Array:
    """Bound of |dx - derivative|, elementwise.

    The scale of a filter is folded into its error E as a byte: conv E' is off by at most
    0.5 + |E| / 512, in units of 2**(e + kf) after the weight; depthwise by |E w s| / 256 and,
    per output of the channel, 0.5 such units. REQ rounds half a unit of the result, or one
    where 2048 is clamped to 2047.
    """
    op = node.op
    assert isinstance(op, Weighted)
    x, w = node.inputs[0], node.inputs[1]
    assert w.type.quant is not None
    kf = scale_exponent(np.array(w.type.quant.scales))
    magnitudes = {
        t: np.abs(net.values[t]).astype(np.float64) for t in node.inputs[1:] if t in net.values
    }
    if op.by_channel:
        reals = {t: np.abs(v) for t, v in net.reals().items()}
        per_input = w.type.shape[3] // x.type.shape[3]
        fold = through(node, reals, x, np.abs(g)) / 256 + 0.5 * per_input * 2.0 ** (
            LOSS_EXPONENT + kf
        )
    else:
        off = 0.5 * 2.0**LOSS_EXPONENT + np.abs(g) / 512
        fold = through(node, magnitudes, x, off) * 2.0**kf
    return fold + unit


SOUND = [
    layer
    for layer in LAYERS
    if not layer.dead and np.prod(layer.x) <= 300 and np.prod(layer.w) <= 3000
]


@pytest.mark.parametrize("layer", SOUND, ids=lambda layer: layer.name)
def test_input_error_is_the_derivative(layer: Layer) -> None:
    net, node = layer_net(layer)
    dx, unit = net.error_of("y_d_x")
    expected = through(node, net.reals(), net.x, net.g) * net.open

    assert (np.abs(dx - expected) <= input_tolerance(net, node, net.g, unit)).all()
    assert np.abs(expected).max() > 16 * unit or layer.name.endswith("1x1")  # the check is sharp


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


@pytest.mark.parametrize("layer", [s for s in SOUND if s.bias_bits], ids=lambda layer: layer.name)
def test_bias_update_descends_the_derivative(layer: Layer) -> None:
    net, node = layer_net(layer)
    x, w, b = node.inputs[:3]
    scales = bias_scales(x.type, w.type, b.type.size)
    db = through(node, net.reals(), b, net.g)
    step = RATE.real * db / scales
    moved = net.values[b].astype(np.float64) - net.after[b]

    assert (np.abs(moved - step) <= RATE_ERROR * np.abs(step) + 1).all()


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
    # of which a count of at most 25 makes at most 25 * spread; REQ rounds once. Powers of
    # two are exact, and both bounds leave them that.
    windows = 25 * spread
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


def square_layer(net: Net, kind: type[Weighted], x: Tensor, name: str) -> Tensor:
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

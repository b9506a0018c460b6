# SPDX-License-Identifier: Apache-2.0
"""Graphs whose integer gradients are compared with finite differences."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mcutrain.trainer.autodiff import GraphTape, backward
from mcutrain.trainer.fixedpoint import scale_exponent
from mcutrain.trainer.graph.graph import Graph
from mcutrain.trainer.graph.op import ErrorTensor, Node, Op
from mcutrain.trainer.graph.tensor import Array, Role, Tensor, TensorType
from mcutrain.trainer.ops.depthwise_conv2d import DepthwiseConv2D
from mcutrain.trainer.ops.error import E12, EXPONENT, ErrorFormat
from mcutrain.trainer.ops.gather_channels import GatherChannels
from mcutrain.trainer.ops.reshape import Reshape
from mcutrain.trainer.ops.sgd import FRACTION, LearningRate, sgd_state
from mcutrain.trainer.ops.weighted import Weighted
from tests.support.bench import run_nodes
from tests.support.float_ops import meaning, real_inputs
from tests.support.op_cases.layers import LAYERS, Layer
from tests.support.op_cases.spaced import SPACED

RATE = LearningRate(181, 12)
GREATEST_ERROR = 300  # so small that no weight gradient saturates at 2**23
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
    if isinstance(op, DepthwiseConv2D):
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
    for layer in (*LAYERS, *(layer for layer in SPACED if np.prod(layer.x) <= 120))
    if not layer.dead and np.prod(layer.x) <= 300 and np.prod(layer.w) <= 3000
]

# SPDX-License-Identifier: Apache-2.0
"""Gradients of elementwise operators, through autodiff, against finite differences in reals."""

from __future__ import annotations

import numpy as np
import pytest

from mcutrain.trainer.errors import ModelError
from mcutrain.trainer.fixedpoint import scale_exponent
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.graph.tensor import Array, DType, QuantParams, Role, Tensor, TensorType
from mcutrain.trainer.ops.add import Add
from mcutrain.trainer.ops.broadcast import sum_to
from mcutrain.trainer.ops.lookup import SLOPE_BITS
from mcutrain.trainer.ops.mul import Mul
from mcutrain.trainer.ops.relu import Relu, Relu6
from mcutrain.trainer.ops.reshape import Reshape
from mcutrain.trainer.ops.rsqrt import Rsqrt
from tests.support.float_ops import dequantise, meaning
from tests.support.gradient_net import LOSS_EXPONENT, Net, through
from tests.support.op_cases.curves import CURVES
from tests.support.op_cases.elementwise import FUNCTIONS, PAIRS, Function, Pair

KINKS = np.array([-3.0, 0.0, 3.0])  # where a function has two slopes, none of them wrong


def function_net(case: Function) -> tuple[Net, Node]:
    net = Net(TensorType((1, 256), DType.S8, case.x_quant), case.x_limits, 0)
    y = net.add(case.op, net.x, name="y")
    source = net.graph.nodes[0].inputs[0]
    net.values[source] = np.arange(-128, 128).astype(np.int8).reshape(1, 256)
    net.differentiate(y)
    return net, net.nodes[-1]


CASES = [case for case in (*FUNCTIONS, *CURVES) if not isinstance(case.op, Rsqrt)]
CURVED = [case for case in CASES if not case.op.passes_on]
STRAIGHT = [case for case in CASES if case.op.passes_on]


@pytest.mark.parametrize("case", CURVED, ids=lambda case: case.name)
def test_a_functions_error_is_the_derivative(case: Function) -> None:
    net, node = function_net(case)
    dx, unit = net.error_of("y_d_x")
    x = net.reals()[net.x]
    width = min(1e-4, x.std() / 1000)
    slope = (meaning(node, [x + width]) - meaning(node, [x - width])) / (2 * width)
    smooth = np.abs(x[..., None] - KINKS).min(axis=-1) > 2 * width
    expected = slope * net.g * net.open
    # A slope is rounded to 2**(kf - 14); a central difference of these functions is good to
    # width**2; REQ rounds half a unit of the result, or one where 2048 is clamped to 2047.
    kf = scale_exponent(np.abs(slope))
    tolerance = np.abs(net.g) * (2.0 ** (kf - SLOPE_BITS - 1) + width**2 + 1e-9) + unit

    assert (np.abs(dx - expected) <= tolerance)[smooth].all()
    assert smooth.sum() >= 250
    assert np.abs(expected).max() > 100 * unit  # the check is sharp


@pytest.mark.parametrize("case", STRAIGHT, ids=lambda case: case.name)
def test_a_straight_function_passes_the_error_on(case: Function) -> None:
    net, _ = function_net(case)

    np.testing.assert_array_equal(net.error_of("y_d_x")[0], net.g * net.open)


@pytest.mark.parametrize("op", [Relu(QuantParams((0.2,), -90)), Relu6(QuantParams((0.05,), -20))])
def test_an_error_stops_where_a_rectifier_is_flat(op: Relu | Relu6) -> None:
    quant = op.out_quant if isinstance(op, Relu6) else QuantParams((0.05,), -20)
    net = Net(TensorType((1, 256), DType.S8, quant), (-128, 127), 0)
    net.values[net.graph.nodes[0].inputs[0]] = np.arange(-128, 128).astype(np.int8).reshape(1, 256)
    r = net.add(op, net.x, name="r")
    z = net.add(Reshape((256,)), r, name="z")
    net.differentiate(z)
    x = net.reals()[net.x]
    top = 6.0 if isinstance(op, Relu6) else np.inf
    # What lies beside a limit may be rounded onto it, twice: by 0.75 quanta at most.
    near = 0.75 * op.out_quant.scale
    flat, steep = (x <= 0) | (x >= top), (x > near) & (x < top - near)
    dx, g = net.error_of("r_d_x")[0], net.g.reshape(1, 256)

    assert (dx[flat] == 0).all()
    np.testing.assert_array_equal(dx[steep & net.open], g[steep & net.open])
    assert flat.sum() > 20 and steep.sum() > 20


def pair_net(case: Pair, b_role: Role = Role.PARAM) -> tuple[Net, Tensor, Node]:
    """(net, b, node) of y = op(x, b); b is learned, or a constant."""
    net = Net(TensorType(case.a, DType.S8, case.a_quant), case.limits, 0)
    b_type = TensorType(case.b, DType.S8, case.b_quant)
    b = net.leaf("b", b_type, b_role)
    if b_role is Role.PARAM:
        (b,) = net.graph.add(Reshape(case.b), b, name="b_x", index=9)
    y = net.add(case.op, net.x, b, name="y")
    net.differentiate(y)
    return net, b, net.nodes[-1]


def product_tolerance(net: Net, other: Tensor, x: Tensor, unit: float) -> Array:
    """The other's scale is a byte: E' is off by 0.5 + |E| / 512 before it meets the other."""
    kf = scale_exponent(np.array([other.type.scale]))
    centred = np.abs(net.after[other].astype(np.int64) - other.type.zero_point)
    off = 0.5 * 2.0**LOSS_EXPONENT + np.abs(net.g) / 512
    return sum_to(off * centred, x.type.shape) * 2.0**kf + unit


PRODUCTS = [case for case in PAIRS if isinstance(case.op, Mul)]
SUMS = [case for case in PAIRS if isinstance(case.op, Add)]


@pytest.mark.parametrize("case", PRODUCTS, ids=lambda case: case.name)
def test_the_errors_of_both_factors_are_the_derivatives(case: Pair) -> None:
    net, b, node = pair_net(case)
    limits = {net.x: net.x.limits, b: b.limits}
    for x, other in ((net.x, b), (b, net.x)):
        dx, unit = net.error_of(f"y_d_{x.name}")
        low, high = limits[x]
        is_open = (net.after[x] > low) & (net.after[x] < high)
        expected = derivative_by(net, node, x) * is_open

        assert (np.abs(dx - expected) <= product_tolerance(net, other, x, unit)).all()
        # The check is sharp: no sum of great terms that cancel each other.
        assert np.abs(expected).max() > 16 * unit


def derivative_by(net: Net, node: Node, x: Tensor) -> Array:
    """The derivative of sum(g * y); of many positions by their own formula, for time."""
    if node.output.type.size * x.type.size < 10**6:
        return through(node, net.reals(), x, net.g)
    other = net.reals()[next(t for t in node.inputs if t is not x)]
    factor = other if isinstance(node.op, Mul) else np.ones(other.shape)
    return sum_to(factor * net.g, x.type.shape)


@pytest.mark.parametrize("case", SUMS, ids=lambda case: case.name)
def test_the_errors_of_both_terms_are_the_derivatives(case: Pair) -> None:
    net, b, node = pair_net(case)
    limits = {net.x: net.x.limits, b: b.limits}
    for x in (net.x, b):
        dx, unit = net.error_of(f"y_d_{x.name}")
        low, high = limits[x]
        is_open = (net.after[x] > low) & (net.after[x] < high)
        expected = derivative_by(net, node, x) * is_open
        repeated = x.type.size < node.output.type.size

        assert (np.abs(dx - expected) <= (unit if repeated else 1e-12)).all()
        assert np.abs(expected).max() > 2 * unit


@pytest.mark.parametrize("case", [PRODUCTS[2], SUMS[2]], ids=lambda case: case.name)
def test_a_constant_has_no_error(case: Pair) -> None:
    net, *_ = pair_net(case, Role.CONST)
    names = {t.name for n in net.graph.nodes for t in n.outputs}

    assert "y_d_x" in names
    assert not any(name.startswith("y_d_b") for name in names)


def test_a_square_has_the_errors_of_both_its_factors() -> None:
    quant = QuantParams((0.05,), -3)
    net = Net(TensorType((1, 3, 4, 5), DType.S8, quant), (-100, 100), 1)
    y = net.add(Mul(QuantParams((0.5,), -100)), net.x, net.x, name="y")
    net.differentiate(y)
    dx, unit = net.error_of("x_d")
    parts = [net.error_of(name)[1] for name in ("y_d_x", "y_d_x_again")]
    expected = 2 * net.reals()[net.x] * net.g * net.open
    each = [product_tolerance(net, net.x, net.x, part) for part in parts]
    # The sum reads each part to 2**-8 of its unit.
    tolerance = sum(each) + unit + max(parts) * 2.0**-8

    assert (np.abs(dx - expected) <= tolerance).all()
    assert np.abs(expected).max() > 16 * unit


@pytest.mark.parametrize(
    ("op", "positions"), [(Mul(QuantParams((0.1,))), 4114), (Add(QuantParams((0.1,))), 2**20 + 1)]
)
def test_a_sum_that_could_overflow_is_refused(op: Mul | Add, positions: int) -> None:
    quant = QuantParams((0.05,), -3)
    net = Net(TensorType((1, 1), DType.S8, quant), (-128, 127), 0)
    b = Tensor("b", TensorType((1, positions), DType.S8, quant), Role.INPUT)
    y = net.add(op, net.x, b, name="y")
    net.values[b] = np.zeros(b.type.shape, np.int8)

    with pytest.raises(ModelError, match=f"{positions} (products|errors) .* fit 32 bits"):
        net.differentiate(y)


def test_a_real_value_is_where_the_slope_is_taken() -> None:
    """The slope of LOGISTIC at its zero point is 1/4, the greatest."""
    case = next(case for case in CURVED if case.name == "logistic/odd")
    net, node = function_net(case)
    at = net.after[net.x].ravel().tolist().index(case.x_quant.zero_point)
    dx, unit = net.error_of("y_d_x")

    assert dequantise(node.inputs[0].type, net.after[net.x]).ravel()[at] == 0
    assert abs(dx.ravel()[at] - net.g.ravel()[at] / 4) <= unit

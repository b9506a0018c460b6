# SPDX-License-Identifier: Apache-2.0
"""The gradients of products of activations, of softmax inside, of rows by their length and of
reductions, through autodiff, against finite differences of the operators in reals."""

from __future__ import annotations

import numpy as np
import pytest

from mcutrain.trainer.errors import ModelError
from mcutrain.trainer.fixedpoint import scale_exponent
from mcutrain.trainer.graph.op import Node, Op
from mcutrain.trainer.graph.tensor import Array, DType, QuantParams, Role, Tensor, TensorType
from mcutrain.trainer.ops.batch_matmul import BatchMatMul
from mcutrain.trainer.ops.l2_normalization import L2Normalization
from mcutrain.trainer.ops.reduce_max import ReduceMax
from mcutrain.trainer.ops.reduction import Reduction
from mcutrain.trainer.ops.reshape import Reshape
from mcutrain.trainer.ops.softmax import Softmax
from mcutrain.trainer.ops.sum import Sum
from tests.support.float_ops import dequantise, meaning
from tests.support.gradient_net import LOSS_EXPONENT, Net, through
from tests.support.op_cases.attention import PRODUCTS, Product

LIMITS = (-100, 90)


def curved(node: Node, x: Array, g: Array, width: float) -> Array:
    """Central differences of sum(g * y), elementwise in rows of the last axis."""
    found = np.empty(x.shape)
    for index in np.ndindex(x.shape):
        nudge = np.zeros(x.shape)
        nudge[index] = width
        ends = [float((meaning(node, [x + sign * nudge]) * g).sum()) for sign in (1, -1)]
        found[index] = (ends[0] - ends[1]) / (2 * width)
    return found


def net_of(op: Op, shape: tuple[int, ...], quant: QuantParams, seed: int = 0) -> Net:
    net = Net(TensorType(shape, DType.S8, quant), LIMITS, seed)
    net.differentiate(net.add(op, net.x, name="y"))
    return net


def product_net(case: Product, b_role: Role = Role.PARAM) -> tuple[Net, Tensor]:
    net = Net(TensorType(case.a, DType.S8, case.a_quant), case.limits, 0)
    b = net.leaf("b", TensorType(case.b, DType.S8, case.b_quant), b_role)
    if b_role is Role.PARAM:
        (b,) = net.graph.add(Reshape(case.b), b, name="b_x", index=9)
    net.differentiate(net.add(case.op(), net.x, b, name="y"))
    return net, b


SMALL = [case for case in PRODUCTS if np.prod(case.a) * np.prod(case.b) < 10**5]


@pytest.mark.parametrize("case", SMALL, ids=lambda case: case.name)
def test_the_errors_of_both_matrices_are_the_derivatives(case: Product) -> None:
    net, b = product_net(case)
    node = net.nodes[-1]
    for x, other in ((net.x, b), (b, net.x)):
        dx, unit = net.error_of(f"y_d_{x.name}")
        low, high = x.limits
        is_open = (net.after[x] > low) & (net.after[x] < high)
        expected = through(node, net.reals(), x, net.g) * is_open
        # The other's scale is a byte: E' is off by 0.5 + |E| / 512 before it meets the other.
        centred = np.abs(net.after[other].astype(np.float64) - other.type.zero_point)
        off = 0.5 * 2.0**LOSS_EXPONENT + np.abs(net.g) / 512
        kf = scale_exponent(np.array([other.type.scale]))
        tolerance = through(node, {other: centred}, x, off) * 2.0**kf + unit

        assert (np.abs(dx - expected) <= tolerance).all()
        # The check is sharp, where there is more than one value.
        assert np.abs(expected).max() > 16 * unit or x.type.size == 1


def test_a_constant_matrix_has_no_error() -> None:
    net, _ = product_net(PRODUCTS[0], Role.CONST)
    names = {t.name for n in net.graph.nodes for t in n.outputs}

    assert "y_d_x" in names
    assert not any(name.startswith("y_d_b") for name in names)


def test_a_product_of_a_matrix_with_itself_has_the_errors_of_both() -> None:
    quant = QuantParams((0.05,), -3)
    net = Net(TensorType((1, 5, 4), DType.S8, quant), LIMITS, 1)
    op = BatchMatMul(QuantParams((0.5,), 0), (1, 5, 5), adj_y=True)
    net.differentiate(net.add(op, net.x, net.x, name="y"))
    dx, unit = net.error_of("x_d")
    x, g = net.reals()[net.x][0], net.g[0]
    parts = [net.error_of(name)[1] for name in ("y_d_x", "y_d_x_again")]
    expected = (g @ x + g.T @ x) * net.open[0]
    off = 0.5 * 2.0**LOSS_EXPONENT + np.abs(g) / 512
    centred = np.abs(x) / quant.scale
    each = (off @ centred + off.T @ centred) * 2.0 ** scale_exponent(np.array([quant.scale]))
    # Each part has a rounding of its own; the sum reads it to 2**-8 of its unit.
    tolerance = each + sum(parts) * (1 + 2.0**-8) + unit

    assert (np.abs(dx[0] - expected) <= tolerance).all()
    assert np.abs(expected).max() > 16 * unit


def test_more_products_than_32_bits_hold_are_refused() -> None:
    quant = QuantParams((0.05,), -3)
    net = Net(TensorType((1, 2), DType.S8, quant), LIMITS, 0)
    b = Tensor("b", TensorType((2, 4114), DType.S8, quant), Role.INPUT)
    net.values[b] = np.zeros(b.type.shape, np.int8)
    y = net.add(BatchMatMul(QuantParams((0.5,), 0), (1, 4114)), net.x, b, name="y")

    with pytest.raises(ModelError, match="4114 products are summed"):
        net.differentiate(y)


@pytest.mark.parametrize("beta", [1.0, 0.3, 4.0])
@pytest.mark.parametrize("shape", [(1, 2), (1, 2, 3, 5), (2, 30)])
def test_the_error_of_a_softmax_is_the_derivative(shape: tuple[int, ...], beta: float) -> None:
    net = net_of(Softmax(beta), shape, QuantParams((0.02,), -3))
    node, x = net.nodes[-1], net.reals()[net.x]
    dx, unit = net.error_of("y_d_x")
    expected = curved(node, x, net.g, 1e-4) * net.open
    p = dequantise(node.output.type, net.after[node.output])
    magnitude = np.abs(net.g)
    across = net.g - (p * net.g).sum(axis=-1, keepdims=True)
    # p is off by a quantum at most, which 1 is, beyond the greatest int8.
    q = 1 / 256
    rounding = q * np.abs(across) + (p + q) * q * magnitude.sum(axis=-1, keepdims=True)
    # beta is a byte of 2**-9 of 2**kf; its product with a difference of 2**-8 units is rounded.
    fold = (np.abs(across) / 512 + 0.5 * 2.0 ** (LOSS_EXPONENT - 8)) * p
    fold = fold * 2.0 ** scale_exponent(np.array([beta]))
    tolerance = beta * rounding + fold + unit + 1e-8 * magnitude.max()
    at_outputs = beta * p * across * net.open

    assert (np.abs(dx - expected) <= tolerance).all()
    assert (np.abs(dx - at_outputs) <= fold + unit).all()
    assert np.abs(expected).max() > 16 * unit


@pytest.mark.parametrize("shape", [(1, 3), (1, 2, 3, 5), (2, 40)])
def test_the_error_of_a_row_by_its_length_is_the_derivative(shape: tuple[int, ...]) -> None:
    quant = QuantParams((0.02,), -3)
    net = net_of(L2Normalization(), shape, quant)
    node, x = net.nodes[-1], net.reals()[net.x]
    dx, unit = net.error_of("y_d_x")
    expected = curved(node, x, net.g, 1e-5) * net.open
    y, magnitude = meaning(node, [x]), np.abs(net.g)
    length = np.sqrt((x**2).sum(axis=-1, keepdims=True))
    # y is off by a quantum at most, which 1 is, beyond the greatest int8.
    q = 1 / 128
    rounding = q * np.abs((y * net.g).sum(axis=-1, keepdims=True))
    rounding = rounding + (np.abs(y) + q) * q * magnitude.sum(axis=-1, keepdims=True)
    # 1 / s_x is a byte of 2**-9 of 2**kf; differences of 2**-7 units are rounded twice.
    across = np.abs(net.g - y * (y * net.g).sum(axis=-1, keepdims=True))
    whole = quant.scale * 2.0 ** scale_exponent(np.array([1 / quant.scale]))
    fold = ((across + rounding) / 512 + 2 * 0.5 * 2.0 ** (LOSS_EXPONENT - 7)) * whole
    tolerance = (rounding + fold) / length + unit + 1e-7 * magnitude.max()

    assert (np.abs(dx - expected) <= tolerance).all()
    assert np.abs(expected).max() > 16 * unit


def test_a_long_row_is_refused_where_something_learns_before_it() -> None:
    with pytest.raises(ModelError, match="8197 values overflow"):
        net_of(L2Normalization(), (1, 8197), QuantParams((0.02,), -3))


REDUCED = [((1, 4, 3, 5), (1, 2)), ((1, 4, 3, 5), (3,)), ((2, 3, 4), (1,)), ((1, 9), (0, 1))]


@pytest.mark.parametrize("keep_dims", [False, True])
@pytest.mark.parametrize(("shape", "axes"), REDUCED)
def test_the_error_of_a_maximum_goes_to_the_first_greatest(
    shape: tuple[int, ...], axes: tuple[int, ...], keep_dims: bool
) -> None:
    for high in (2, 60):  # with equal values, and with few of them
        net = Net(TensorType(shape, DType.S8, QuantParams((0.05,), -3)), (-128, 127), 1)
        (source,) = net.values
        net.values[source] = net.rng.randint(0, high, shape).astype(np.int8)
        reduction = Reduction.of(shape, axes, keep_dims or axes == (0, 1))
        net.differentiate(net.add(ReduceMax.over(reduction), net.x, name="y"))
        x = np.moveaxis(net.values[source], axes, range(-len(axes), 0))
        rows = x.reshape(*x.shape[: x.ndim - len(axes)], -1)
        routed = np.zeros(rows.shape)
        g = net.g.reshape(rows.shape[:-1])
        np.put_along_axis(routed, rows.argmax(axis=-1)[..., None], g[..., None], axis=-1)
        expected = np.moveaxis(routed.reshape(x.shape), range(-len(axes), 0), axes)

        np.testing.assert_array_equal(net.error_of("y_d_x")[0], expected)
        assert net.tape.histories == []


def test_the_error_of_a_sum_is_that_of_each_of_its_terms() -> None:
    net = net_of(Sum(QuantParams((0.3,), 5), 1, 2), (2, 4, 3, 5), QuantParams((0.05,), -3))
    expected = through(net.nodes[-1], net.reals(), net.x, net.g) * net.open

    np.testing.assert_allclose(net.error_of("y_d_x")[0], expected, rtol=1e-12, atol=1e-15)
    assert net.tape.histories == []

# SPDX-License-Identifier: Apache-2.0
"""Gradients of differences, choices, slopes by channel and roots, through autodiff, against finite
differences in reals."""

from __future__ import annotations

import numpy as np
import pytest

from mcutrain.trainer.errors import ModelError
from mcutrain.trainer.fixedpoint import scale_exponent
from mcutrain.trainer.graph.tensor import Array, DType, QuantParams, Role, Tensor, TensorType
from mcutrain.trainer.ops.broadcast import sum_to
from mcutrain.trainer.ops.error import E8, E12, ErrorFormat
from mcutrain.trainer.ops.lookup import SLOPE_BITS
from mcutrain.trainer.ops.minimum_maximum import Limit, Maximum, Minimum
from mcutrain.trainer.ops.reshape import Reshape
from mcutrain.trainer.ops.rsqrt import Rsqrt
from mcutrain.trainer.ops.squared_difference import LEFT_SHIFT, SquaredDifference
from mcutrain.trainer.ops.sub import Sub
from tests.support.float_ops import meaning
from tests.support.gradient_net import LOSS_EXPONENT, Net
from tests.support.op_cases.curves import CURVES
from tests.support.op_cases.elementwise import Function
from tests.support.op_cases.pairs import DIFFERENCES, SLOPES, Difference, Slopes

QUANT = QuantParams((0.05,), -3)
FORMATS = pytest.mark.parametrize("errors", [E12, E8], ids=lambda e: e.name)


def pair_net(case: Difference, errors: ErrorFormat = E12) -> tuple[Net, Tensor]:
    """(net, b) of y = op(x, b), both computed from something learned."""
    net = Net(TensorType(case.a, DType.S8, case.a_quant), case.limits, 0)
    leaf = net.leaf("b", TensorType(case.b, DType.S8, case.b_quant), Role.PARAM)
    (b,) = net.graph.add(Reshape(case.b), leaf, name="b_x", index=9)
    y = net.add(case.op, net.x, b, name="y")
    net.differentiate(y, errors)
    return net, b


def is_open(net: Net, x: Tensor) -> Array:
    low, high = x.limits
    return np.asarray((net.after[x] > low) & (net.after[x] < high))


def error_of(net: Net, x: Tensor) -> tuple[Array, float]:
    """The error that reaches ``x``: the last that was made of it."""
    made = [t.name for n in net.graph.nodes for t in n.outputs[:1]]
    return net.error_of([n for n in made if n.startswith(f"y_d_{x.name}")][-1])


OF_SUB = [case for case in DIFFERENCES if isinstance(case.op, Sub)]
OF_SQUARES = [case for case in DIFFERENCES if isinstance(case.op, SquaredDifference)]
CHOICES = [case for case in DIFFERENCES if isinstance(case.op, Maximum)]


@FORMATS
@pytest.mark.parametrize("case", OF_SUB, ids=lambda case: case.name)
def test_what_is_subtracted_has_the_negative_error(case: Difference, errors: ErrorFormat) -> None:
    net, b = pair_net(case, errors)
    for x, sign in ((net.x, 1), (b, -1)):
        dx, unit = error_of(net, x)
        expected = sign * sum_to(net.g, x.type.shape) * is_open(net, x)
        is_repeated = x.type.size < net.g.size

        # A sum is requantised; E8 rounds it stochastically, up to a whole unit.
        assert (np.abs(dx - expected) <= (unit if is_repeated else 0)).all()
        assert np.abs(expected).max() > 2 * unit


@pytest.mark.parametrize("case", OF_SQUARES, ids=lambda case: case.name)
def test_the_errors_of_a_squared_difference_are_the_derivatives(case: Difference) -> None:
    net, b = pair_net(case)
    reals = net.reals()
    d = reals[net.x] - reals[b]
    finest = 2 * max(case.a_quant.scale, case.b_quant.scale) * 2.0**-LEFT_SHIFT
    for x, sign in ((net.x, 1), (b, -1)):
        dx, unit = error_of(net, x)
        expected = sign * sum_to(2 * d * net.g, x.type.shape) * is_open(net, x)
        grad = next(n for n in net.graph.nodes if n.outputs[0].name == f"y_d_{x.name}")
        step = finest * 2.0 ** grad.op.shift(grad.inputs[0].type, x.type)  # type: ignore[attr-defined]
        # Twice a step is folded into the error as a byte: it is off by 0.5 + |E| / 512 of the
        # power of two above it. The difference has two roundings in each term, and is rounded.
        fold = 2.0 ** scale_exponent(np.array([2 * step]))
        off = (0.5 * 2.0**LOSS_EXPONENT + np.abs(net.g) / 512) * fold * (np.abs(d) / step + 2)
        off = off + 2 * np.abs(net.g) * (1.5 * finest + 0.5 * step)

        assert (np.abs(dx - expected) <= sum_to(off, x.type.shape) + unit).all()
        assert np.abs(expected).max() > 16 * unit


def test_a_squared_difference_by_finite_differences() -> None:
    case = OF_SQUARES[1]
    net, b = pair_net(case)
    node = next(n for n in net.nodes if n.op is case.op)
    reals, width = net.reals(), 1e-3
    for x in (net.x, b):
        found = np.empty(x.type.shape)
        for index in np.ndindex(x.type.shape):
            nudge = np.zeros(x.type.shape)
            nudge[index] = width
            pair = [[reals[t] + s * nudge * (t is x) for t in node.inputs] for s in (1, -1)]
            rise = (meaning(node, pair[0]) - meaning(node, pair[1])) / (2 * width)
            found[index] = (rise * net.g).sum()
        dx, _ = error_of(net, x)

        np.testing.assert_allclose(dx, found * is_open(net, x), atol=0.02 * np.abs(found).max())


@FORMATS
@pytest.mark.parametrize("case", CHOICES, ids=lambda case: case.name)
def test_the_error_goes_to_the_operand_that_was_taken(
    case: Difference, errors: ErrorFormat
) -> None:
    net, b = pair_net(case, errors)
    first = net.after[net.x].astype(int), net.after[b].astype(int)
    sign = -1 if isinstance(case.op, Minimum) else 1
    takes_first = sign * first[0] >= sign * first[1]
    for x, taken in ((net.x, takes_first), (b, ~takes_first)):
        dx, unit = error_of(net, x)
        expected = sum_to(net.g * taken, x.type.shape) * is_open(net, x)
        is_repeated = x.type.size < net.g.size

        assert (np.abs(dx - expected) <= (unit if is_repeated else 0)).all()
        assert np.abs(expected).max() > 2 * unit
        assert taken.any()


@pytest.mark.parametrize("op", [Minimum(QUANT), Maximum(QUANT)], ids=["minimum", "maximum"])
def test_of_equal_operands_the_first_has_the_error(op: Maximum) -> None:
    type_ = TensorType((1, 3, 4, 5), DType.S8, QUANT)
    net = Net(type_, (-128, 127), 0)
    leaf = net.leaf("b", type_, Role.PARAM)
    (b,) = net.graph.add(Reshape(type_.shape), leaf, name="b_x", index=9)
    net.values[leaf] = net.values[net.graph.nodes[0].inputs[0]]
    net.differentiate(net.add(op, net.x, b, name="y"))

    np.testing.assert_array_equal(error_of(net, net.x)[0], net.g * net.open)
    assert not error_of(net, b)[0].any()


def test_what_is_compared_with_itself_has_the_error_once() -> None:
    net = Net(TensorType((1, 3, 4, 5), DType.S8, QUANT), (-100, 100), 1)
    y = net.add(Minimum(QUANT), net.x, net.x, name="y")
    net.differentiate(y)
    dx, unit = net.error_of("x_d")

    assert (np.abs(dx - net.g * net.open) <= unit / 2).all()


@pytest.mark.parametrize("op", [Limit(QUANT, -128, 40), Limit(QUANT, -10, 127)])
def test_an_error_stops_at_a_limit(op: Limit) -> None:
    net = Net(TensorType((1, 256), DType.S8, QUANT), (-128, 127), 0)
    net.values[net.graph.nodes[0].inputs[0]] = np.arange(-128, 128).astype(np.int8).reshape(1, 256)
    r = net.add(op, net.x, name="r")
    net.differentiate(net.add(Reshape((256,)), r, name="z"))
    dx, g = net.error_of("r_d_x")[0], net.g.reshape(1, 256)
    x = net.after[net.x]
    inside = (x > op.least) & (x < op.greatest)

    np.testing.assert_array_equal(dx, g * inside)
    assert 20 < inside.sum() < 236


@pytest.mark.parametrize("case", SLOPES, ids=lambda case: case.name)
def test_a_slope_of_each_channel(case: Slopes) -> None:
    net = Net(TensorType(case.shape, DType.S8, case.x_quant), case.x_limits, 0)
    net.differentiate(net.add(case.op, net.x, name="y"))
    dx, unit = net.error_of("y_d_x")
    alpha = np.array(case.op.alpha).reshape(case.op.alpha_shape) * case.op.alpha_scale
    x = net.reals()[net.x]
    expected = np.where(x >= 0, 1.0, alpha) * net.g * net.open
    kf = scale_exponent(np.append(np.abs(alpha), 1.0))
    tolerance = np.abs(net.g) * 2.0 ** (kf - SLOPE_BITS - 1) + unit

    assert (np.abs(dx - expected) <= tolerance).all()
    assert np.abs(expected).max() > 50 * unit
    assert (x < 0).any()


ROOTS = [case for case in CURVES if isinstance(case.op, Rsqrt)]


@pytest.mark.parametrize("case", ROOTS, ids=lambda case: case.name)
def test_the_error_of_a_root_is_the_derivative_where_it_is_no_limit(case: Function) -> None:
    net = Net(TensorType((1, 256), DType.S8, case.x_quant), case.x_limits, 0)
    net.values[net.graph.nodes[0].inputs[0]] = np.arange(-128, 128).astype(np.int8).reshape(1, 256)
    y = net.add(case.op, net.x, name="y")
    net.differentiate(y)
    dx, unit = net.error_of("y_d_x")
    x, node = net.reals()[net.x], net.nodes[-1]
    inside = (net.after[y] < 127) & (x > 0)
    width = 1e-6 * case.x_quant.scale
    safe = np.where(inside, x, 1.0)
    slope = (meaning(node, [safe + width]) - meaning(node, [safe - width])) / (2 * width)
    expected = slope * net.g * net.open
    kf = scale_exponent(np.abs(slope[inside]))
    tolerance = np.abs(net.g) * 2.0 ** (kf - SLOPE_BITS) + unit

    assert (np.abs(dx - expected) <= tolerance)[inside].all()
    assert (dx[x <= 0] == 0).all()
    assert inside.sum() > 100


@pytest.mark.parametrize(
    ("op", "positions", "what"),
    [
        (SquaredDifference(QuantParams((0.1,))), 4099, "products"),
        (Sub(QuantParams((0.1,))), 2**20 + 1, "errors"),
    ],
)
def test_a_sum_that_could_overflow_is_refused(
    op: Sub | SquaredDifference, positions: int, what: str
) -> None:
    net = Net(TensorType((1, 1), DType.S8, QUANT), (-128, 127), 0)
    b = Tensor("b", TensorType((1, positions), DType.S8, QUANT), Role.INPUT)
    y = net.add(op, net.x, b, name="y")
    net.values[b] = np.zeros(b.type.shape, np.int8)

    with pytest.raises(ModelError, match=f"{positions} {what} .* fit 32 bits"):
        net.differentiate(y)

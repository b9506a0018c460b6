# SPDX-License-Identifier: Apache-2.0
"""The gradients of operators that move, join, average, choose or repeat values.

Against central differences of the operators in reals, as in test_gradients.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from mcutrain.trainer.graph.op import Node, Op
from mcutrain.trainer.graph.tensor import Array, DType, QuantParams, Role, Tensor, TensorType
from mcutrain.trainer.ops.concatenation import Concatenation
from mcutrain.trainer.ops.error import MaskError
from mcutrain.trainer.ops.mean import Mean
from mcutrain.trainer.ops.pad import Pad, PadV2
from mcutrain.trainer.ops.reshape import ExpandDims, Squeeze
from mcutrain.trainer.ops.resize_nearest_neighbor import ResizeNearestNeighbor
from mcutrain.trainer.ops.strided_error import StridedError
from mcutrain.trainer.ops.transpose import Transpose
from tests.support.float_ops import meaning
from tests.support.gradient_net import Net, through
from tests.support.op_cases.pools import MAX_POOLS, Pool

X_QUANT, OUT_QUANT = QuantParams((0.05,), -3), QuantParams((0.02,), 9)
LIMITS = (-100, 90)
FLAGS = ((False, False), (True, False), (False, True), (True, True))


def s8(*shape: int) -> TensorType:
    return TensorType(shape, DType.S8, X_QUANT)


@dataclass(frozen=True)
class Row:
    """An operator of one input x, and whether its gradient only passes the error on."""

    name: str
    x: tuple[int, ...]
    op: Op
    passes_on: bool = True
    share_error: float = 0.0  # of 1 / count as 15 bits


def mean_row(x: tuple[int, ...], first: int, last: int, keep_dims: bool = False) -> Row:
    op = Mean(OUT_QUANT, first, last, keep_dims)
    count = op.block(s8(*x))[1]
    even = count & (count - 1) == 0
    return Row(f"mean of {count} of {x}", x, op, even, 0.0 if even else 2.0**-16)


def resize_row(x: tuple[int, ...], size: tuple[int, int], flags: tuple[bool, bool]) -> Row:
    op = ResizeNearestNeighbor(size, *flags)
    # Without a repetition along either axis nothing is read twice.
    once = all(len(set(index)) == len(index) for index in map(list, op.indices(s8(*x))))
    return Row(f"resize {x} to {size} {flags}", x, op, once)


ROWS = [
    Row("pad", (1, 3, 4, 2), Pad((0, 1, 2, 0), (0, 2, 0, 0), -3)),
    Row("pad each axis", (2, 3, 2), Pad((1, 0, 2), (0, 3, 1), -3)),
    Row("pad with a constant", (1, 5, 3), PadV2((0, 1, 1), (0, 0, 2), 100)),
    Row("transpose", (1, 3, 4, 2), Transpose((1, 3, 4, 2), (0, 3, 1, 2))),
    Row("transpose back", (2, 3, 4, 5), Transpose((2, 3, 4, 5), (2, 0, 3, 1))),
    Row("transpose that renames", (1, 4, 1, 3), Transpose((1, 4, 1, 3), (2, 1, 0, 3))),
    Row("squeeze", (1, 4, 1, 3), Squeeze((4, 3))),
    Row("expand dims", (1, 4, 3), ExpandDims((1, 4, 1, 3))),
    Row("concatenation of one", (1, 4, 3), Concatenation(2)),
    mean_row((1, 4, 4, 3), 1, 2),
    mean_row((1, 1, 1, 5), 1, 2, True),
    mean_row((1, 5, 3, 4), 1, 2),
    mean_row((1, 49, 2), 1, 1, True),
    mean_row((2, 3, 2, 5), 3, 3),
    mean_row((3, 2, 5, 3), 1, 3),
    *(resize_row((1, 3, 4, 2), (6, 7), flags) for flags in FLAGS),
    *(resize_row((1, 7, 8, 2), (3, 5), flags) for flags in FLAGS),
    resize_row((1, 5, 3, 2), (2, 9), (False, False)),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_error_is_the_derivative(row: Row) -> None:
    net = Net(s8(*row.x), LIMITS, 1)
    net.differentiate(net.add(row.op, net.x, name="y"))
    dx, unit = net.error_of("y_d_x")
    expected = through(net.nodes[-1], net.reals(), net.x, net.g) * net.open

    assert (net.tape.histories == []) is row.passes_on
    assert np.abs(expected).max() > 16 * unit  # the check is sharp
    # What only passes on is exact. Else a share is off by 2**-16 of the one error it takes, and
    # REQ rounds half a unit, or one where 2048 is clamped to 2047.
    tolerance = 1e-12 if row.passes_on else row.share_error * np.abs(net.g).max() + unit
    assert (np.abs(dx - expected) <= tolerance).all()


def test_an_even_mean_moves_the_exponent() -> None:
    net = Net(s8(1, 4, 2, 3), LIMITS, 0)
    net.differentiate(net.add(Mean(OUT_QUANT, 1, 2), net.x, name="y"))
    (op,) = [node.op for node in net.graph.nodes if isinstance(node.op, StridedError)]

    assert op.exponent_step == 3


def test_a_transpose_that_renames_costs_nothing() -> None:
    kinds = {}
    for order in ((2, 1, 0, 3), (0, 3, 2, 1)):
        net = Net(s8(1, 4, 1, 3), LIMITS, 0)
        y = net.add(Transpose((1, 4, 1, 3), order), net.x, name="y")
        net.differentiate(y)
        node = net.nodes[-1]
        gradient = next(n.op for n in net.graph.nodes if n.name == "y_d_x")
        kinds[order] = node.op.alias, node.op.lower(node) is None, type(gradient)

    assert kinds == {
        (2, 1, 0, 3): (True, True, MaskError),
        (0, 3, 2, 1): (False, False, StridedError),
    }


def max_derivative(node: Node, x: Array, g: Array) -> Array:
    """Central differences narrow enough that no other value becomes the greatest."""
    found, nudge = np.empty(x.shape), 0.4 * X_QUANT.scale
    for index in np.ndindex(x.shape):
        ends = []
        for sign in (1, -1):
            moved = x.copy()
            moved[index] += sign * nudge
            ends.append(float((meaning(node, [moved]) * g).sum()))
        found[index] = (ends[0] - ends[1]) / (2 * nudge)
    return found


# An int8 has so many values that all may differ.
DISTINCT = [pool for pool in MAX_POOLS if np.prod(pool.x) <= 254]


@pytest.mark.parametrize("pool", DISTINCT, ids=lambda pool: pool.name)
def test_the_error_goes_to_the_greatest(pool: Pool) -> None:
    op = next(pool.rows()).op
    net = Net(s8(*pool.x), pool.x_limits, 0)
    # All values differ: a central difference at equal ones is no gradient.
    drawn = net.rng.permutation(np.arange(-127, 127))[: int(np.prod(pool.x))]
    (source,) = net.values
    net.values[source] = drawn.astype(np.int8).reshape(pool.x)
    net.differentiate(net.add(op, net.x, name="y"))
    dx, unit = net.error_of("y_d_x")
    expected = max_derivative(net.nodes[-1], net.reals()[net.x], net.g) * net.open
    overlap = any(s < w for s, w in zip(pool.stride, pool.window, strict=True))

    assert bool(net.tape.histories) is overlap
    # Sums are exact; REQ rounds half a unit, or one where 2048 is clamped to 2047. The
    # difference quotient itself is good to 1e-9.
    assert (np.abs(dx - expected) <= (unit if overlap else 0) + 1e-9).all()


@pytest.mark.parametrize("pool", MAX_POOLS, ids=lambda pool: pool.name)
def test_of_equals_the_first_takes_the_error(pool: Pool) -> None:
    op = next(pool.rows()).op
    net = Net(s8(*pool.x), (-128, 127), 0)
    (source,) = net.values
    net.values[source] = net.rng.randint(0, 2, pool.x).astype(np.int8)
    net.differentiate(net.add(op, net.x, name="y"))
    dx, unit = net.error_of("y_d_x")
    x, expected = net.values[source][0], np.zeros(pool.x[1:])
    _, out_h, out_w, channels = net.g.shape
    for y, z, c in np.ndindex(out_h, out_w, channels):
        best = None
        for at in np.ndindex(*pool.window):
            row = y * op.stride[0] - op.padding[0] + at[0]
            column = z * op.stride[1] - op.padding[1] + at[1]
            inside = 0 <= row < pool.x[1] and 0 <= column < pool.x[2]
            if inside and (best is None or x[row, column, c] > x[(*best, c)]):
                best = row, column
        assert best is not None
        expected[(*best, c)] += net.g[0, y, z, c]

    exact = not net.tape.histories
    assert (np.abs(dx[0] - expected) <= (0 if exact else unit)).all()


def joined(net: Net, axis: int, *inputs: Tensor) -> None:
    net.differentiate(net.add(Concatenation(axis), *inputs, name="y"))


def test_each_input_of_a_concatenation_gets_its_slice() -> None:
    net = Net(s8(1, 3, 2, 4), LIMITS, 0)
    b = net.leaf("b", s8(1, 3, 2, 1), Role.PARAM)
    b.limits = (-50, 127)
    fixed = net.leaf("k", s8(1, 3, 2, 2), Role.CONST)
    (a,) = net.graph.add(ExpandDims((1, 3, 2, 1)), b, name="a", index=9)
    a.limits = b.limits
    joined(net, 3, fixed, net.x, a)
    open_a = (net.after[a] > -50) & (net.after[a] < 127)

    np.testing.assert_array_equal(net.error_of("y_d_x")[0], net.g[..., 2:6] * net.open)
    np.testing.assert_array_equal(net.error_of("y_d_a")[0], net.g[..., 6:] * open_a)
    assert not any(t.name == "y_d_k" for t in net.after)
    assert net.tape.histories == []


@pytest.mark.parametrize(("axis", "times"), [(3, 2), (1, 3), (0, 4)])
def test_a_tensor_joined_to_itself_gets_the_sum_of_its_slices(axis: int, times: int) -> None:
    net = Net(s8(1, 3, 2, 4), LIMITS, 0)
    joined(net, axis, *[net.x] * times)
    dx, unit = net.error_of("x_d")
    expected = sum(np.split(net.g, times, axis)) * net.open

    # All slices have one exponent, so that their sum is exact before REQ rounds it.
    assert (np.abs(dx - expected) <= unit).all()
    assert np.abs(expected).max() > 16 * unit

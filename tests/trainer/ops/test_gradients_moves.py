# SPDX-License-Identifier: Apache-2.0
"""The gradients of operators that take parts, positions or blends of a tensor.

Against central differences of the operators in reals, as in test_gradients.
"""

from __future__ import annotations

import numpy as np
import pytest

from mcutrain.trainer.graph.tensor import DType, QuantParams, Role, TensorType
from mcutrain.trainer.ops.clamp_mask import ClampMask
from mcutrain.trainer.ops.error import E12, MaskError
from mcutrain.trainer.ops.gather import Gather
from mcutrain.trainer.ops.move import Move
from mcutrain.trainer.ops.pack import Pack
from mcutrain.trainer.ops.reshape import ExpandDims
from mcutrain.trainer.ops.resize_bilinear import BITS, ResizeBilinear, ResizeBilinearGrad
from mcutrain.trainer.ops.slice import Slice
from tests.support.gradient_net import LOSS_EXPONENT, Net, through
from tests.support.op_cases import Case, moves

X_QUANT = QuantParams((0.05,), -3)
LIMITS = (-100, 90)
ROWS = [case for case in moves.ROWS if isinstance(case.op, Move | ResizeBilinear)]


def s8(*shape: int) -> TensorType:
    return TensorType(shape, DType.S8, X_QUANT)


def tolerance(net: Net, op: Move | ResizeBilinear, unit: float) -> float:
    """What only passes on is exact. REQ rounds half a unit, or one where 2048 is clamped to 2047.

    A blend rounds each of the sums along a row, by half of 2**shift of its units of 2**-20 of the
    error's, and takes of each as much as its weight of 10 bits says.
    """
    if not net.tape.histories:
        return 1e-12
    if not isinstance(op, ResizeBilinear):
        return unit
    grad = ResizeBilinearGrad(op, net.x.type)
    shift = grad.shift_for(E12.greatest)
    assert shift is not None
    weight = op.positions(net.x.type)[0].greatest_weight(net.x.type.shape[1])
    rounded = 0.0 if shift == 0 else 0.5 * 2.0**shift * weight
    return unit + rounded * 2.0 ** (LOSS_EXPONENT - 2 * BITS)


@pytest.mark.parametrize("case", ROWS, ids=lambda case: case.name)
def test_the_error_is_the_derivative(case: Case) -> None:
    op = case.op
    assert isinstance(op, Move | ResizeBilinear)
    net = Net(s8(*case.feeds[0].type.shape), LIMITS, 1)
    net.differentiate(net.add(op, net.x, name="y"))
    dx, unit = net.error_of("y_d_x")
    expected = through(net.nodes[-1], net.reals(), net.x, net.g) * net.open
    passes_on = isinstance(op, Slice) or (isinstance(op, Gather) and op.readers == 1)

    assert (net.tape.histories == []) is passes_on
    assert np.abs(expected).max() > 16 * unit  # the check is sharp
    assert (np.abs(dx - expected) <= tolerance(net, op, unit)).all()


def test_a_part_that_is_the_whole_renames_the_bytes() -> None:
    net = Net(s8(1, 4, 3), LIMITS, 0)
    op = Slice.of((1, 4, 3), [range(1), range(4), range(3)], (4, 3))
    net.differentiate(net.add(op, net.x, name="y"))

    assert op.alias and op.lower(net.nodes[-1]) is None
    assert [type(n.op) for n in net.graph.nodes if n not in net.nodes] == [ClampMask, MaskError]


def test_parts_that_come_together_again_get_the_error_of_the_whole() -> None:
    """Two halves, in the other order: the sum of their errors is both of them."""
    net = Net(s8(1, 2, 6), LIMITS, 0)
    halves = [Slice.of((1, 2, 6), [range(1), range(2), part], (2, 3))
              for part in (range(3), range(3, 6))]  # fmt: skip
    a, b = (net.add(op, net.x, name=name) for op, name in zip(halves, "ab", strict=True))
    net.differentiate(net.add(Pack(0), b, a, name="y"))
    dx, unit = net.error_of("x_d")
    expected = np.concatenate([net.g[1], net.g[0]], axis=1)[None] * net.open

    assert (np.abs(dx - expected) <= unit).all()
    assert np.abs(expected).max() > 16 * unit


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_each_input_of_a_pack_gets_its_part(axis: int) -> None:
    net = Net(s8(2, 3), LIMITS, 0)
    other = net.leaf("b", s8(2, 3, 1), Role.PARAM)
    (b,) = net.graph.add(ExpandDims((2, 3)), other, name="other", index=9)
    fixed = net.leaf("k", s8(2, 3), Role.CONST)
    net.differentiate(net.add(Pack(axis), net.x, fixed, b, name="y"))

    np.testing.assert_array_equal(net.error_of("y_d_x")[0], net.g.take(0, axis) * net.open)
    open_b = (net.after[b] > -128) & (net.after[b] < 127)
    np.testing.assert_array_equal(net.error_of("y_d_other")[0], net.g.take(2, axis) * open_b)
    assert net.tape.histories == []

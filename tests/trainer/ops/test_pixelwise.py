# SPDX-License-Identifier: Apache-2.0
"""The cross-entropy of positions: its error is the derivative, and its loss is the loss."""

from __future__ import annotations

import numpy as np
import pytest

from mcutrain.trainer.errors import ModelError
from mcutrain.trainer.graph.graph import Graph
from mcutrain.trainer.graph.tensor import Array, DType, QuantParams, Role, Tensor, TensorType
from mcutrain.trainer.ops.error import E8, E12, ErrorFormat
from mcutrain.trainer.ops.pixelwise_cross_entropy import (
    IGNORED,
    MAX_POSITIONS,
    PixelwiseCrossEntropy,
    label_map,
    log2,
)
from mcutrain.trainer.ops.softmax_cross_entropy import SoftmaxCrossEntropy

SCALE, ZERO = 0.125, 7


def type_of(*shape: int) -> TensorType:
    return TensorType(shape, DType.S8, QuantParams((SCALE,), ZERO))


def run(op: PixelwiseCrossEntropy, logits: Array, labels: Array) -> tuple[Array, float]:
    """The error and the loss, in real units."""
    kind = type_of(*logits.shape)
    graph = Graph()
    inputs = Tensor("l", kind, Role.INPUT), Tensor("y", label_map(kind), Role.INPUT)
    graph.add(op, *inputs, name="loss", index=0)
    error, exponent, record = op.reference(graph.nodes[0], logits, labels)
    assert op.permits(int(record[0]), int(record[1]), kind)
    return error * 2.0 ** int(exponent[0]), op.real(record, kind)


def loss_of(real: Array, labels: Array, weights: Array) -> float:
    """The mean over all positions, in float64."""
    rows = real.reshape(-1, real.shape[-1])
    if rows.shape[1] == 1:
        rows = np.pad(rows, ((0, 0), (1, 0)))
    flat = labels.reshape(-1)
    found = 0.0
    for row, label in zip(rows, flat, strict=True):
        if label != IGNORED:
            found += weights[label] * (np.log(np.exp(row).sum()) - row[label])
    return float(found / len(flat))


@pytest.mark.parametrize("errors", [E12, E8])
@pytest.mark.parametrize(
    ("shape", "weights"),
    [((1, 2, 3, 3), ()), ((1, 4, 2), (1.0, 3.0)), ((1, 3, 2, 1), ()), ((1, 1, 1, 4), ())],
)
def test_the_error_is_the_derivative_and_the_loss_the_mean(
    shape: tuple[int, ...], weights: tuple[float, ...], errors: ErrorFormat
) -> None:
    rng = np.random.RandomState(sum(shape))
    classes = max(2, shape[-1])
    each = np.array(weights or (1.0,) * classes)
    op = PixelwiseCrossEntropy(errors=errors, weights=weights)
    positions = int(np.prod(shape[:-1]))
    for _ in range(10):
        q = rng.randint(-30, 40, shape).astype(np.int8)
        y = rng.randint(0, classes, shape[:-1]).astype(np.uint8)
        y[rng.uniform(size=y.shape) < 0.2] = IGNORED
        error, loss = run(op, q, y)
        real, step = SCALE * (q.astype(np.float64) - ZERO), 1e-5
        expected = np.zeros(q.size)
        for k in range(q.size):
            nudge = np.zeros(q.size)
            nudge[k] = step
            nudge = nudge.reshape(shape)
            expected[k] = (
                loss_of(real + nudge, y, each) - loss_of(real - nudge, y, each)
            ) / (2 * step)  # fmt: skip
        # Exponentials of 15 bits (tests/trainer/ops/test_gradients.py), a weight of 8 bits, and an
        # error of so many bits, whose unit is the greatest weight over 2^bits or half of it.
        greatest = each.max() / positions
        unit = greatest * (2.0**-errors.bits * 2 + (1 + classes / 2) * 2.0**-15 + 2.0**-8)
        assert np.abs(error.reshape(-1) - expected).max() <= unit

        # The byte of a weight is off by 2^-9 of the greatest, the rest by much less.
        assert loss == pytest.approx(loss_of(real, y, each), rel=2.0**-7, abs=1e-3)


@pytest.mark.parametrize("classes", [1, 2, 5])
def test_one_position_has_the_error_of_cross_entropy(classes: int) -> None:
    """A weight of 1 at one position is exact: the byte is 128, and the error that of one row."""
    rng = np.random.RandomState(classes)
    kind = type_of(1, classes)
    graph = Graph()
    inputs = Tensor("l", kind, Role.INPUT), Tensor("y", TensorType((1,), DType.U32), Role.INPUT)
    graph.add(SoftmaxCrossEntropy(), *inputs, name="loss", index=0)
    for _ in range(10):
        q = rng.randint(-128, 128, (1, classes)).astype(np.int8)
        label = int(rng.randint(0, max(2, classes)))
        op = graph.nodes[0].op
        wanted, e, _ = op.reference(graph.nodes[0], q, np.array([label], np.uint32))
        found, _ = run(PixelwiseCrossEntropy(), q, np.array([label], np.uint8))
        # Half of E12's range is used with the byte 128, so a bit of the error is lost.
        assert np.abs(found - wanted * 2.0 ** int(e[0])).max() <= 2.0**-11


def test_the_logarithm_is_near_and_rises() -> None:
    sums = np.unique(np.concatenate([
        2**15 + np.arange(3000), np.geomspace(2**15, 255 * 2**15, 5000).astype(np.int64)
    ]))  # fmt: skip
    found = log2(sums)

    # Straight lines between 33 values: (1 / 32)^2 / 8 / ln 2 at most, and the last value's 2^-16.
    assert np.abs(found / 2**16 - np.log2(sums / 2**15)).max() < 2.0**-12
    assert (np.diff(found) >= 0).all()


def test_the_greatest_output_fits_its_record() -> None:
    """Each position as wrong as can be, of the most positions and the most weight."""
    shape = (1, 256, 256, 2)
    logits = np.stack([np.full(MAX_POSITIONS, 127), np.full(MAX_POSITIONS, -128)], 1)
    labels = np.ones(shape[:-1], np.uint8)
    for op in (PixelwiseCrossEntropy(), PixelwiseCrossEntropy(weights=(1.0, 1.99))):
        _, loss = run(op, logits.astype(np.int8).reshape(shape), labels)
        weight = op.weights[1] if op.weights else 1.0
        assert loss == pytest.approx(weight * 255 * SCALE, rel=2.0**-7)


def test_sizes_and_labels_of_other_types_are_refused() -> None:
    for shape in ((1, 257, 256, 2), (1, 2, 256)):
        kind = type_of(*shape)
        with pytest.raises(ValueError, match="classes at each of"):
            PixelwiseCrossEntropy().infer(kind, label_map(kind))
    with pytest.raises(ValueError, match="one for each position"):
        PixelwiseCrossEntropy().infer(type_of(1, 2, 3), TensorType((1, 3), DType.U8))


def test_weights_that_eight_bits_cannot_tell_apart_are_refused() -> None:
    with pytest.raises(ModelError, match=r"0\.1 and 100 are too far apart"):
        PixelwiseCrossEntropy(weights=(0.1, 100.0)).rates(type_of(1, 4, 2))
    rates, _ = PixelwiseCrossEntropy(weights=(0.0, 100.0)).rates(type_of(1, 4, 2))
    assert rates[0] == 0

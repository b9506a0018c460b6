# SPDX-License-Identifier: Apache-2.0
"""Models whose frozen layers have weights of 4 bits: the same network, nearly, in any runtime."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mcutrain.trainer.errors import DataError
from mcutrain.trainer.graph.graph import Graph
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.graph.tensor import Array, QuantParams, Tensor
from mcutrain.trainer.int4 import GREATEST
from mcutrain.trainer.making.options import FullyConnectedOptions
from mcutrain.trainer.making.writer import WriterOp, write_model
from mcutrain.trainer.model import Model, forward, rebuild
from mcutrain.trainer.ops.weighted import Weighted
from mcutrain.trainer.shrinking import moments
from mcutrain.trainer.shrinking.file import write_cut
from mcutrain.trainer.shrinking.int4 import is_int4, suited, to_int4
from mcutrain.trainer.shrinking.moments import LayerRows
from mcutrain.trainer.tflite.reader import parse
from tests.support.micro import Micro
from tests.support.random_models import random_model, samples
from tests.support.random_networks import random_network
from tests.support.random_trunks import random_trunk
from tests.support.small_models import SHAPE, activation, bias, residual_model, weights


def inputs_like(shape: tuple[int, ...], count: int, seed: int = 0) -> Array:
    """int8 inputs whose values hang together."""
    rng = np.random.default_rng(seed)
    size = int(np.prod(shape))
    x = rng.normal(size=(count, 4)) @ rng.normal(size=(4, size)) + 0.3 * rng.normal(
        size=(count, size)
    )
    return np.asarray(np.clip(np.rint(25 * x), -128, 127).astype(np.int8))


def logits(model: Model, inputs: Array) -> Array:
    shape = model.input.type.shape
    found = [forward(model, x.reshape(shape))[model.logits].ravel() for x in inputs]
    return np.asarray(found, np.int64)


def to_nearest(model: Model, layers: set[int]) -> Model:
    """The same layers with weights rounded to the nearest, nothing else."""
    chosen = {model.weighted[k] for k in layers}

    def change(graph: Graph, node: Node, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        if node not in chosen:
            return None
        x, w, *bias = inputs
        assert isinstance(node.op, Weighted) and w.data is not None and w.type.quant is not None
        rows = LayerRows.of(node)
        exact = rows.filters(w.data.astype(float))
        steps = np.abs(exact).max(axis=2, keepdims=True) / GREATEST
        q = rows.weights(np.rint(exact / steps).astype(np.int8), w.data.shape)
        scales = np.array(w.type.quant.scales) * steps.ravel()
        quant = QuantParams(tuple(scales.tolist()), 0, node.op.out_axis)
        new_w = replace(w, data=q, type=replace(w.type, quant=quant))
        assert bias[0].data is not None
        b = np.rint(bias[0].data / steps.ravel()).astype(np.int32)
        new_b = replace(bias[0], data=b)
        return graph.add(node.op, x, new_w, new_b, name=node.name, index=node.index)

    return rebuild(model, change)


def test_a_model_of_four_bits_is_nearer_than_one_of_the_nearest_weights() -> None:
    given, others = inputs_like(SHAPE, 40), inputs_like(SHAPE, 60)[40:]
    gaps = []
    for seed in range(2):
        model = parse(residual_model(seed), "residual")
        layers = set(range(len(model.weighted)))
        wanted = logits(model, others)
        found = [to_int4(model, given, layers), to_nearest(model, layers)]
        gaps.append([((logits(each, others) - wanted) ** 2).mean() for each in found])

    assert np.mean(gaps, axis=0)[0] < 0.4 * np.mean(gaps, axis=0)[1]


def test_covariances_of_wide_layers_are_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 10, 10 and 7 columns: what lies beside the blocks would help."""
    model, given = parse(residual_model(), "residual"), inputs_like(SHAPE, 30)
    wanted = logits(model, given)
    whole = to_int4(model, given, {0})
    monkeypatch.setattr(moments, "WIDEST", 10)
    found = to_int4(model, given, {0})
    gaps = [((logits(each, given) - wanted) ** 2).mean() for each in (whole, found)]

    assert is_int4(found.weighted[0])
    assert gaps[0] < gaps[1]


def test_only_the_layers_that_are_asked_for_change() -> None:
    model = parse(residual_model(), "residual")
    found = to_int4(model, inputs_like(SHAPE, 20), {2})

    assert [is_int4(node) for node in found.weighted] == [False, False, True, False]
    for k in (0, 1, 3):
        assert found.weighted[k].inputs[1:] == model.weighted[k].inputs[1:]
    assert [node.op.limits() for node in found.weighted] == [
        node.op.limits() for node in model.weighted
    ]
    for old, new in zip(model.graph.nodes, found.graph.nodes, strict=True):
        assert (new.name, new.index) == (old.name, old.index)
        assert new.output.type == old.output.type
        assert new.output.file_index == old.output.file_index


def test_without_layers_the_first_and_the_last_stay() -> None:
    model = parse(residual_model(), "residual")
    found = to_int4(model, inputs_like(SHAPE, 20))

    assert suited(model) == {1, 2}
    assert [is_int4(node) for node in found.weighted] == [False, True, True, False]


def test_layers_of_four_bits_stay_as_they_are() -> None:
    model = parse(residual_model(), "residual")
    once = to_int4(model, inputs_like(SHAPE, 20))
    again = to_int4(once, inputs_like(SHAPE, 20, seed=1))

    for node, other in zip(once.weighted, again.weighted, strict=True):
        assert other.inputs[1:] == node.inputs[1:]
        assert other.op == node.op


@pytest.mark.parametrize(
    "kind",
    ["CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "CONV_2D spaced",
     "DEPTHWISE_CONV_2D dilated", "TRANSPOSE_CONV"],
)  # fmt: skip
def test_rows_times_filters_are_what_the_layer_computes(kind: str) -> None:
    for seed in range(12):
        model = parse(random_model(kind, seed), kind)
        x = samples(model.input.type.shape, 1, seed)[-1]
        values = forward(model, x)
        for node in model.weighted:
            assert isinstance(node.op, Weighted) and node.inputs[1].data is not None
            rows = LayerRows.of(node)
            positions = np.arange(rows.g.out_h * rows.g.out_w)
            filters = rows.filters(node.inputs[1].data)
            sums = rows.read(values[node.inputs[0]], positions) @ filters.transpose(0, 2, 1)
            acc = sums.transpose(1, 0, 2).reshape(rows.g.out_h, rows.g.out_w, -1)
            constants = [t.data for t in node.inputs[2:] if t.data is not None]
            inputs = (values[node.inputs[0]], node.inputs[1].data, *constants)
            found = node.op.requantized(node, acc, inputs)

            np.testing.assert_array_equal(found, values[node.output])
            np.testing.assert_array_equal(
                rows.weights(filters, node.inputs[1].type.shape), node.inputs[1].data
            )


@pytest.mark.parametrize("seed", range(12))
def test_a_file_of_four_bits_is_the_same_in_tflite_micro(seed: int) -> None:
    make = random_trunk if seed % 2 else random_network
    data = make(seed)
    model = parse(data, "random")
    given = np.stack(samples(model.input.type.shape, 9, seed))
    found = to_int4(model, given, set(range(len(model.weighted))))
    written = write_cut(data, found)
    read, micro = parse(written, "written"), Micro(written)

    assert all(is_int4(node) for node in read.weighted)
    for x in samples(model.input.type.shape, 2, seed + 100):
        outputs = micro.run(x)
        ours = forward(read, x)
        np.testing.assert_array_equal(ours[read.output].ravel(), outputs[-1].ravel())
        np.testing.assert_array_equal(ours[read.output], forward(found, x)[found.output])


def test_the_means_of_sums_are_those_before() -> None:
    model = parse(residual_model(), "residual")
    given = inputs_like(SHAPE, 20)
    found = to_int4(model, given, {0, 2})
    for k in (0, 2):
        old, new = model.weighted[k], found.weighted[k]
        means = [mean_sums(each, node, given) for each, node in ((model, old), (found, new))]
        w = new.inputs[1].type.quant
        assert w is not None
        # A bias is a whole number: half of what one is worth.
        quantum = new.inputs[0].type.scale * np.array(w.scales)

        assert (np.abs(means[0] - means[1]) <= 0.501 * quantum).all()


def mean_sums(model: Model, node: Node, inputs: Array) -> Array:
    """(filters,): the mean of a layer's sums with their biases, in reals."""
    assert isinstance(node.op, Weighted) and node.inputs[1].data is not None
    rows, w = LayerRows.of(node), node.inputs[1]
    assert w.type.quant is not None and w.data is not None and node.inputs[2].data is not None
    positions = np.arange(rows.g.out_h * rows.g.out_w)
    values = [forward(model, x.reshape(SHAPE))[node.inputs[0]] for x in inputs]
    read = np.concatenate([rows.read(x, positions) for x in values], axis=1)
    sums = (read @ rows.filters(w.data).transpose(0, 2, 1)).mean(axis=1).ravel()
    scales = node.inputs[0].type.scale * np.array(w.type.quant.scales)
    return np.asarray((sums + node.inputs[2].data) * scales)


def test_constant_inputs_give_what_they_gave() -> None:
    """Nothing varies, so that the bias holds all: up to a quantum of each layer's rounding."""
    model = parse(residual_model(), "residual")
    given = np.full((3, *SHAPE), 40, np.int8)
    found = to_int4(model, given)

    assert is_int4(found.weighted[1])
    gap = np.abs(logits(found, given[:1]) - logits(model, given[:1]))
    assert gap.max() <= 3


def test_one_input_is_enough_to_go_on() -> None:
    model = parse(residual_model(), "residual")

    assert all(is_int4(node) for node in to_int4(model, inputs_like(SHAPE, 1), range(4)).weighted)


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        (np.zeros((0, *SHAPE), np.int8), "here are 0 of int8"),
        (np.zeros((5, 3), np.int8), r"here are 5 of int8 \(3,\)"),
        (np.zeros((5, *SHAPE), np.float32), "here are 5 of float32"),
    ],
)
def test_other_inputs_are_refused(inputs: Array, told: str) -> None:
    with pytest.raises(DataError, match=told):
        to_int4(parse(residual_model(), "residual"), inputs)


def test_dead_channels_are_those_that_the_file_is_read_with() -> None:
    """A filter of a tiny scale whose bias is out of all proportion stays apart from the others."""
    model = parse(residual_model(), "residual")
    with_dead = dead_filter(model)
    found = to_int4(with_dead, inputs_like(SHAPE, 20))
    read = parse(write_cut(residual_model(), found), "written")

    assert isinstance(found.weighted[2].op, Weighted)
    assert found.weighted[2].op.dead == (3,)
    assert read.weighted[2].op == found.weighted[2].op
    x = inputs_like(SHAPE, 3, seed=2)
    np.testing.assert_array_equal(logits(read, x), logits(found, x))


def dead_filter(model: Model) -> Model:
    def change(graph: Graph, node: Node, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        if node is not model.weighted[2]:
            return None
        x, w, b = inputs
        assert w.type.quant is not None and b.data is not None and isinstance(node.op, Weighted)
        scales, values = list(w.type.quant.scales), b.data.copy()
        scales[3], values[3] = float(np.float32(1e-9)), 2**31 - 1
        quant = replace(w.type.quant, scales=tuple(scales))
        new_w, new_b = replace(w, type=replace(w.type, quant=quant)), replace(b, data=values)
        op = replace(node.op, dead=(3,))
        return graph.add(op, x, new_w, new_b, name=node.name, index=node.index)

    return rebuild(model, change)


def tied_model() -> bytes:
    """Two layers that have one tensor of weights and one of biases."""
    rng = np.random.default_rng(3)
    tensors = [
        activation("x", (1, 6), 0.05, 0), weights("w", (6, 6), 0, rng), bias("b", 6, rng),
        activation("y", (1, 6), 0.05, 3), activation("z", (1, 6), 0.1, -3),
    ]  # fmt: skip
    options = FullyConnectedOptions()
    ops = [
        WriterOp("FULLY_CONNECTED", (x, "w", "b"), (y,), options) for x, y in ("xy", "yz")
    ]  # fmt: skip
    return write_model(tensors, ops, ["x"], ["z"])


@pytest.mark.parametrize("layers", [{0, 1}, {1}])
def test_layers_that_share_weights_get_weights_of_their_own(layers: set[int]) -> None:
    data = tied_model()
    model = parse(data, "tied")
    assert model.tied == ((0, 1),)
    given = inputs_like((1, 6), 30)
    found = to_int4(model, given, layers)
    written = write_cut(data, found)
    read, micro = parse(written, "written"), Micro(written)

    assert [is_int4(node) for node in read.weighted] == [k in layers for k in range(2)]
    for x in given[:5]:
        wanted = forward(found, x[None])[found.output].ravel()
        np.testing.assert_array_equal(micro.run(x[None])[-1].ravel(), wanted)
        np.testing.assert_array_equal(forward(read, x[None])[read.output].ravel(), wanted)

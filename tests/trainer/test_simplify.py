# SPDX-License-Identifier: Apache-2.0
"""Simplification takes work out and leaves every bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mcutrain.trainer.graph.tensor import Array, QuantParams, Tensor
from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.making.options import (
    Activation,
    AddOptions,
    Conv2DOptions,
    DepthwiseConv2DOptions,
    FullyConnectedOptions,
    Padding,
    PadOptions,
    Pool2DOptions,
    ReshapeOptions,
)
from mcutrain.trainer.making.writer import WriterOp, WriterTensor
from mcutrain.trainer.model import Model, trim
from mcutrain.trainer.ops.conv2d import Conv2D
from mcutrain.trainer.ops.depthwise_conv2d import DepthwiseConv2D
from mcutrain.trainer.ops.pad import Pad
from mcutrain.trainer.options import PlanOptions, Scheme
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.scheme import parse_scheme
from mcutrain.trainer.simplify import simplify
from mcutrain.trainer.tflite.reader import load, parse
from tests.support.marks import exhaustive, sampled
from tests.support.model_maker import ModelMaker
from tests.support.native import NativeModel
from tests.support.random_models import samples

FROZEN = Scheme("nothing")


def logits(model: Model, sample: Array) -> Array:
    values: dict[Tensor, Array] = {t: t.data for t in model.graph.tensors if t.data is not None}
    values[model.input] = sample
    for node in model.graph.nodes:
        (values[node.output],) = node.op.reference(node, *(values[t] for t in node.inputs))
    return values[model.logits]


def macs(model: Model) -> int:
    return sum(node.op.macs(node) for node in model.graph.nodes)


class Net(ModelMaker):
    """Builds a model in which filters of zeros make constant channels."""

    def conv(self, x: WriterTensor, name: str, shape: tuple[int, ...], zero: float, kind: str,
             padding: Padding = Padding.SAME) -> WriterTensor:  # fmt: skip
        axis = 0 if kind == "CONV_2D" else 3
        w = self.c.weights(f"{name}_w", shape, axis)
        gone = self.c.rng.random_sample(shape[axis]) < zero
        assert w.data is not None and x.quant is not None
        w.data[(gone, ...) if axis == 0 else (..., gone)] = 0
        b = self.c.rng.randint(-3000, 3000, shape[axis]).astype(np.int32)
        self.tensors += [w, WriterTensor(f"{name}_b", b.shape, "int32", None, b)]
        relu = self.c.pick(Activation.NONE, Activation.RELU6)
        common = {"padding": padding, "fused_activation_function": relu}
        options = Conv2DOptions(**common)
        if axis == 3:
            options = DepthwiseConv2DOptions(**common, depth_multiplier=shape[3] // x.shape[3])
        self.ops.append(WriterOp(kind, (x.name, f"{name}_w", f"{name}_b"), (name,), options))
        lost = 0 if padding == Padding.SAME else shape[1] - 1
        size = (x.shape[1] - lost, x.shape[2] - lost)
        quant = self.c.quant() if relu == Activation.NONE else QuantParams((6 / 255,), -128)
        return self.activation(name, (1, *size, shape[axis]), quant)

    def same(self, kind: str, inputs: tuple[str, ...], name: str, x: WriterTensor,
             options: object) -> WriterTensor:  # fmt: skip
        self.ops.append(WriterOp(kind, inputs, (name,), options))
        assert x.quant is not None
        return self.activation(name, x.shape, self.c.quant())


def random_net(seed: int) -> bytes:
    """Convolutions of all kinds with zero filters, a residual ADD, a pool, a flattening head."""
    net = Net(seed)
    zero = net.c.pick(0.3, 0.7, 1.0)
    x = net.activation("x", (1, 6, 5, 3), net.c.quant())
    a = net.conv(x, "a", (8, 3, 3, 3), zero, "CONV_2D")
    d = net.conv(a, "d", (1, 3, 3, 8 * net.c.pick(1, 2)), 0.2, "DEPTHWISE_CONV_2D")
    p = net.conv(d, "p", (8, 1, 1, d.shape[3]), zero, "CONV_2D")
    s = net.same("ADD", ("a", "p"), "s", p, AddOptions(net.c.pick(*list(Activation)[:2])))
    q = net.conv(s, "q", (6, 2, 2, 8), 0.5, "CONV_2D", net.c.pick(Padding.SAME, Padding.VALID))
    height, width = q.shape[1:3]
    pool = Pool2DOptions(Padding.VALID, height, width, height, width)
    net.ops.append(WriterOp("AVERAGE_POOL_2D", ("q",), ("m",), pool))
    assert q.quant is not None
    net.activation("m", (1, 1, 1, 6), q.quant)
    net.tensors.append(WriterTensor("t", (2,), "int32", None, np.array([1, 6], np.int32)))
    net.ops.append(WriterOp("RESHAPE", ("m", "t"), ("f",), ReshapeOptions((1, 6))))
    net.activation("f", (1, 6), q.quant)
    w = net.c.weights("h_w", (4, 6), 0)
    net.tensors.append(w)
    net.ops.append(WriterOp("FULLY_CONNECTED", ("f", "h_w", None), ("y",), FullyConnectedOptions()))
    net.activation("y", (1, 4), net.c.quant())
    return net.finish()


@pytest.mark.parametrize("seed", sampled(range(60), 20))
def test_constant_channels_leave_without_a_changed_bit(seed: int) -> None:
    model = trim(parse(random_net(seed), "net"))
    less = simplify(model, FROZEN)

    assert macs(less) < macs(model)
    for sample in samples(model.input.type.shape, 3, seed):
        np.testing.assert_array_equal(logits(less, sample), logits(model, sample))


@pytest.mark.slow
def test_the_nets_have_channels_that_stay_and_that_leave() -> None:
    """Of each kind of layer, or the test above shows nothing."""
    left: dict[type, int] = {Conv2D: 0, DepthwiseConv2D: 0}
    stayed = dict(left)
    for seed in range(60):
        model = trim(parse(random_net(seed), "net"))
        for old, new in zip(model.weighted[:-1], simplify(model, FROZEN).weighted, strict=False):
            before, after = old.output.type.shape[3], new.output.type.shape[3]
            left[type(old.op)] += before - after
            stayed[type(old.op)] += after

    assert all(count > 60 for count in (*left.values(), *stayed.values()))


@pytest.mark.parametrize("update", ["head", "last:2", "last:3", "bias", "full"])
def test_what_learns_and_what_comes_after_stays_whole(update: str) -> None:
    for seed in range(10):
        model = trim(parse(random_net(seed), "net"))
        scheme = parse_scheme(update, model)
        less = simplify(model, scheme)
        learns = {k for k in range(len(model.weighted)) if k in scheme.biases}
        first = min(learns)
        for k, (old, new) in enumerate(zip(model.weighted, less.weighted, strict=True)):
            if k >= first:
                assert new.inputs[1].type == old.inputs[1].type


@pytest.mark.slow
@pytest.mark.parametrize("update", ["head", "last:2"])
def test_training_has_the_bits_of_the_whole_model(
    update: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = 0
    for seed in range(6):
        model = parse(random_net(seed), "net")
        simple = Interpreter(make_plan(model, PlanOptions(update)))
        with monkeypatch.context() as patch:
            patch.setattr("mcutrain.trainer.plan.simplify", lambda model, scheme: model)
            whole = Interpreter(make_plan(model, PlanOptions(update)))
        saved += whole.plan.forward_macs - simple.plan.forward_macs
        for k, sample in enumerate(samples(model.input.type.shape, 9, seed)):
            assert simple.step(sample, k % 4) == whole.step(sample, k % 4)
            assert simple.digest() == whole.digest()
    assert saved > 0 or update != "head"  # a layer that learns reads all of a residual


def padded_model(widths: list[list[int]], kind: str, value_is_zero: bool = True) -> Model:
    net = Net(3)
    x = net.activation("x", (1, 5, 4, 2), QuantParams((0.05,), -3))
    net.tensors.append(WriterTensor("n", (4, 2), "int32", None, np.array(widths, np.int32)))
    inputs: tuple[str, ...] = ("x", "n")
    if not value_is_zero:
        value = np.array([7], np.int8)
        net.tensors.append(WriterTensor("v", (1,), "int8", x.quant, value))
        inputs += ("v",)
    net.ops.append(WriterOp("PAD" if value_is_zero else "PADV2", inputs, ("p",), PadOptions()
                            if value_is_zero else None))  # fmt: skip
    shape = tuple(n + sum(w) for n, w in zip(x.shape, widths, strict=True))
    assert x.quant is not None
    p = net.activation("p", shape, x.quant)
    w_shape = (3, 3, 3, shape[3]) if kind == "CONV_2D" else (1, 3, 3, shape[3])
    net.conv(p, "y", w_shape, 0.0, kind, net.c.pick(Padding.VALID, Padding.SAME))
    return trim(parse(net.finish(), "padded"))


@pytest.mark.parametrize("kind", ["CONV_2D", "DEPTHWISE_CONV_2D"])
@pytest.mark.parametrize("widths", [(1, 1, 1, 1), (0, 2, 1, 0), (2, 2, 2, 2), (0, 0, 1, 2)])
def test_a_pad_moves_into_the_convolution(kind: str, widths: tuple[int, ...]) -> None:
    top, bottom, left, right = widths
    model = padded_model([[0, 0], [top, bottom], [left, right], [0, 0]], kind)
    less = simplify(model, FROZEN)

    assert [type(node.op) for node in less.graph.nodes] == [type(model.graph.nodes[1].op)]
    for sample in samples(model.input.type.shape, 3, 1):
        np.testing.assert_array_equal(logits(less, sample), logits(model, sample))


@pytest.mark.parametrize(
    ("widths", "value_is_zero"),
    [
        ([[0, 0], [1, 1], [1, 1], [0, 1]], True),  # along the channels
        ([[0, 0], [3, 0], [0, 0], [0, 0]], True),  # a window in the pad alone
        ([[0, 0], [1, 1], [1, 1], [0, 0]], False),  # of another value
    ],
)
def test_a_pad_that_a_convolution_cannot_read_stays(
    widths: list[list[int]], value_is_zero: bool
) -> None:
    model = padded_model(widths, "CONV_2D", value_is_zero)
    less = simplify(model, FROZEN)

    assert any(isinstance(node.op, Pad) for node in less.graph.nodes)


REAL = {
    "mlperf-tiny/vww_96_int8": 4_000_000,
    "mlperf-tiny/kws_ref_model": 2_700_000,
    "tiny-training/mcunet-5fps_int8": 22_400_000,
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [exhaustive(name, ("tiny-training/mcunet-5fps_int8",)) for name in REAL]
)
def test_a_real_model_does_less_for_the_same_bits(name: str, models: Path, tmp_path: Path) -> None:
    model = load(models / f"{name}.tflite")
    plan = make_plan(model, PlanOptions("head"))
    device = NativeModel(plan, tmp_path)

    assert plan.forward_macs < REAL[name]
    for sample in samples(model.input.type.shape, 1, seed=5):
        expected = logits(trim(model), sample).reshape(-1)
        np.testing.assert_array_equal(Interpreter(plan).infer(sample), expected)
        np.testing.assert_array_equal(device.infer(sample), expected)


def test_a_model_of_nothing_but_what_it_needs_is_left_alone() -> None:
    net = Net(1)
    x = net.activation("x", (1, 4, 4, 2), net.c.quant())
    net.conv(x, "y", (3, 3, 3, 2), 0.0, "CONV_2D")
    model = trim(parse(net.finish(), "net"))

    assert str(simplify(model, FROZEN).graph) == str(model.graph)

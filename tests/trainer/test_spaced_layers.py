# SPDX-License-Identifier: Apache-2.0
"""Layers whose taps or inputs lie apart, or whose channels are in groups: in plans and files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mcutrain.codegen.emit import emit_source
from mcutrain.codegen.program import lay_out
from mcutrain.host.search.space import find_space
from mcutrain.trainer.errors import ModelError, SchemeError
from mcutrain.trainer.export import export_model
from mcutrain.trainer.graph.graph import Graph
from mcutrain.trainer.graph.op import Layout, in_layout, variant_for
from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.making.options import Conv2DOptions, PadOptions, TransposeConvOptions
from mcutrain.trainer.making.writer import WriterOp, WriterTensor, constant
from mcutrain.trainer.model import trim
from mcutrain.trainer.ops.pad import Pad
from mcutrain.trainer.ops.spacing import DilatedGeometry
from mcutrain.trainer.ops.weighted import Weighted
from mcutrain.trainer.options import PlanOptions, Scheme
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.planner.row_choice import Chooser
from mcutrain.trainer.planner.row_region import RowRegion
from mcutrain.trainer.scheme import apply_scheme
from mcutrain.trainer.simplify import simplify
from mcutrain.trainer.tflite.reader import parse
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.bench import node_of
from tests.support.drawn_regions import drawn_runs
from tests.support.micro import Micro
from tests.support.model_maker import ModelMaker
from tests.support.op_cases.spaced import ROWS
from tests.support.random_spaced import spaced_trunk
from tests.support.steps import assert_steps_are_equal

UPDATES = ("head", "last:2", "bias", "full")


def trunk_plan(seed: int, **options: bool) -> TrainingPlan:
    model = parse(spaced_trunk(seed), "trunk")
    try:
        return make_plan(model, PlanOptions(UPDATES[seed % 4], **options))
    except ModelError:  # a random layer that cannot learn
        return make_plan(model, PlanOptions("head", **options))


@pytest.mark.parametrize("seed", range(6))
def test_random_regions_of_spaced_layers_train_bit_exactly(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(seed)
    monkeypatch.setattr(Chooser, "segments", lambda chooser: drawn_runs(chooser, rng))
    assert_steps_are_equal(trunk_plan(seed), tmp_path, 4)


def test_rows_of_dilated_windows_are_read_from_rings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some of the plans above have regions with spaced layers, and not only such ones."""
    called = ""
    for seed in range(6):
        rng = np.random.default_rng(seed)
        monkeypatch.setattr(Chooser, "segments", lambda chooser, rng=rng: drawn_runs(chooser, rng))
        plan = trunk_plan(seed)
        if any(isinstance(node.op, RowRegion) for node in plan.graph.nodes):
            called += emit_source(lay_out(plan))

    assert "mct_spaced_conv2d_s8_row(" in called
    assert "mct_dilated_depthwise_conv2d_s8_row(" in called


@pytest.mark.rows
@pytest.mark.parametrize("features", [frozenset({"dsp"}), frozenset({"dsp", "mve"})])
def test_no_variant_takes_the_place_of_a_spaced_layer(features: frozenset[str]) -> None:
    for row in ROWS:
        node = node_of(Graph(), row)
        if isinstance(node.op, Weighted) or "dx" in row.name or "dw" in row.name:
            assert variant_for(node, features) is node.op
            assert in_layout(node, Layout.PACKED) is None


class Net(ModelMaker):
    """A model that begins with an image ``x``."""

    def __init__(self, *shape: int) -> None:
        super().__init__(0)
        self.activation("x", (1, *shape), self.c.quant())

    def add(
        self, kind: str, source: str, w: tuple[int, ...], out: tuple[int, ...], options: object
    ) -> None:
        """An operator ``y`` with weights of the shape ``w``."""
        self.tensors.append(self.c.weights("w", w, 0))
        inputs: tuple[str | None, ...] = (source, "w", None)
        if kind == "TRANSPOSE_CONV":
            self.tensors.append(constant("shape", np.array((1, *out), np.int32)))
            inputs = ("shape", "w", source)
        self.ops.append(WriterOp(kind, inputs, ("y",), options))
        self.activation("y", (1, *out), self.c.quant())

    def pad(self, *widths: tuple[int, int]) -> None:
        """An operator ``p`` that pads x with zeros along H and W."""
        x = self.tensors[0]
        values = np.array([(0, 0), *widths, (0, 0)], np.int32)
        self.tensors.append(WriterTensor("widths", (4, 2), "int32", None, values))
        self.ops.append(WriterOp("PAD", ("x", "widths"), ("p",), PadOptions()))
        sizes = (n + sum(pair) for n, pair in zip(x.shape[1:3], widths, strict=True))
        assert x.quant is not None
        self.activation("p", (1, *sizes, x.shape[3]), x.quant)


VALID = Conv2DOptions(padding=1, dilation_h_factor=3, dilation_w_factor=2)  # type: ignore[arg-type]


@pytest.mark.parametrize("is_transposed", [False, True])
def test_zeros_around_a_dilated_convolution_become_its_padding(is_transposed: bool) -> None:
    net = Net(5, 4, 2)
    net.pad((6, 1), (4, 0))
    if is_transposed:
        net.add("TRANSPOSE_CONV", "p", (3, 2, 2, 2), (12, 8, 3), TransposeConvOptions())
    else:
        net.add("CONV_2D", "p", (3, 3, 3, 2), (6, 4, 3), VALID)
    data = net.finish()
    model, micro = parse(data, "net"), Micro(data)
    simple = simplify(trim(model), Scheme("nothing")).graph.nodes

    assert any(isinstance(node.op, Pad) for node in simple) is is_transposed
    rng = np.random.RandomState(1)
    for _ in range(3):
        sample = rng.randint(-128, 128, model.input.type.shape).astype(np.int8)
        (expected,) = micro.run(sample)[-1:]
        values = {model.input: sample}
        for node in simple:
            arrays = (values.get(t, t.data) for t in node.inputs)
            (values[node.output],) = node.op.reference(node, *(a for a in arrays if a is not None))
        np.testing.assert_array_equal(values[simple[-1].output], expected)


def grouped_net() -> bytes:
    net = Net(4, 4, 6)
    net.add("CONV_2D", "x", (4, 3, 3, 3), (4, 4, 4), Conv2DOptions())
    net.dense_of(net.tensors[-1], "z", 3)
    return net.finish()


def test_groups_learn_whole_or_not_at_all() -> None:
    model = parse(grouped_net(), "net")
    with pytest.raises(
        SchemeError, match=r"layer 0 \(.*\) has groups of channels and learns whole"
    ):
        apply_scheme(model, Scheme("half", {0: 0.5, 1: 1.0}))

    class Everything:
        def fits(self, scheme: Scheme) -> bool:
            return True

    space = find_space(model, Everything())  # type: ignore[arg-type]
    assert space.ratios[0] == (1.0,)


@pytest.mark.parametrize("seed", range(3))
def test_what_spaced_layers_learned_is_written_back(seed: int) -> None:
    data = spaced_trunk(seed)
    plan = trunk_plan(seed)
    reference, rng = Interpreter(plan), np.random.RandomState(seed)
    for step in range(3):
        sample = rng.randint(-128, 128, plan.task.input.type.shape).astype(np.int8)
        reference.step(sample, step)
    exported = export_model(data, plan, reference.state)
    model, micro = parse(exported, "trained"), Micro(exported)

    for _ in range(2):
        sample = rng.randint(-128, 128, plan.task.input.type.shape).astype(np.int8)
        found = reference.outputs(sample)[plan.task.logits]
        np.testing.assert_array_equal(found.ravel(), micro.run(sample)[-1].ravel())
    assert len(model.weighted) == len(parse(data, "trunk").weighted)


def too_many_taps(net: Net) -> None:
    net.add("CONV_2D", "x", (3, 9, 8, 6), (6, 6, 3), Conv2DOptions(dilation_h_factor=2))


def groups_that_do_not_divide(net: Net) -> None:
    net.add("CONV_2D", "x", (3, 1, 1, 4), (6, 6, 3), Conv2DOptions())


def filters_that_do_not_divide(net: Net) -> None:
    net.add("CONV_2D", "x", (4, 1, 1, 2), (6, 6, 4), Conv2DOptions())


def no_dilation(net: Net) -> None:
    net.add("CONV_2D", "x", (4, 1, 1, 6), (6, 6, 4), Conv2DOptions(dilation_w_factor=0))


def great_dilation(net: Net) -> None:
    net.add("CONV_2D", "x", (4, 2, 2, 6), (6, 6, 4), Conv2DOptions(dilation_w_factor=2**30))


def another_output(net: Net) -> None:
    options = TransposeConvOptions(stride_h=2, stride_w=2)
    net.add("TRANSPOSE_CONV", "x", (4, 3, 3, 6), (12, 14, 4), options)


def another_shape(net: Net) -> None:
    options = TransposeConvOptions(stride_h=2, stride_w=2)
    net.add("TRANSPOSE_CONV", "x", (4, 3, 3, 6), (12, 12, 4), options)
    net.tensors[-2] = constant("shape", np.array((1, 12, 11, 4), np.int32))


def no_stride(net: Net) -> None:
    options = TransposeConvOptions(stride_h=0, stride_w=2)
    net.add("TRANSPOSE_CONV", "x", (4, 3, 3, 6), (12, 12, 4), options)


REFUSED: list[tuple[Callable[[Net], None], str]] = [
    (too_many_taps, "a kernel of 9x8; .* up to 64 taps"),
    (groups_that_do_not_divide, "3 filters of 4 channels do not divide the 6 channels"),
    (filters_that_do_not_divide, "4 filters of 2 channels do not divide the 6 channels"),
    (no_dilation, r"dilation \(1, 0\); .* sizes from 1"),
    (great_dilation, "has the dilation 1073741824; up to 32768"),
    (another_output, r"has \(6, 7\) positions, and the input is \(1, 6, 6, 6\)"),
    (another_shape, r"the output \(1, 12, 12, 4\) is to have the shape \(1, 12, 11, 4\)"),
    (no_stride, "strides .* sizes from 1"),
]


@pytest.mark.rows
@pytest.mark.parametrize(
    ("build", "why"), REFUSED, ids=lambda given: getattr(given, "__name__", "")
)
def test_what_is_not_supported_is_refused(build: Callable[[Net], None], why: str) -> None:
    net = Net(6, 6, 6)
    build(net)
    with pytest.raises(ModelError, match=why) as caught:
        parse(net.finish(), "net", "net.tflite")
    assert "\n" not in str(caught.value)


def test_a_table_of_places_is_what_its_formula_says() -> None:
    """Dense windows are spaced ones of dilation 1."""
    g = DilatedGeometry(5, 4, 1, 3, 2, 1, 3, 2, 2, 1, 1, 0, 1, 1)
    rows, columns = g.read_rows(), g.read_columns()

    assert rows.tolist() == [[5, 0, 1], [1, 2, 3], [3, 4, 5]]
    assert columns.tolist() == [[0, 1], [1, 2]]
    assert [v.tolist() for v in g.first_read()] == [[0, 1, 3], [0, 1]]
    assert [v.tolist() for v in g.first_readers()] == [[0, 0, 1, 1, 2], [0, 0, 1, 1]]

# SPDX-License-Identifier: Apache-2.0
"""Frozen convolutions whose biases hold what the zero point of the input makes of the weights."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from mcutrain.trainer.graph.call import Table
from mcutrain.trainer.graph.graph import Graph
from mcutrain.trainer.graph.op import Layout, Node, in_layout, variant_for
from mcutrain.trainer.ops.conv2d import CrossChannel
from mcutrain.trainer.ops.spacing import DilatedGeometry
from tests.support.bench import assert_rows_are_equal, bench_plan, draw_inputs, node_of
from tests.support.native import NativeModel
from tests.support.op_cases import CASES
from tests.support.paths import FIRMWARE

LAYERS = [(case, case.op) for case in CASES if isinstance(case.op, CrossChannel)]
ROWS = [case for case, op in LAYERS if op.channels is None]
IN_PART = [case for case, op in LAYERS if op.channels is not None]
FROZEN = {c.name: dict(list(enumerate(draw_inputs(c, 1, 1)))[1:]) for c in ROWS}
FEATURES = [frozenset({"dsp"}), frozenset({"dsp", "mve"})]


def offset_and_bias(node: Node) -> tuple[int, object]:
    call = node.op.lower(node)
    assert call is not None
    return call.params["x_offset"], call.args[2]


def is_folded(node: Node) -> bool:
    offset, bias = offset_and_bias(node)
    return isinstance(bias, Table) and offset == 0


def reads_padding(node: Node) -> bool:
    assert isinstance(node.op, CrossChannel)
    g = node.op.geometry(*(t.type for t in node.inputs[:2]))
    if isinstance(g, DilatedGeometry):
        return bool((g.read_rows() == g.in_h).any() or (g.read_columns() == g.in_w).any())
    taps = ((ky, kx) for ky in (0, g.kernel_h - 1) for kx in (0, g.kernel_w - 1))
    corners = [(y, x) for y in (0, g.out_h - 1) for x in (0, g.out_w - 1)]
    places = [
        (y * g.stride_h - g.pad_top + ky, x * g.stride_w - g.pad_left + kx)
        for ky, kx in taps
        for y, x in corners
    ]
    return not all(0 <= y < g.in_h and 0 <= x < g.in_w for y, x in places)


@pytest.mark.rows
def test_every_frozen_row_has_the_same_bits(tmp_path: Path) -> None:
    plan, nodes = bench_plan(ROWS, FROZEN)
    folded = {name for name, node in nodes.items() if is_folded(node)}

    assert folded == {name for name, node in nodes.items() if not reads_padding(node)}
    assert 0 < len(folded) < len(ROWS)
    assert_rows_are_equal(NativeModel(plan, tmp_path, FIRMWARE), ROWS, nodes, 4)


def assert_plain(node: Node) -> None:
    offset, bias = offset_and_bias(node)

    assert not isinstance(bias, Table)
    assert offset == -node.inputs[0].type.zero_point


def test_what_learns_is_left_as_it_is() -> None:
    for case in ROWS:
        for learned in FROZEN[case.name]:
            kept = {k: v for k, v in FROZEN[case.name].items() if k != learned}
            assert_plain(node_of(Graph(), case, frozen=kept))
    for case in IN_PART:
        assert_plain(node_of(Graph(), case))


def test_what_a_variant_computes_is_left_as_it_is() -> None:
    found = 0
    for case, features in itertools.product(ROWS, FEATURES):
        node = node_of(Graph(), case, frozen=FROZEN[case.name])
        node.op = variant_for(node, features)
        node.op = in_layout(node, Layout.PACKED) or node.op
        if node.op.needs:
            assert_plain(node)
            found += 1
    assert found > len(ROWS)

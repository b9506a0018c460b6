# SPDX-License-Identifier: Apache-2.0
"""Frozen weights as nibbles: the same bits in half the flash, by the kernels of every chip."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mcutrain.host.boards import chip_of
from mcutrain.host.building.target import NATIVE
from mcutrain.trainer.chip import Chip
from mcutrain.trainer.graph.graph import Graph
from mcutrain.trainer.graph.op import Layout, Op, variant_for
from mcutrain.trainer.ops.conv2d import Conv2D
from mcutrain.trainer.ops.depthwise_conv2d import DepthwiseConv2D
from mcutrain.trainer.ops.fully_connected import FullyConnected
from tests.support.bench import assert_rows_are_equal, bench_plan, node_of
from tests.support.marks import exhaustive
from tests.support.native import NativeModel
from tests.support.nibbles import nibbles_of
from tests.support.op_cases import CASES
from tests.support.paths import FIRMWARE
from tests.support.table_add import CHIP

LAYERS: list[type[Op]] = [Conv2D, DepthwiseConv2D, FullyConnected]
FEATURES = (frozenset[str](), frozenset({"dsp"}), frozenset({"dsp", "mve"}))
HERE = Chip("here", chip_of(NATIVE).features | CHIP.features | {"dsp", "mve"})
ROUNDS = 4


@pytest.mark.rows
@pytest.mark.parametrize("frozen", [exhaustive(inputs, [(1,)]) for inputs in ((1,), (1, 2))])
@pytest.mark.parametrize("features", FEATURES, ids=lambda features: "+".join(sorted(features)))
def test_every_row_of_nibbles_has_the_same_bits(
    features: frozenset[str], frozen: tuple[int, ...], tmp_path: Path
) -> None:
    plain = [case for case in CASES if type(case.op) in LAYERS]
    rows = [replace(c, op=variant_for(node_of(Graph(), c), features)) for c in plain]
    plan, nodes = bench_plan(rows, nibbles_of(rows, frozen), Layout.NIBBLES)
    device = NativeModel(replace(plan, chip=HERE), tmp_path, FIRMWARE)
    assert_rows_are_equal(device, rows, nodes, ROUNDS)

    stored = [node for node in nodes.values() if node.op.layout is Layout.NIBBLES]
    assert len(stored) > 2 * len(rows) // 3
    assert any(node.op.needs for node in stored) is bool(features)
    weights = [node.inputs[1].data for node in stored]
    assert {-8, 7} <= {int(v) for w in weights if w is not None for v in np.unique(w)}

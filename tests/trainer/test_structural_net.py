# SPDX-License-Identifier: Apache-2.0
"""A network of branches that are padded, pooled, turned, joined, resized and averaged, trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mcutrain.trainer.graph.graph import Graph
from mcutrain.trainer.graph.tensor import Role
from mcutrain.trainer.ops.concatenation import Concatenation
from mcutrain.trainer.ops.max_pool2d import MaxPool2DGrad, MaxPool2DPassError
from mcutrain.trainer.ops.mean import MeanGrad
from mcutrain.trainer.ops.resize_nearest_neighbor import ResizeGrad
from mcutrain.trainer.ops.sgd import FRACTION
from mcutrain.trainer.ops.strided_error import StridedError
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import parse
from tests.support.bench import draw_inputs, node_of
from tests.support.float_ops import MEANINGS
from tests.support.op_cases import moves, pools, structural
from tests.support.op_cases.case import Case
from tests.support.steps import assert_steps_are_equal
from tests.support.structural_model import structural_model

NOT_NARROWED = (
    "each-axis", "three-axes", "one-axis", "padv2", "mean/channels", "all-but-batch",
    "concatenation/channels", "of-one", "transpose/", "slice/each-axis", "slice/channels",
    "strided/", "split", "unpack/channels", "gathered/channels", "gathered/table", "tile/",
    "pack/last",
)  # fmt: skip


FORWARD = [
    case for case in (*structural.ROWS, *pools.ROWS, *moves.ROWS) if type(case.op) in MEANINGS
]


@pytest.mark.parametrize("case", FORWARD, ids=lambda case: case.name)
def test_a_narrowed_operator_computes_the_channels_that_are_left(case: Case) -> None:
    node = node_of(Graph(), case)
    inputs = draw_inputs(case, 1, 9)
    channels = inputs[0].shape[-1]
    kept = [c for c in range(channels) if c % 2 == 0]
    narrow = node.op.narrowed(node, len(kept))
    if narrow is None:
        # Its output's channels are not its input's, one for one.
        assert any(word in case.name for word in NOT_NARROWED), case.name
        return
    feeds = tuple(
        replace(feed, type=feed.type.with_shape(*feed.type.shape[:-1], len(kept)))
        for feed in case.feeds
    )
    thin = node_of(Graph(), replace(case, op=narrow, feeds=feeds))
    (whole,) = node.op.reference(node, *inputs)
    (found,) = narrow.reference(thin, *(x[..., kept] for x in inputs))

    np.testing.assert_array_equal(found, whole[..., kept])


@pytest.mark.parametrize("scheme", ["full", "last:2"])
def test_a_network_of_branches_trains_with_equal_bits(scheme: str, tmp_path: Path) -> None:
    plan = make_plan(parse(structural_model(), "branches"), PlanOptions(scheme))
    reference = assert_steps_are_equal(plan, tmp_path, 14)

    for weight in plan.learning.companions.of(FRACTION):  # the error came all the way
        assert (reference.state[weight] != weight.data).any(), weight.name


def test_the_network_has_every_gradient() -> None:
    plan = make_plan(parse(structural_model(), "branches"), PlanOptions("full"))
    kinds = {type(node.op) for node in plan.graph.nodes}
    (joins,) = [node for node in plan.graph.nodes if isinstance(node.op, Concatenation)]

    assert {MaxPool2DGrad, MaxPool2DPassError, MeanGrad, ResizeGrad, StridedError} <= kinds
    assert [t.role for t in joins.inputs].count(Role.CONST) == 1
    assert len(set(joins.inputs)) == 3  # one of them twice

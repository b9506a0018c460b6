# SPDX-License-Identifier: Apache-2.0
"""Whole steps of a network that subtracts, compares, normalises and bends its features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mcutrain.host.boards import chip_of
from mcutrain.host.building.firmware import build
from mcutrain.host.building.target import Target
from mcutrain.host.training.dataset import Dataset
from mcutrain.host.training.loop import train
from mcutrain.host.training.runners import simulated
from mcutrain.host.training.training_options import TrainingOptions
from mcutrain.trainer.ops.error import NegatedError
from mcutrain.trainer.ops.lookup import LookupGrad
from mcutrain.trainer.ops.minimum_maximum import ChosenMask, Limit, Minimum
from mcutrain.trainer.ops.prelu import PreluGrad
from mcutrain.trainer.ops.squared_difference import SquaredDifferenceGrad
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import parse
from tests.support.compared_model import compared_model
from tests.support.simulated_boards import board_param
from tests.support.steps import assert_steps_are_equal, changed

OPTIONS = [PlanOptions("full"), PlanOptions("full", errors="e8")]


@pytest.mark.parametrize("options", OPTIONS, ids=["e12", "e8"])
def test_a_network_that_compares_trains_bit_exactly(options: PlanOptions, tmp_path: Path) -> None:
    plan = make_plan(parse(compared_model(), "compared"), options)
    reference = assert_steps_are_equal(plan, tmp_path, 20)

    assert changed(plan, reference) == {t.name for t in plan.learned}


def test_every_gradient_of_pairs_is_in_it() -> None:
    model = parse(compared_model(), "compared")
    plan = make_plan(model, PlanOptions("full"))
    kinds = [type(node.op) for node in plan.graph.nodes]

    assert kinds.count(LookupGrad) == 5  # gelu, elu, rsqrt, abs, neg
    assert kinds.count(SquaredDifferenceGrad) == 2
    assert kinds.count(NegatedError) == 2  # of the mean, which is repeated, and from one
    assert kinds.count(ChosenMask) == 3  # two of the maximum, one of the minimum by channel
    assert kinds.count(PreluGrad) == 1
    assert [type(node.op) for node in model.graph.nodes if node.op.clamps][:1] == [Limit]
    assert Minimum in {type(node.op) for node in model.graph.nodes}


@pytest.mark.exhaustive
@pytest.mark.parametrize("board", [board_param("mps2_an386")])
def test_it_trains_bit_for_bit_on_a_board(board: str) -> None:
    model = parse(compared_model(), "compared")
    plan = make_plan(model, PlanOptions("full"), chip_of(board))
    x = np.random.default_rng(0).integers(-128, 128, (7, model.input.type.size)).astype(np.int8)
    data = Dataset(x[:6], np.arange(6) % 4, x[6:], np.arange(1))
    with simulated(build(plan, Target.parse(f"sim:{board}"))) as runner:
        options = TrainingOptions(epochs=1, rate=2**-6, seed=3, verify=True)
        result = train(plan, data, runner, options, lambda progress: None)

    assert result.difference is None, result.difference
    assert result.verified_steps == result.steps == 6

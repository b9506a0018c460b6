# SPDX-License-Identifier: Apache-2.0
"""Whole steps of a small transformer: attention, layer normalisation, residuals."""

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
from mcutrain.trainer.formats import Formats
from mcutrain.trainer.ops.batch_matmul import BatchMatMulGrad
from mcutrain.trainer.ops.softmax import SoftmaxGrad
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import parse
from tests.support.attention_model import CLASSES, attention_model
from tests.support.simulated_boards import board_param
from tests.support.steps import assert_steps_are_equal, changed


@pytest.mark.parametrize("formats", [Formats(), Formats("e8", "int8", 2)], ids=["e12", "e8"])
def test_a_small_transformer_trains_bit_exactly(formats: Formats, tmp_path: Path) -> None:
    plan = make_plan(parse(attention_model(), "attention"), formats.within(PlanOptions("full")))
    reference = assert_steps_are_equal(plan, tmp_path, 14)

    assert changed(plan, reference) == {t.name for t in plan.learned}


def test_its_gradients_are_in_it() -> None:
    plan = make_plan(parse(attention_model(), "attention"), PlanOptions("full"))
    kinds = [type(node.op) for node in plan.graph.nodes]

    assert kinds.count(BatchMatMulGrad) == 4  # queries and keys, shares and values
    assert kinds.count(SoftmaxGrad) == 1


@pytest.mark.slow
@pytest.mark.parametrize("board", [board_param("mps2_an386", is_long=True)])
def test_a_small_transformer_trains_bit_for_bit_on_a_board(board: str) -> None:
    plan = make_plan(parse(attention_model(), "attention"), PlanOptions("full"), chip_of(board))
    rng = np.random.default_rng(0)
    x = rng.integers(-60, 60, (5, plan.task.input.type.size)).astype(np.int8)
    data = Dataset(x[:4], np.arange(4) % CLASSES, x[4:], np.arange(1))
    with simulated(build(plan, Target.parse(f"sim:{board}"))) as runner:
        options = TrainingOptions(epochs=1, rate=2**-6, seed=3, verify=True)
        result = train(plan, data, runner, options, lambda progress: None)

    assert result.difference is None, result.difference
    assert result.verified_steps == result.steps == 4

# SPDX-License-Identifier: Apache-2.0
"""A network of parts, positions and blends on an emulated core: each step has the bits of the
reference."""

from __future__ import annotations

import pytest

from mcutrain.host.boards import chip_of
from mcutrain.host.building.firmware import build
from mcutrain.host.building.target import Target
from mcutrain.host.prediction.samples import SEED, random_samples
from mcutrain.host.training.runners import simulated
from mcutrain.host.training.verify import Verifier
from mcutrain.trainer.ops.sgd import LearningRate
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import parse
from tests.support.moves_model import moves_model
from tests.support.simulated_boards import board_param

STEPS = 4
RATE = LearningRate.from_real(2.0**-6)


@pytest.mark.exhaustive
@pytest.mark.parametrize("board", [board_param(board) for board in ("mps2_an386", "rv32_virt")])
@pytest.mark.parametrize("errors", ["e12", "e8"])
def test_a_network_of_moves_trains_on_an_emulated_core(board: str, errors: str) -> None:
    options = PlanOptions("full", errors=errors)
    built = build(
        make_plan(parse(moves_model(), "moves"), options, chip_of(board)),
        Target.parse(f"sim:{board}"),
    )
    verifier = Verifier(built.plan, SEED)
    with simulated(built) as runner:
        runner.reset(SEED)
        for each in (runner, verifier):
            each.set_learning_rate(RATE)
        for step, (sample, target) in enumerate(random_samples(built.plan, STEPS)):
            loss, digest = runner.step(sample, target, True)
            assert verifier.step(sample, target, loss, digest), f"step {step}"

# SPDX-License-Identifier: Apache-2.0
"""Networks of spaced layers train on emulated cores as in the reference, step by step."""

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
from tests.support.random_spaced import spaced_trunk
from tests.support.simulated_boards import board_param

RATE = LearningRate.from_real(2.0**-6)
CORES = ("mps2_an386", "mps2_an385_m0", "mps3_an547", "rv32_virt")


@pytest.mark.slow
@pytest.mark.parametrize("board", [board_param(board, is_long=True) for board in CORES])
@pytest.mark.parametrize("seed", [0, 3])
def test_spaced_layers_train_on_each_kind_of_core(board: str, seed: int) -> None:
    """Cortex-M4, M0 and M55, RISC-V."""
    plan = make_plan(parse(spaced_trunk(seed), "trunk"), PlanOptions("full"), chip_of(board))
    built = build(plan, Target.parse(f"sim:{board}"))
    verifier = Verifier(built.plan, SEED)
    with simulated(built) as runner:
        runner.reset(SEED)
        for each in (runner, verifier):
            each.set_learning_rate(RATE)
        for step, (sample, target) in enumerate(random_samples(built.plan, 4)):
            loss, digest = runner.step(sample, target, True)
            assert verifier.step(sample, target, loss, digest), step

# SPDX-License-Identifier: Apache-2.0
"""The schemes of docs/models.md on emulated cores: each step has the bits of the reference, and the
linker has placed what was planned. In most kernels a core's variant computes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcutrain.host.boards import chip_of
from mcutrain.host.building.firmware import build
from mcutrain.host.building.target import Target
from mcutrain.host.cost import measured
from mcutrain.host.prediction.samples import SEED, random_samples
from mcutrain.host.training.runners import simulated
from mcutrain.host.training.verify import Verifier
from mcutrain.trainer.ops.sgd import LearningRate
from tests.support.simulated_boards import board_param
from tests.tools.model_table import SUBJECTS, find, plans

STEPS = 3
RATE = LearningRate.from_real(2.0**-6)
M0, M3, M4, M7 = "mps2_an385_m0", "mps2_an385", "mps2_an386", "mps2_an500"
M33, M55 = "mps2_an505", "mps3_an547"
RV32 = "rv32_virt"
EVERY_CORE = (M0, M3, M4, M7, M33, M55, RV32)
BOARDS = {
    "watch": EVERY_CORE,
    "kws": EVERY_CORE,
    "resnet8": EVERY_CORE,
    "vww": (M4, M55),
    "person_detect": (M4, M55),
    "ad01": (M4, M55),
    "mcunet-5fps": (M7, M55, RV32),
}


@pytest.mark.exhaustive  # test_variants_on_boards.py runs small rows of each variant
@pytest.mark.parametrize(
    ("board", "name"), [board_param(board, name) for name in SUBJECTS for board in BOARDS[name]]
)
def test_every_step_has_the_same_bits(board: str, name: str, models: Path) -> None:
    subject = SUBJECTS[name]
    path = find(subject, models)
    for plan in plans(subject, path, chip_of(board)):
        built = build(plan, Target.parse(f"sim:{board}"))
        measured(built)
        verifier = Verifier(built.plan, SEED)
        with simulated(built) as runner:
            runner.reset(SEED)
            for each in (runner, verifier):
                each.set_learning_rate(RATE)
            for step, (sample, target) in enumerate(random_samples(built.plan, STEPS)):
                loss, digest = runner.step(sample, target, True)
                assert verifier.step(sample, target, loss, digest), f"{plan.scheme.name}: {step}"

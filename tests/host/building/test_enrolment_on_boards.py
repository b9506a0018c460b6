# SPDX-License-Identifier: Apache-2.0
"""ENROL over the link leaves the reference's state, on this computer and on emulated boards."""

from __future__ import annotations

import numpy as np
import pytest

from mcutrain.host.boards import chip_of
from mcutrain.host.building.firmware import build
from mcutrain.host.building.target import NATIVE, Target
from mcutrain.host.errors import DeviceError
from mcutrain.host.link.device import Device
from mcutrain.host.link.protocol import RamRegion, Status
from mcutrain.host.link.transport import SerialTransport
from mcutrain.host.simulation.simulator import simulate
from mcutrain.host.training.dataset import load_dataset
from mcutrain.trainer.chip import GENERIC
from mcutrain.trainer.enrolment import ALL_CLASSES, enrolled
from mcutrain.trainer.interpreter import Interpreter, pack_state
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import load
from tests.support.paths import WATCH
from tests.support.simulated_boards import BOARDS, board_param

SLOTS = 8


@pytest.mark.slow
@pytest.mark.parametrize("board", [NATIVE, *(board_param(b, is_long=True) for b in BOARDS)])
def test_a_board_enrols_bit_for_bit(board: str) -> None:
    chip = GENERIC if board == NATIVE else chip_of(board)
    plan = make_plan(load(WATCH / "watch.tflite"), PlanOptions("head", latent_slots=SLOTS), chip)
    target = Target.parse(board if board == NATIVE else f"sim:{board}")
    data, reference = load_dataset(WATCH / "demo.npz", plan), Interpreter(plan)
    picked = np.linspace(0, len(data.x_train) - 1, SLOTS).astype(int)
    x, y = data.x_train[picked], data.y_train[picked]
    latents = np.stack([reference.latent_of(sample).reshape(-1) for sample in x])
    with simulate(board, build(plan, target).elf) as port, SerialTransport(port) as transport:
        device = Device.open(transport, None, None)
        device.reset(0)
        with pytest.raises(DeviceError) as refused:
            device.enrol(0)
        assert refused.value.status == Status.SAMPLE  # no latent is kept
        for slot, (sample, label) in enumerate(zip(x, y, strict=True)):
            device.write_sample(sample.tobytes())
            device.run_prefix()
            device.keep_latent(slot, int(label))
        for label in (int(y[3]), ALL_CLASSES):
            device.enrol(label)
            reference.state = enrolled(plan, reference.state, latents, y, label)
            assert device.read(RamRegion.STATE) == pack_state(plan, reference.state)

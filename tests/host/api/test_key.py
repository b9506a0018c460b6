# SPDX-License-Identifier: Apache-2.0
"""Boards that obey only who has their key, in Python."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import mcutrain
from mcutrain.host.keys import Keys, write_keys
from mcutrain.host.simulation.simulator import simulate
from tests.support.fake_model.build import MASTER_KEY
from tests.support.paths import WATCH

DATA = WATCH / "demo.npz"


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "device.key"
    write_keys(path, Keys.of_master(MASTER_KEY))
    return path


@pytest.mark.slow
def test_a_program_trains_a_board_with_its_key(key: Path) -> None:
    plan = mcutrain.plan(WATCH / "watch.tflite", "last:2")
    firmware = mcutrain.build(plan, "native", key=key)
    sample = np.load(DATA)["x_train"][0]

    with simulate("native", firmware.path) as port:
        with pytest.raises(mcutrain.Error, match=r"give the file to key"):
            mcutrain.Device(port, plan)
        with mcutrain.Device(port, plan, key=key) as device:
            device.step(sample, 1)
        with mcutrain.Device(port, key=key) as device:
            assert device.steps == 1
        trainer = mcutrain.Trainer(
            plan, DATA, port=port, key=key, begin="go-on", steps=2, lr=0.01, guard=False
        )
        assert trainer.fit().steps == 2


def test_what_is_wrong_with_a_key_is_told(key: Path, tmp_path: Path) -> None:
    plan = mcutrain.plan(WATCH / "watch.tflite", "last:2")
    for ask in (
        lambda: mcutrain.Trainer(plan, DATA, key=tmp_path / "none"),
        lambda: mcutrain.build(plan, "native", key=tmp_path / "none"),
        lambda: mcutrain.Device("native", plan, key=tmp_path / "none"),
    ):
        with pytest.raises(mcutrain.Error, match=r"cannot read the keys in .*none"):
            ask()
    with pytest.raises(mcutrain.Error, match=r"^key protects the link, which is not there without"):
        mcutrain.generate(plan, tmp_path / "gen", key=key)
    key.chmod(0o644)
    with pytest.warns(UserWarning, match=r"others can read the keys in .*device.key: chmod 600"):
        mcutrain.Trainer(plan, DATA, key=key)

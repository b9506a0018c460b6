# SPDX-License-Identifier: Apache-2.0
"""A device that is lost during a run is found again, and learns what it would have learned."""

from __future__ import annotations

import random
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from serial.tools import list_ports

from mcutrain.host.attached.again import port_again, usb_identity
from mcutrain.host.errors import MismatchError, TransportError
from mcutrain.host.training.run import run_job
from mcutrain.host.training.steady_runner import SteadyRunner
from tests.support.killed import KILLED, Scene, disturbed, saved, troubles
from tests.support.loose_board import CUT, RESET, loose_board
from tests.support.resumed import Died, Dying

pytestmark = [pytest.mark.board, pytest.mark.slow]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """Without input shifts, which are sent before the first step: troubles come by bytes."""
    return Scene.of(tmp_path_factory.mktemp("scene"), epochs=2, precondition="off")


@pytest.mark.parametrize("options", [
    {"latents": "host", "verify": True},
    pytest.param({"latents": "off"}, marks=pytest.mark.exhaustive),
])  # fmt: skip
def test_troubles_of_the_board_change_nothing(
    options: dict[str, Any], scene: Scene, tmp_path: Path
) -> None:
    said = Dying()
    job = scene.job(port=str(tmp_path / "board"), save=tmp_path / "s.npz", **options)
    drawn = troubles(random.Random(3), 6, 3_000, 9_000)
    with loose_board(scene.built.elf, tmp_path, drawn) as board:
        found = run_job(job, said)

    assert saved(tmp_path / "s.npz") == scene.whole
    assert found.reconnects == sum("is lost" in each for each in said.said) >= 5
    assert board.happened.total() == 6
    assert found.result.bit_exact in (None, True)
    assert found.traffic is not None and found.traffic.requests > found.result.steps


@pytest.mark.exhaustive
@pytest.mark.parametrize("plan", [
    {"latent_slots": 12}, {"receive_ahead": True}, {"stream_input": True},
    {"precondition": "inputs"},
])  # fmt: skip
def test_a_kind_of_build_that_keeps_more_is_brought_back(
    plan: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "scene").mkdir()
    scene = Scene.of(tmp_path / "scene", epochs=2, **{"precondition": "off", **plan})
    gaps = (6_000, 11_000) if "precondition" in plan else (3_000, 8_000)
    is_same, happened = disturbed(scene, tmp_path, random.Random(1), 0, 4, gaps, verify=True)
    assert is_same and happened.total() == 4


def test_kills_of_the_host_and_troubles_of_the_board_change_nothing(
    scene: Scene, tmp_path: Path
) -> None:
    is_same, happened = disturbed(scene, tmp_path, random.Random(4), 2, 3, (2_000, 8_000))
    assert is_same and happened[KILLED] >= 1


@pytest.mark.exhaustive
@pytest.mark.parametrize("seed", range(5))
def test_many_kills_change_nothing(seed: int, scene: Scene, tmp_path: Path) -> None:
    is_same, happened = disturbed(scene, tmp_path, random.Random(seed), 12, 20)
    assert is_same and happened.total() > 3  # fewer on a busy computer


def test_a_device_that_resets_in_a_loop_ends_the_run_and_loses_nothing(
    scene: Scene, tmp_path: Path
) -> None:
    """The state of the last step is in the files, though nobody can read it any more."""
    files = {"save": tmp_path / "s.npz", "checkpoint": tmp_path / "c.npz"}
    loop = iter([(12_000, RESET), *((150, RESET) for _ in range(50))])
    with loose_board(scene.built.elf, tmp_path, loop) as board:
        job = scene.job(port=str(board.port), **files)
        with pytest.raises(TransportError, match="lost 3 times without a step between") as told:
            run_job(job)
        steps = saved(files["save"])["sgd"][1]
        assert "\n" not in str(told.value) and steps > 0
    with loose_board(scene.built.elf, tmp_path) as board:
        found = run_job(scene.job(port=str(board.port), **files))
    assert found.result.resumed_from == steps
    assert saved(files["save"]) == scene.whole


@pytest.mark.parametrize("patience_s", [pytest.param(0, marks=pytest.mark.exhaustive), 0.3])
def test_a_device_that_stays_away_ends_the_run(
    patience_s: float, scene: Scene, tmp_path: Path
) -> None:
    files = {"save": tmp_path / "s.npz", "checkpoint": tmp_path / "c.npz"}
    said = "port has gone" if patience_s == 0 else r"not found again in 0\.3 s"

    with loose_board(scene.built.elf, tmp_path, [(12_000, CUT)]) as board:
        board.returns = False
        job = scene.job(port=str(board.port), reconnect_s=patience_s, **files)
        with pytest.raises(TransportError, match=said):
            run_job(job)
    assert saved(files["save"])["sgd"][1] > 0


@pytest.mark.exhaustive
def test_another_device_at_the_port_is_refused(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = SteadyRunner._find

    def elsewhere(self: SteadyRunner, error: Any) -> None:
        self.device.info = replace(self.device.info, device_id=b"\x12" + bytes(11))
        find(self, error)

    monkeypatch.setattr(SteadyRunner, "_find", elsewhere)
    with loose_board(scene.built.elf, tmp_path, [(9_000, CUT)]) as board:
        job = scene.job(port=str(board.port))
        with pytest.raises(MismatchError, match="another device is there, with the id none and"):
            run_job(job)


@pytest.mark.exhaustive
def test_a_board_ahead_of_its_checkpoint_gets_the_checkpoints_state(
    scene: Scene, tmp_path: Path
) -> None:
    """Its host has died behind it; and it may as well be somebody else's state."""
    files = {"save": tmp_path / "s.npz", "checkpoint": tmp_path / "c.npz"}
    with loose_board(scene.built.elf, tmp_path) as board:
        job = scene.job(port=str(board.port), checkpoint_steps=10, **files)
        with suppress(Died):
            run_job(job, Dying(27))
        said = Dying()
        found = run_job(job, said)
    assert found.result.resumed_from == 20 and saved(files["save"]) == scene.whole
    assert any("goes on after 20 of 70 steps" in each for each in said.said)


class Listed:
    """A port as pyserial lists it."""

    def __init__(self, device: str, serial_number: str | None) -> None:
        self.device, self.serial_number, self.vid, self.pid = device, serial_number, 0x2341, 0x43


def test_a_port_with_another_name_is_known_by_its_adapter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = str(tmp_path / "ttyACM0"), str(tmp_path / "ttyACM1")
    Path(first).touch()
    monkeypatch.setattr(list_ports, "comports", lambda: [Listed(first, "A1")])
    identity = usb_identity(first)
    assert identity == (0x2341, 0x43, "A1") and port_again(first, identity) == first

    Path(first).unlink()
    listed = [Listed("/dev/other", "B2"), Listed(second, "A1")]
    monkeypatch.setattr(list_ports, "comports", lambda: listed)
    assert port_again(first, identity) == second
    assert port_again(first, None) == first
    monkeypatch.setattr(list_ports, "comports", lambda: [Listed(first, None)])
    assert usb_identity(first) is None and port_again(first, identity) == first

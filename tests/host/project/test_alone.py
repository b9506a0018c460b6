# SPDX-License-Identifier: Apache-2.0
"""The firmware of examples/alone learns with no host, outlives a loss of power, and lets a host
attach; every line that it prints, and its state, are the reference's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mcutrain.host.boards import board_description
from mcutrain.host.link.device import Device
from mcutrain.host.link.protocol import RamRegion
from mcutrain.host.link.transport import SerialTransport
from mcutrain.host.simulation.simulator import simulate
from mcutrain.trainer.interpreter import pack_state
from tests.support.alone import (
    MODEL,
    OPTIONS,
    Alone,
    alone_plan,
    build_alone,
    expected,
    heard,
    heard_on_screen,
)
from tests.support.command import Run
from tests.support.simulated_boards import BOARDS, board_param

COMMIT = 49  # the operation of flash, of the first save, that programs its first commit word
# Operations in which power fails, and how much of 256 of it is done.
CUTS = ((1, 128), (20, 0), (COMMIT, 0), (COMMIT, 255), (COMMIT + 1, 128))


def state_on(port: str) -> bytes:
    with SerialTransport(port) as transport:
        device = Device.open(transport, None, None)
        return device.read(RamRegion.STATE)


def ends(operation: int, part: int, before: Alone, saved: Alone) -> list[list[str]]:
    """What a device may print after power failed there. A commit word that is programmed in part
    reads as it likes (ADR 0077): the save happened or not, and nothing between."""
    happened = operation > COMMIT or (operation == COMMIT and part > 0)
    may_have_failed = operation < COMMIT or (operation == COMMIT and part < 256)
    return [before.lines] * may_have_failed + [saved.lines] * happened


@pytest.mark.slow
def test_alone_learns_through_power_cuts_as_the_reference(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, image = alone_plan(), tmp_path / "flash"
    first = expected(plan)
    elf = build_alone(tmp_path / "alone", "native", run)
    assert len(first.saved) >= 1, first.lines

    with simulate("native", elf, image=image) as port:
        assert heard(port) == first.lines
        assert state_on(port) == pack_state(plan, first.state)
        pulled = tmp_path / "pulled.npz"
        told = run("pull", MODEL, *OPTIONS, "--port", port, "--save", pulled, "--json").json
        assert told["steps"] == first.state[plan.learning.sgd][1]
        collected = tmp_path / "mine.npz"
        args = ("--classes", "slow,quick", "--per-class", 4, "--countdown", 0)
        assert run("collect", "--port", port, "--output", collected, *args).status == 0
        with np.load(collected) as file:
            assert file["x_train"].shape[1] == plan.task.input.type.size

    at, state = first.saved[-1]
    again = expected(plan, state)
    for operation, part in CUTS:
        image.unlink()
        monkeypatch.setenv("MCT_FLASH_CUT", f"{operation},{part}")
        with simulate("native", elf, image=image) as port:
            cut = heard(port)
        monkeypatch.delenv("MCT_FLASH_CUT")
        assert cut == first.lines[: len(cut)] and len(cut) <= at  # nothing behind the save
        with simulate("native", elf, image=image) as port:
            assert heard(port) in ends(operation, part, first, again)


IN_QEMU = [b for b in BOARDS if board_description(b)["simulation"]["emulator"] == "qemu"]


@pytest.mark.slow
@pytest.mark.exhaustive
@pytest.mark.parametrize("board", [board_param(board) for board in IN_QEMU])
def test_alone_learns_on_a_board_and_goes_on_after_a_power_up(
    board: str, run: Run, tmp_path: Path
) -> None:
    plan, image = alone_plan(), tmp_path / "flash"
    first = expected(plan)
    elf = build_alone(tmp_path / "alone", board, run)

    assert heard_on_screen(board, elf, image) == first.lines
    assert heard_on_screen(board, elf, image) == expected(plan, first.saved[-1][1]).lines

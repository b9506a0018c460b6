# SPDX-License-Identifier: Apache-2.0
"""A firmware that fails on an emulated core restarts, says what happened, and answers again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mcutrain.host.boards import board_description
from mcutrain.host.errors import DeviceError
from mcutrain.host.link.device import Device
from mcutrain.host.link.health import restarted, told
from mcutrain.host.link.protocol import Hello, ResetCause, Status
from mcutrain.host.link.transport import SerialTransport
from mcutrain.host.simulation.simulator import simulate
from tests.support.fake_model.build import BUILD_HASH, NUMERICS_HASH, build_simulated
from tests.support.marks import exhaustive

pytestmark = pytest.mark.board
FAULT = 0xDEAD  # tests/support/fake_model/faults.h
CORES = {
    "mps2_an386": ("cortex_m", "mps2"),
    "mps2_an385_m0": ("cortex_m", "mps2"),
    "rv32_virt": ("riscv", "virt"),
    "sifive_e": ("riscv", "fe310"),
    "atmega1284p": ("avr",),
}
FLAGS = ("-DFAKE_FAULTS", "-DMCT_HAS_NOINIT")


def built(board: str, folder: Path, *flags: str) -> Path:
    prefix = board_description(board)["build"]["toolchain"]
    if shutil.which(f"{prefix}gcc") is None:
        pytest.skip(f"{prefix}gcc is not installed")
    # The fake model is written for an int of 32 bits, and its warnings are not what is tested.
    return build_simulated(board, CORES[board], folder, *FLAGS, "-w", *flags)


def opened(port: str) -> Device:
    return Device.open(SerialTransport(port), BUILD_HASH, NUMERICS_HASH, patience_s=20.0)


def hello(port: str) -> Hello:
    device = opened(port)
    device.close()
    return device.info


def fail(port: str) -> None:
    """Makes the firmware fail; the repeat of the request meets one that has no session."""
    device = opened(port)
    with pytest.raises(DeviceError) as refused:
        device.set_classes(FAULT)
    device.close()

    assert refused.value.status is Status.SESSION


@pytest.mark.parametrize(
    "board", [exhaustive(board, ("mps2_an385_m0", "sifive_e")) for board in CORES]
)
def test_a_firmware_that_fails_restarts_and_says_so(board: str, tmp_path: Path) -> None:
    with simulate(board, built(board, tmp_path)) as port:
        before = hello(port)
        fail(port)
        once = hello(port)
        fail(port)
        twice = hello(port)

    assert (before.reset_cause, before.resets) == (ResetCause.POWER_ON, 0)
    assert (once.reset_cause, once.resets) == (ResetCause.FAULT, 1)
    assert (twice.reset_cause, twice.resets) == (ResetCause.FAULT, 2)
    assert not twice.is_safe_start  # each start has served a request
    assert restarted(before, once) == "it has restarted 1 time since (last reset: fault)"
    assert restarted(once, once) is None


@pytest.mark.parametrize(
    "board", [exhaustive(b, CORES.keys() - {"mps2_an386"}) for b in CORES if b != "atmega1284p"]
)
def test_a_stack_that_overflows_restarts_it_too(board: str, tmp_path: Path) -> None:
    with simulate(board, built(board, tmp_path, "-DFAKE_OVERFLOWS")) as port:
        fail(port)
        after = hello(port)

    assert (after.reset_cause, after.resets) == (ResetCause.FAULT, 1)


@pytest.mark.parametrize("board", ["mps2_an386", exhaustive("atmega1284p", ("atmega1284p",))])
def test_a_firmware_that_fails_at_each_start_makes_a_safe_one(board: str, tmp_path: Path) -> None:
    with simulate(board, built(board, tmp_path, "-DFAKE_FAULTS_AT_START")) as port:
        found = hello(port)

    assert found.is_safe_start
    assert (found.reset_cause, found.resets) == (ResetCause.FAULT, 3)
    assert told(found) == (
        "last reset: fault; 3 resets since power-on; safe start: it kept failing, so it began "
        "without what it had saved, which is still there"
    )


@pytest.mark.exhaustive
def test_without_ram_that_outlives_a_reset_only_the_chip_could_tell(tmp_path: Path) -> None:
    elf = build_simulated("mps2_an386", CORES["mps2_an386"], tmp_path, "-DFAKE_FAULTS")
    with simulate("mps2_an386", elf) as port:
        fail(port)
        found = hello(port)

    assert (found.reset_cause, found.resets) == (ResetCause.UNKNOWN, 0)

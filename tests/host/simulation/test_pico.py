# SPDX-License-Identifier: Apache-2.0
"""The Raspberry Pi Pico in rp2040js: its boot, and an emulator that counts cycles, which are never
called instructions."""

from __future__ import annotations

import struct
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from mcutrain.host.boards import core_of
from mcutrain.host.building.firmware import Build, build
from mcutrain.host.building.target import Target
from mcutrain.host.errors import TransportError
from mcutrain.host.link.device import Device
from mcutrain.host.link.transport import SerialTransport
from mcutrain.host.measure.elf import load_image
from mcutrain.host.prediction.predict import predict
from mcutrain.host.simulation.counts import Unit, read_counted
from mcutrain.host.simulation.profile import owners, profiles
from mcutrain.host.simulation.simulator import simulate
from mcutrain.host.training.runners import simulated
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import load
from tests.support.command import AT_A_RATE, Run
from tests.support.paths import WATCH
from tests.support.simulated_boards import missing

BOARD = "pico"
TARGET = Target.parse(f"sim:{BOARD}")
MODEL = WATCH / "watch.tflite"
BOOT2 = 0x10000000
pytestmark = [pytest.mark.board, pytest.mark.skipif(bool(missing(BOARD)), reason=missing(BOARD))]


@cache
def watch() -> Build:
    return build(make_plan(load(MODEL), PlanOptions("last:2"), TARGET.chip), TARGET)


def crc32_highest_bit_first(data: bytes) -> int:
    """By long division of polynomials, as the datasheet describes the ROM's: from all ones.

    >>> hex(crc32_highest_bit_first(b"123456789"))  # the check value of CRC-32/MPEG-2
    '0x376e6e7'
    """
    bits = int.from_bytes(data, "big") ^ 0xFFFFFFFF << 8 * len(data) - 32
    bits <<= 32
    for at in reversed(range(32, 8 * len(data) + 32)):
        if bits >> at & 1:
            bits ^= 0x104C11DB7 << at - 32
    return bits


@pytest.mark.slow
def test_the_second_stage_of_the_boot_has_its_checksum(tmp_path: Path) -> None:
    """And without it the board does not start."""
    built = watch()
    section = load_image(built.elf).section(".boot2")
    assert section is not None and (section.address, section.nbytes) == (BOOT2, 256)
    contents = bytearray(built.elf.read_bytes())
    at = contents.index(struct.pack("<I", 0x18000008)) & ~0xFF  # a literal that it alone has
    stage, (stored,) = contents[at : at + 252], struct.unpack_from("<I", contents, at + 252)
    assert stored == crc32_highest_bit_first(bytes(stage)) != 0

    contents[at] ^= 1
    damaged = tmp_path / "firmware.elf"
    damaged.write_bytes(contents)
    with (
        pytest.raises(TransportError, match=r"^pico did not start: error: the second stage of"),
        simulate(BOARD, damaged),
    ):
        pass


def test_what_is_no_firmware_is_told(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no firmware " * 20)
    with (
        pytest.raises(TransportError, match=r"pico did not start: error: the firmware is no ELF"),
        simulate(BOARD, tmp_path / "text"),
    ):
        pass


@pytest.mark.slow
def test_cycles_of_nodes_add_up_and_repeat(tmp_path: Path) -> None:
    built, found = watch(), []
    sample = np.zeros(built.plan.task.input.type.shape, np.int8)
    for name in ("first", "second"):
        counts = tmp_path / name
        with simulated(built, counts, owners(built)) as runner:
            runner.reset(1)
            for label in range(3):
                runner.step(sample, np.array(label), wants_digest=False)
            runner.infer(sample)
        found.append(read_counted(counts))

    assert found[0] == found[1]
    runs = found[0]
    assert (len(runs["step"]), len(runs["forward"])) == (3, 1)
    assert all(run.count == sum(run.by_owner.values()) for each in runs.values() for run in each)
    step = profiles(built, tmp_path / "first")["step"]
    assert (step.unit, step.emulator, step.estimated_cycles) == (Unit.CYCLES, "rp2040js", None)
    told = step.to_json()
    assert told["cycles"] == step.count and told["unit"] == "cycles"
    assert all("instruction" not in key for row in (told, *told["nodes"]) for key in row)
    # A Cortex-M0+ takes one cycle or two for most instructions.
    predicted = predict(built.plan, core_of(BOARD))
    assert predicted.step < step.count < 2 * predicted.step


@pytest.mark.slow
def test_a_board_that_counts_cycles_never_calls_them_instructions(run: Run, tmp_path: Path) -> None:
    whole = np.load(WATCH / "demo.npz")
    few = {name: whole[name][:3] for name in ("x_train", "y_train", "x_test", "y_test")}
    np.savez(tmp_path / "few.npz", **few)
    asked = (
        "train", MODEL, "--data", tmp_path / "few.npz", "--update", "last:2", *AT_A_RATE,
        "--target", "sim:pico", "--steps", 2, "--profile",
    )  # fmt: skip
    page = tmp_path / "run.html"
    found = run(*asked, "--report", page, "--json").json

    assert found["cycles_per_step"]["first"] > found["forward_cycles"]["min"] > 0
    assert found["profile"]["step"]["cycles"] == found["cycles_per_step"]["median"]
    counted = {key for key in found if "instructions" in key}
    assert not counted
    text = page.read_text(encoding="utf-8")
    assert f"rp2040js counted {found['cycles_per_step']['median']:,} cycles of a step" in text
    assert "no model of the flash&#39;s cache" in text or "no model of the flash's cache" in text
    assert "predicted for a Cortex-M0+" in text and "counted in QEMU" not in text
    printed = run(*asked).out
    assert "cycles per step" in printed and "instructions per" not in printed
    assert "cycles are counted in rp2040js" in printed and "QEMU" not in printed


def test_a_core_without_a_fit_is_predicted_as_its_relative_and_says_so(run: Run) -> None:
    args = ("plan", MODEL, "--update", "head", "--optimize", "size")
    plan = make_plan(load(MODEL), PlanOptions("head"), TARGET.chip)
    said = predict(plan, core_of(BOARD))
    assert said.notes == ["no cortex-m0plus: predicted as portable C on a cortex-m0"]
    assert said.step == predict(plan, "cortex-m0").step
    assert run(*args, "--json").json["predicted_instructions"]["like"] == "cortex-m4"


@pytest.mark.slow
def test_the_board_ends_with_the_host() -> None:
    """Even when that is killed: nobody is left to clean up."""
    program = (
        "import os; from pathlib import Path\n"
        "from mcutrain.host.simulation.simulator import simulate\n"
        f"with simulate({BOARD!r}, Path({str(watch().elf)!r})) as port:\n"
        "    print(port, flush=True); os.kill(os.getpid(), 9)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    path = result.stdout.strip()

    assert path.startswith("/dev/")
    with pytest.raises(TransportError), SerialTransport(path) as transport:
        Device.open(transport, None, None, patience_s=2.0)


@pytest.mark.slow
def test_the_port_may_be_closed_and_opened_again() -> None:
    built = watch()
    with simulate(BOARD, built.elf) as port:
        for _ in range(2):
            with SerialTransport(port) as transport:
                device = Device.open(transport, built.build_hash, built.plan.numerics_hash)
                assert device.info.classes == built.plan.classes

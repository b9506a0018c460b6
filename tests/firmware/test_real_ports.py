# SPDX-License-Identifier: Apache-2.0
"""The ports of real boards: compiled with all warnings, and run, with stand-ins for the frameworks.

What a host sees is what it would see of the board: it finds the plan by the build's hash, and
checks every step.
"""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

import pytest

from mcutrain.host.boards import chip_of
from mcutrain.host.real_boards import RealBoard, real_board, real_boards
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import load
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.command import AT_A_RATE, Run
from tests.support.paths import WATCH
from tests.support.ported import (
    ARDUINO,
    ARDUINO_DEAF,
    ESPIDF_UART,
    ESPIDF_USB,
    Port,
    build_ported,
    compiled,
    port_of,
    running,
    stm32cube,
)

MODEL = WATCH / "watch.tflite"
TRAIN = (
    "train", MODEL, "--data", WATCH / "demo.npz", "--update", "last:2", *AT_A_RATE,
    "--no-guard", "--verify", "--json", "--quiet",
)  # fmt: skip


@cache
def watch(board: RealBoard, receive_ahead: bool = False) -> TrainingPlan:
    options = PlanOptions("last:2", receive_ahead=receive_ahead)
    return make_plan(load(MODEL), options, chip_of(board.id))


RUN = [  # Arduino's own core runs the port in tests/host/building/test_real_builds.py
    pytest.param(ARDUINO, "nano33ble", marks=pytest.mark.exhaustive, id="arduino"),
    pytest.param(
        stm32cube("nucleo_f446re"), "nucleo_f446re", marks=pytest.mark.exhaustive, id="stm32cube-f4"
    ),
    pytest.param(ESPIDF_UART, "esp32dev", id="espidf-uart"),
    pytest.param(ARDUINO_DEAF, "esp32-c3", marks=pytest.mark.exhaustive, id="arduino-deaf"),
    pytest.param(
        stm32cube("disco_f746ng"), "disco_f746ng", marks=pytest.mark.exhaustive, id="stm32cube-f7"
    ),
    pytest.param(
        stm32cube("nucleo_h743zi"), "nucleo_h743zi", marks=pytest.mark.exhaustive, id="stm32cube-h7"
    ),
    pytest.param(ESPIDF_USB, "esp32-s3", marks=pytest.mark.exhaustive, id="espidf-usb"),
]


# The number and the reset that the stand-ins of frameworks say, which have them.
SAYS = {
    "stm32cube/hal.c": ("000102030405060708090a0b", "watchdog"),
    "espidf/idf.c": ("a0a1a2a3a4a5", "watchdog"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("port", "name"), RUN)
def test_a_port_serves_a_verified_training(port: Port, name: str, tmp_path: Path, run: Run) -> None:
    """Also while kernels run: of a plan that receives ahead, the next sample comes meanwhile."""
    board = real_board(name)
    elf = build_ported(port, board, watch(board, receive_ahead=True), tmp_path)
    with running(elf) as line:
        ran = run(*TRAIN, "--receive-ahead", "--epochs", 2, "--port", line)

    assert ran.json["verified_steps"] == ran.json["steps"] == 70
    assert ran.json["difference"] is None
    told = ran.json["device"]
    said = SAYS["espidf/idf.c"] if "ESP32" in port.defines else SAYS.get(port.stand_in)
    assert (told["device_id"], told["last_reset"]) == (said or ("", "unknown"))


@pytest.mark.parametrize("board", [pytest.param(b, id=b.name) for b in real_boards()])
def test_the_port_of_a_board_compiles_without_a_warning(board: RealBoard, tmp_path: Path) -> None:
    port = port_of(board)
    done = compiled(port, chip_of(board.id).payload_bytes, port.path, "-fsyntax-only")

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("port", [ESPIDF_UART, ESPIDF_USB])
def test_the_port_of_esp_idf_compiles_without_a_warning(port: Port) -> None:
    done = compiled(port, 1024, port.path, "-fsyntax-only")

    assert done.returncode == 0, done.stderr


@pytest.mark.board
def test_the_port_of_a_teensy_compiles_for_its_core(tmp_path: Path) -> None:
    """Its sleep is an instruction that this computer has not."""
    port = Port(ARDUINO.source, ARDUINO.stand_in, ("TEENSYDUINO=159",))
    command = [
        "arm-none-eabi-g++", "-std=c++17", "-mcpu=cortex-m7", "-mthumb", "-Wall", "-Wextra",
        "-Wconversion", "-Wno-sign-conversion", "-Werror", "-ffreestanding",
        *port.flags(1024), "-c", str(port.path), "-o", str(tmp_path / "port.o"),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


def test_a_core_whose_buffer_is_smaller_than_a_frame_is_refused() -> None:
    small = Port(ARDUINO.source, ARDUINO.stand_in, ("SERIAL_RX_BUFFER_SIZE=64",))
    done = compiled(small, 128, small.path, "-fsyntax-only")

    assert done.returncode != 0
    assert "the core's buffer is smaller than a frame: define a larger" in done.stderr

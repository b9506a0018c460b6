# SPDX-License-Identifier: Apache-2.0
"""The drivers of real boards' flash: what is saved through them outlives a cut of the power."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path

import pytest

from tests.support.flash_ports import FlashPort
from tests.support.nor import NOTHING_SAVED, OK, RANGE, Geometry
from tests.support.paths import FIRMWARE

NBYTES = 75
# The linker of this computer has an _edata of its own.
STM32 = (("_sidata", 0x08010000), ("_sdata", 0x20000000), ("chip_edata", 0x20000100))
MBED = (("__etext", 0x20000), ("__data_start__", 0x20000000), ("__data_end__", 0x20000100))


def stm32cube(board: str, begin: int, sector: int, unit: int, corrects: bool = False) -> FlashPort:
    geometry = Geometry(board, sector, 2, unit, corrects)
    return FlashPort(
        board, "ports/stm32cube/flash.c", geometry, begin,
        (f"MCT_STM32_BOARD={board}", "_edata=chip_edata"), STM32, "flash/stm32cube.c",
    )  # fmt: skip


PICO_END = (("__etext", 0x10020000), *MBED[1:])
PORTS = [
    stm32cube("nucleo_f446re", 0x08040000, 0x20000, 4),
    stm32cube("nucleo_f746zg", 0x08080000, 0x40000, 4),
    stm32cube("nucleo_h743zi", 0x081C0000, 0x20000, 32, corrects=True),
    FlashPort("nrf52", "ports/nrf52/flash.c", Geometry("nrf52", 4096, 16, 4), 0xF0000, (), MBED),
    FlashPort(
        "rp2040", "ports/rp2040/flash.c", Geometry("rp2040", 4096, 16, 256), 0x101F0000, (),
        PICO_END,
    ),
    FlashPort("espidf", "ports/espidf/flash.c", Geometry("espidf", 4096, 64, 16), 0x3B0000),
    FlashPort(
        "teensy", "ports/teensy/flash.c", Geometry("teensy", 64, 66, 1), 0x400000, model_page=1
    ),
]  # fmt: skip
SHORT = {"nucleo_f446re", "nucleo_h743zi", "nrf52"}


def ports(found: list[FlashPort]) -> pytest.MarkDecorator:
    """As parameters; only make test-all has those that are not SHORT."""
    marks = {port.name: [] if port.name in SHORT else [pytest.mark.exhaustive] for port in found}
    params = [pytest.param(port, id=port.name, marks=marks[port.name]) for port in found]
    return pytest.mark.parametrize("port", params)


each_port = ports(PORTS)


@each_port
def test_a_driver_keeps_what_is_saved(port: FlashPort, tmp_path: Path) -> None:
    library = port.compiled(tmp_path)
    device = port.stored(library, NBYTES)
    assert device.power_up() == NOTHING_SAVED
    for number in range(1, 6):
        assert device.save(number) == OK
        assert (device.power_up(), device.state) == (OK, number)
    assert device.call("look").slots >= 2
    before = device.flash.operations
    assert device.save(6) == OK
    operations = int(device.flash.operations - before)
    assert device.flash.faults == 0
    assert device.call("forget") == OK
    assert (device.bytes == 0xFF).all()
    cut_all(port, library, operations)


def cut_all(port: FlashPort, library: ctypes.CDLL, operations: int) -> None:
    """Power fails in each operation of a save, at most in a hundred of them."""
    ends = set()
    for operation in range(1, operations + 1, max(1, operations // 100)):
        device = port.stored(library, NBYTES, operation)
        assert device.save(1) == OK
        device.cut(operation, 128)
        device.save(2)
        assert device.power_up() == OK
        ends.add(device.state)
        assert device.save(3) == OK
        assert (device.power_up(), device.state) == (OK, 3)
        assert device.flash.faults == 0
    assert ends <= {1, 2} and 1 in ends


@pytest.mark.exhaustive
@pytest.mark.parametrize("port", [p for p in PORTS if p.symbols], ids=lambda port: port.name)
def test_flash_that_the_firmware_takes_is_left_alone(port: FlashPort, tmp_path: Path) -> None:
    first = port.symbols[0][0]
    library = port.compiled(tmp_path, **{first: port.begin - 0xFF})
    device = port.stored(library, NBYTES)
    assert device.save(1) == RANGE
    assert device.flash.operations == 0


@pytest.mark.board
@pytest.mark.parametrize(
    ("source", "core"),
    [("ports/rp2040/flash.c", "cortex-m0plus"), ("ports/nrf52/flash.c", "cortex-m4")],
)
def test_a_driver_compiles_for_its_core(source: str, core: str, tmp_path: Path) -> None:
    """With the registers and the ROM that the stand-ins replace."""
    command = [
        "arm-none-eabi-gcc", "-std=c11", f"-mcpu={core}", "-mthumb", "-O2", "-Wall", "-Wextra",
        "-Wconversion", "-Wno-sign-conversion", "-Werror", "-ffreestanding", "-DMCT_HAS_FLASH",
        f"-I{FIRMWARE}", "-c", str(FIRMWARE / source), "-o", str(tmp_path / "flash.o"),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr

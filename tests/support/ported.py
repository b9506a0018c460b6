# SPDX-License-Identifier: Apache-2.0
"""The firmware of a real board as a process on this computer: its port as it is, compiled with
stand-ins for the framework that it calls."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mcutrain.host.building.source import generate
from mcutrain.host.defaults import BAUD
from mcutrain.host.real_boards import RealBoard
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.native import IN_C, SANITIZERS, WARNINGS, kernel_library
from tests.support.paths import FIRMWARE, ROOT

STAND_INS = ROOT / "tests" / "support" / "stand_ins"
CXX_WARNINGS = [
    "-std=c++17", "-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion",
    "-Wno-sign-conversion", "-Wdouble-promotion", "-Werror",
]  # fmt: skip
COMMON = ["-O1", "-g", IN_C, *SANITIZERS, "-pthread"]
MAIN = FIRMWARE / "runtime" / "main.c"


@dataclass(frozen=True)
class Port:
    """A port, the stand-in that it is compiled with, and what the build defines."""

    source: str
    stand_in: str
    defines: tuple[str, ...] = ()

    @property
    def has_own_main(self) -> bool:
        return not self.source.startswith("stm32cube")

    def flags(self, payload: int) -> list[str]:
        folder = (STAND_INS / self.stand_in).parent
        macros = (f"MCT_LINK_PAYLOAD={payload}", f"MCT_LINK_BAUD={BAUD}", *self.defines)
        return [
            f"-I{FIRMWARE}",
            f"-I{self.path.parent}",
            f"-I{folder}",
            f"-I{STAND_INS}",
            *(f"-D{each}" for each in macros),
        ]

    @property
    def path(self) -> Path:
        return FIRMWARE / "ports" / self.source


ARDUINO = Port("arduino/port.cpp", "arduino/core.cpp", ("SERIAL_RX_BUFFER_SIZE=2048",))
ARDUINO_ESP32 = Port("arduino/port.cpp", "arduino/core.cpp", ("ESP32", "CONFIG_FREERTOS_UNICORE=1"))
# A host that does not read for longer than the port waits: its first replies are lost.
ARDUINO_DEAF = Port(
    "arduino/port.cpp", "arduino/core.cpp", (*ARDUINO_ESP32.defines, "STAND_IN_DEAF_MS=2500")
)
ESPIDF_UART = Port("espidf/port.c", "espidf/idf.c")
ESPIDF_USB = Port("espidf/port.c", "espidf/idf.c", ("CONFIG_ESP_CONSOLE_USB_SERIAL_JTAG=1",))


def stm32cube(board: str) -> Port:
    return Port("stm32cube/port.c", "stm32cube/hal.c", (f"MCT_STM32_BOARD={board}",))


def port_of(board: RealBoard) -> Port:
    """The port that the board's environment of platformio.ini takes."""
    if board.framework == "stm32cube":
        return stm32cube(board.name)
    return ARDUINO_ESP32 if board.platform == "espressif32" else ARDUINO


def compiled(
    port: Port, payload: int, source: Path, *more: str
) -> subprocess.CompletedProcess[str]:
    """The run of the compiler, with the project's warnings as errors."""
    is_cxx = source.suffix == ".cpp"
    compiler = ["g++", *CXX_WARNINGS] if is_cxx else ["gcc", *WARNINGS]
    command = [*compiler, *COMMON, *port.flags(payload), *more, "-c", str(source)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def build_ported(port: Port, board: RealBoard, plan: TrainingPlan, folder: Path) -> Path:
    """A process that serves ``plan`` as the board would, by the port's own code."""
    generate(plan, folder, board.id)
    payload = plan.chip.payload_bytes
    runtime = sorted(
        {*(FIRMWARE / "runtime").glob("*.c")} - ({MAIN} if port.has_own_main else set())
    )
    sources = [
        *runtime, folder / f"{plan.name}.c", port.path,
        *(FIRMWARE / "mct" / name for name in ("alive.c", "crc32.c")),
        STAND_INS / "line.c", STAND_INS / port.stand_in,
    ]  # fmt: skip
    objects = []
    for source in sources:
        made = folder / f"{source.parent.name}-{source.stem}.o"
        done = compiled(port, payload, source, "-iquote", str(folder), "-o", str(made))
        assert done.returncode == 0, done.stderr
        objects.append(str(made))
    elf = folder / "firmware.elf"
    archive = str(kernel_library())
    subprocess.run(["g++", *SANITIZERS, "-pthread", *objects, archive, "-o", str(elf)], check=True)
    return elf


@contextmanager
def running(elf: Path) -> Iterator[str]:
    """The path of the process's line. Fails if it has ended by itself, with what it said."""
    process = subprocess.Popen([elf], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        yield port
        assert process.poll() is None
    finally:
        has_ended = process.poll() is not None
        process.kill()
        said = process.communicate()[1]
        assert not has_ended, f"{elf} ended: {said}"

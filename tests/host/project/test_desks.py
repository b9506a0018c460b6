# SPDX-License-Identifier: Apache-2.0
"""Projects for boards on a desk: all sources that the board's environment compiles, as a process
on this computer, with stand-ins for the framework. They learn, and a host attaches."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import serial

from mcutrain.host.project.environments import ports_filter
from mcutrain.host.project.signal import SAMPLES, STEPS
from mcutrain.host.real_boards import real_board, real_board_names
from tests.support.command import AT_A_RATE, Run
from tests.support.native import IN_C, SANITIZERS, WARNINGS
from tests.support.ported import CXX_WARNINGS, STAND_INS, port_of
from tests.support.projects import expected_digest
from tests.support.small_models import write_dataset

# Somebody at the buttons, who lets the model see, holds one after the other, and lets go.
BUTTONS = """
#include <Arduino.h>
enum { SEEN_BEFORE = 20, TAUGHT = 40 };
static int samples;
void pinMode(uint8_t pin, uint8_t mode)
{
    (void)pin;
    (void)mode;
}
int digitalRead(uint8_t pin)
{
    samples += pin == 2;
    int taught = samples - 1 - SEEN_BEFORE;
    return taught >= 0 && taught < TAUGHT && taught % 2 == pin - 2 ? LOW : HIGH;
}
"""


# Of ST's HAL: a millisecond passes with each look at the clock.
TICKS = """
#include <stdint.h>
uint32_t HAL_GetTick(void);
uint32_t HAL_GetTick(void)
{
    static uint32_t ms;
    return ms++;
}
"""


# A script that has no board, and what only the chip's compiler takes: what a fault leaves, and its
# flash, which a project without a store does not use (test_flash_ports.py has that).
OF_THE_CHIP = ("board_script", "fault", "flash")


def own_sources(project: Path, name: str) -> list[Path]:
    """What the board's environment compiles of src/, and what stands in for its author."""
    is_arduino = real_board(name).framework == "arduino"
    author = project / ("buttons.cpp" if is_arduino else "ticks.c")
    author.write_text(BUTTONS if is_arduino else TICKS)
    ports = re.findall(r"\+<ports/([^>]+)>", ports_filter(name))  # folders, and files alone
    here = [project / "src" / "ports" / port for port in ports]
    found = [*(project / "src").glob("*.c*")]
    found += [path for port in here for path in (port.glob("*.c*") if port.is_dir() else [port])]
    return [*(path for path in found if path.stem not in OF_THE_CHIP), author]


def flags_of(project: Path, name: str) -> list[str]:
    folders = (project / "src", *(project / "lib").glob("*/src"), project / "lib" / "sensor")
    is_arduino = ["-DARDUINO"] if real_board(name).framework == "arduino" else []
    own = [f"-I{folder}" for folder in folders]
    return [*own, *is_arduino, "-DMCT_OWN_LOOP", *port_of(real_board(name)).flags(1024)]


def compile_one(source: Path, *flags: str) -> None:
    """With the project's warnings as errors; what a file alone calls has no prototype."""
    compiler = ["g++", *CXX_WARNINGS] if source.suffix == ".cpp" else ["gcc", *WARNINGS]
    own = [] if source.suffix == ".cpp" else ["-Wno-missing-prototypes"]
    done = subprocess.run(
        [*compiler, *own, *flags, str(source)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def compiled(project: Path, name: str) -> Path:
    """The program of the project's firmware."""
    stand_ins = [STAND_INS / "line.c", STAND_INS / port_of(real_board(name)).stand_in]
    sources = [*own_sources(project, name), *(project / "lib").rglob("*.c"), *stand_ins]
    flags = [*flags_of(project, name), *SANITIZERS, "-pthread", IN_C, "-O1", "-c"]
    objects = [project / f"{number}.o" for number in range(len(sources))]
    for source, made in zip(sources, objects, strict=True):
        compile_one(source, *flags, "-o", str(made))
    program = project / "firmware"
    subprocess.run(["g++", *SANITIZERS, "-pthread", *objects, "-o", program], check=True)
    return program


@contextmanager
def running(program: Path) -> Iterator[str]:
    """The serial port of a program."""
    with subprocess.Popen([program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.kill()


@pytest.mark.slow
@pytest.mark.exhaustive
@pytest.mark.parametrize("name", real_board_names())
def test_the_project_of_a_board_learns_and_serves(
    name: str, run: Run, model: Path, tmp_path: Path
) -> None:
    project = tmp_path / "p"
    asked = ("--update", "full")
    run("new", project, "--model", model, "--board", f"board:{name}", *asked)
    for board_file in (project / "src").glob("board_*"):  # a sample each millisecond
        text = board_file.read_text(encoding="utf-8")
        board_file.write_text(text.replace("PERIOD_MS = 100", "PERIOD_MS = 1"), encoding="utf-8")
    program = compiled(project, name)
    with running(program) as port, serial.Serial(port, timeout=60) as line:
        # Opening a line drops what was said before: the first line, or none.
        said = [line.readline().decode().strip() for _ in range(SAMPLES + STEPS + SAMPLES)]

    last = [text for text in said if text.startswith("learned")][-1]
    assert last == f"learned class 1, step {STEPS}, digest {expected_digest(project)}"
    assert sum(text.startswith("I see") for text in said) >= SAMPLES
    data = write_dataset(tmp_path / "data.npz")
    with running(program) as port:
        trained = run(
            "train", model, "--data", data, *asked, "--port", port, *AT_A_RATE, "--no-guard",
            "--steps", 2, "--fresh", "--verify", "--json",
        )  # fmt: skip

    assert trained.json["verified_steps"] == 2


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pico", "nucleo_f446re"])
def test_the_users_own_files_compile_for_each_framework(
    name: str, run: Run, model: Path, tmp_path: Path
) -> None:
    run("new", tmp_path / "p", "--model", model, "--board", f"board:{name}", "--update", "full")
    sources = own_sources(tmp_path / "p", name)
    for source in sources:
        compile_one(source, *flags_of(tmp_path / "p", name), "-fsyntax-only")

    assert {"main", "port"} < {source.stem for source in sources}

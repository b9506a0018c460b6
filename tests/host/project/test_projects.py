# SPDX-License-Identifier: Apache-2.0
"""Projects that `mcutrain new` made build, test themselves, run, learn, and let a host attach."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from mcutrain.host.places import EXAMPLES
from mcutrain.host.simulation.simulator import simulate
from tests.support.command import AT_A_RATE, Run
from tests.support.projects import expected_digest, pio
from tests.support.simulated_boards import board_param
from tests.support.small_models import write_dataset

CASES = [
    board_param("mps2_an386", "small", ("--update", "full")),
    board_param("microbit", "watch", ("--update", "last:2", "--stream-input"), is_long=True),
    board_param("mps3_an547", "camera", ("--update", "last:2"), is_long=True),
]


def printed(project: Path) -> list[str]:
    """What an emulated board prints, by the command of the project's page, to the script's end."""
    page = (project / "README.md").read_text(encoding="utf-8")
    command = next(line for line in page.splitlines() if line.startswith("qemu-system"))
    lines: list[str] = []
    with subprocess.Popen(
        shlex.split(command), cwd=project, text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        while len(lines) < 1 + 20 + 40 + 20:
            lines.append(process.stdout.readline().strip())
            assert lines[-1], lines
        process.kill()
    return lines


@pytest.mark.slow
@pytest.mark.parametrize(("board", "name", "options"), CASES)
def test_a_project_learns_on_its_board_as_on_this_computer(
    board: str, name: str, options: tuple[str, ...], run: Run, model: Path, tmp_path: Path
) -> None:
    source = model if name == "small" else EXAMPLES / name / f"{name}.tflite"
    project = tmp_path / "my firmware"
    told = run("new", project, "--model", source, "--board", board, *options, "--json").json
    tested = pio(project, "test", "-e", "native")

    assert tested.returncode == 0, tested.stdout + tested.stderr
    assert tested.stdout.count("PASS: ") == 3 and "3 succeeded" in tested.stdout
    built = pio(project, "run")
    assert built.returncode == 0, built.stdout + built.stderr
    assert not re.search(r"\bwarning\b", built.stdout + built.stderr, re.I)
    said = printed(project)
    assert said[60] == f"learned class 1, step 40, digest {expected_digest(project)}"
    right = [bool(re.search(r"class (\d+), .* it is \1$", line)) for line in said]
    assert (sum(right[:21]), sum(right[61:])) == tuple(
        told["made_up_signal"][when] for when in ("before", "after")
    )
    attach(board, project, source, options, run)


def attach(board: str, project: Path, model: Path, options: tuple[str, ...], run: Run) -> None:
    """A host trains the firmware over its port, and verifies each step, though it prints text."""
    data = model.parent / "demo.npz"
    if model.stem == "small":
        write_dataset(data)
    with simulate(board, project / ".pio" / "build" / board / "firmware.elf") as port:
        asked = ("train", model, "--data", data, *options, "--port", port, *AT_A_RATE)
        told = run(*asked, "--no-guard", "--steps", 4, "--fresh", "--verify", "--json").json

    assert told["verified_steps"] == 4


@pytest.mark.slow
@pytest.mark.exhaustive
def test_a_changed_kernel_fails_the_test_of_a_project(
    run: Run, model: Path, tmp_path: Path
) -> None:
    """What that test is worth: an error of one bit in what is learned is seen."""
    project = tmp_path / "p"
    run("new", project, "--model", model, "--update", "full")
    expected = project / "test" / "test_learning" / "expected.h"
    text = expected.read_text()
    digest = f"0x{expected_digest(project):08x}u"
    expected.write_text(text.replace(digest, f"0x{expected_digest(project) ^ 1:08x}u"))
    tested = pio(project, "test", "-e", "native")

    assert tested.returncode == 1
    assert (
        "FAIL: every step is bit for bit the reference's (found 39, expected 40)" in tested.stdout
    )

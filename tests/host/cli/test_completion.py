# SPDX-License-Identifier: Apache-2.0
"""What a shell is offered to complete."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mcutrain.host.boards import board_names, real_board_names
from mcutrain.host.building.cores import CORES
from mcutrain.host.cli import completion
from tests.support.command import Run

SIMULATED = [f"sim:{board}" for board in board_names() if board != "native"]
REAL = [f"board:{board}" for board in real_board_names()]


def offered(shell: str, *words: str) -> list[str]:
    """What the shell is told where the last of the words is being written."""
    environment = {
        **os.environ,
        "_MCUTRAIN_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": "\n".join(["mcutrain", *words]),
        "COMP_CWORD": str(len(words)),
        "_TYPER_COMPLETE_ARGS": " ".join(["mcutrain", *words]),
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    ran = subprocess.run(
        [sys.executable, "-m", "mcutrain"], env=environment, capture_output=True, text=True
    )
    assert ran.stderr == ""
    return [line.partition("\t")[0] for line in ran.stdout.splitlines()]


def test_values_of_options_complete() -> None:
    assert offered("bash", "train", "m.tflite", "--target", "") == [
        "reference", "native", *SIMULATED, *(f"unicorn:{core}" for core in CORES), *REAL,
    ]  # fmt: skip
    assert offered("fish", "plan", "--update", "last:") == ["last:2", "last:3"]
    assert "train" in offered("bash", "tr")


def test_bash_splits_words_at_colons_and_gets_what_stands_behind_them() -> None:
    words = ("build", "m.tflite", "--target", "sim", ":", "mps2_an386")

    assert offered("bash", *words) == ["mps2_an386"]
    assert offered("bash", *words[:-1]) == [name.removeprefix("sim:") for name in SIMULATED]


@pytest.mark.parametrize(
    ("option", "value"),
    [("weights", "int8.8"), ("errors", "e8"), ("loss", "mse"), ("optimize", "size")],
)
def test_each_closed_set_of_values_is_known(option: str, value: str, run: Run) -> None:
    from typer.main import get_command

    from mcutrain.host.cli.app import app

    command = get_command(app).commands["plan"]  # type: ignore[attr-defined]
    (param,) = [p for p in command.params if p.name == option]
    items = param.shell_complete(command.make_context("plan", [], resilient_parsing=True), "")

    assert value in [item.value for item in items]


def test_ports_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    from mcutrain.host.cli import ports

    monkeypatch.setattr(ports, "port_names", lambda: ["/dev/ttyACM0", "/dev/ttyUSB1"])

    assert completion.ports("/dev/ttyU") == ["/dev/ttyUSB1"]


def test_a_completion_is_installed(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "HOME": str(tmp_path),
        "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1",
    }
    ran = subprocess.run(
        [sys.executable, "-m", "mcutrain", "--install-completion", "bash"],
        env=environment, capture_output=True, text=True,
    )  # fmt: skip

    assert ran.returncode == 0, ran.stderr
    script = (tmp_path / ".bash_completions" / "mcutrain.sh").read_text()
    assert "_MCUTRAIN_COMPLETE=complete_bash" in script

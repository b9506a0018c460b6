# SPDX-License-Identifier: Apache-2.0
"""Running what the tutorials print."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT


def file_name(block: str) -> str:
    """What a Python block is to be saved as: its first line says so."""
    found = re.match(r"# (\w+\.py)\n", block)
    assert found, f"this block does not begin with its file's name:\n{block}"
    return found[1]


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the commands of the tutorials: of this Python, and of the code under test.

    What an environment has installed as `mcutrain` may be another checkout, which changes
    meanwhile.
    """
    folder = tmp_path_factory.mktemp("commands")
    for name, arguments in (
        ("python", ""), ("mcutrain", "-m mcutrain"), ("pio", "-m platformio"),
    ):  # fmt: skip
        file = folder / name
        file.write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
        file.chmod(0o755)
    return folder


def printed_by(command: str, folder: Path, commands: Path) -> str:
    """What a shell block prints; it must succeed."""
    path = os.pathsep.join([str(commands), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "COLUMNS": "160"}
    ran = subprocess.run(
        ["sh", "-e", "-c", command], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert ran.returncode == 0, f"{command}\n{ran.stdout}\n{ran.stderr}"
    return ran.stdout


def figures(printed: str, name: str) -> list[str]:
    """The value in each row of that name of the tables of `train`."""
    return re.findall(rf"{name}\s*│\s*(\S+)", printed)

# SPDX-License-Identifier: Apache-2.0
"""A core installation could not run any command: the ELF reader was imported at the start."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.paths import ROOT

PROGRAM = """
import sys
from importlib.abc import MetaPathFinder


class Core(MetaPathFinder):
    def find_spec(self, name, *rest):
        if name.split(".")[0] in {extra!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)


sys.meta_path.insert(0, Core())
sys.argv = ["mcutrain", {command!r}, "--help"]
from mcutrain.host.cli.app import main

main()
"""
EXTRA = ("elftools", "platformio", "SCons", "matplotlib", "jinja2", "optuna", "tflite_micro")


@pytest.mark.parametrize("command", ["inspect", "plan", "generate", "train", "build"])
def test_the_commands_start_without_the_extras(command: str) -> None:
    program = PROGRAM.format(extra=EXTRA, command=command)
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)

    assert ran.returncode == 0, ran.stderr
    assert command in ran.stdout

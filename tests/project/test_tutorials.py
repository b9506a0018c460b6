# SPDX-License-Identifier: Apache-2.0
"""The tutorial that needs nothing but mcutrain runs as it is printed, from its first block on."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mcutrain.host.training.dataset import load_dataset
from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import load
from tests.support.documents import blocks
from tests.support.paths import ROOT

DATA = ROOT / "docs" / "data.md"
OWN = ROOT / "docs" / "tutorials" / "own.md"
MODEL = ROOT / "docs" / "guides" / "model.md"


def file_name(block: str) -> str:
    """What a Python block is to be saved as: its first line says so."""
    found = re.match(r"# (\w+\.py)\n", block)
    assert found, f"this block does not begin with its file's name:\n{block}"
    return found[1]


def without_check(command: str) -> str:
    """The lines that need tflite-micro fall away, as the tutorial says."""
    return "".join(
        line for line in command.splitlines(True) if not line.startswith("mcutrain check")
    )


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the commands of the tutorials: of this Python, and of the code under test.

    What an environment has installed as `mcutrain` may be another checkout, which changes
    meanwhile.
    """
    folder = tmp_path_factory.mktemp("commands")
    for name, arguments in (("python", ""), ("mcutrain", "-m mcutrain")):
        file = folder / name
        file.write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
        file.chmod(0o755)
    return folder


def run(command: str, folder: Path, commands: Path) -> str:
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


@pytest.fixture(scope="module")
def has_micro() -> bool:
    try:
        import tflite_micro  # noqa: F401
    except ImportError:
        return False
    return True


@pytest.mark.slow
def test_our_own_model_learns_on_the_device(
    tmp_path: Path, has_micro: bool, commands: Path
) -> None:
    printed = ""
    for language, block in blocks(OWN):
        if language == "python":
            (tmp_path / file_name(block)).write_text(block, encoding="utf-8")
        else:
            printed += run(block if has_micro else without_check(block), tmp_path, commands)
    before, after = (
        [float(value) for value in figures(printed, f"accuracy {when}")]
        for when in ("before", "after")
    )
    text = OWN.read_text(encoding="utf-8")
    told = re.search(r"from 25 to about (\d+) %", text)

    assert before == [25.0, 25.0]
    # 100 samples; sums of floats differ between processors in their last bits, and so, after
    # training, do a few int8 weights: five of the samples may fall otherwise.
    assert told is not None and abs(after[0] - int(told[1])) <= 5
    assert after[1] > 75
    assert figures(printed, "verified steps") == ["480", "480"]
    assert printed.count(" 0 differ") == 2 * has_micro
    exported = Interpreter(make_plan(load(tmp_path / "mine.tflite"), PlanOptions("head")))
    data = load_dataset(tmp_path / "user.npz", exported.plan)
    right = np.mean(
        [exported.predict(x) == y for x, y in zip(data.x_test, data.y_test, strict=True)]
    )
    assert round(100 * right, 1) == after[0]


@pytest.mark.slow
def test_the_page_about_data_runs_as_it_is_printed(tmp_path: Path, commands: Path) -> None:
    printed = ""
    for language, block in blocks(DATA):
        if language == "python":
            (tmp_path / file_name(block)).write_text(block, encoding="utf-8")
        else:
            printed += run(block, tmp_path, commands)

    assert printed.count("accuracy 100.0 %") == 3  # of images, of a table, of an .npz
    assert "8 of 8 test samples of stripes" in printed
    assert re.search(r"(across|down)/\d\d\.png", printed)  # a worst sample, by its file


@pytest.mark.parametrize("page", [OWN, MODEL], ids=lambda page: page.stem)
def test_what_a_page_saves_is_python_and_is_run(page: Path) -> None:
    found = blocks(page)
    run_there = "".join(block for language, block in found if language == "sh")

    assert {language for language, _ in found} == {"python", "sh"}
    for language, block in found:
        if language == "python":
            compile(block, file_name(block), "exec")
            assert f"python {file_name(block)}" in run_there

# SPDX-License-Identifier: Apache-2.0
"""The tutorials of converters, executed: Keras and PyTorch make models, and these learn.

Their packages are an environment of their own (docs/guides/model.md): ``MCUTRAIN_KERAS`` and
``MCUTRAIN_TORCH`` name its Python, unless this Python has them.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.documents import blocks
from tests.support.paths import ROOT
from tests.support.tutorials import commands, figures, file_name, printed_by

__all__ = ["commands"]  # the fixture

MODEL = ROOT / "docs" / "guides" / "model.md"
# By the script that the page prints: its package, and the variable that names a Python
# with it.
CONVERTERS = {
    "make_keras.py": ("tensorflow", "MCUTRAIN_KERAS"),
    "make_torch.py": ("litert_torch", "MCUTRAIN_TORCH"),
}


def python_with(package: str, variable: str) -> str:
    """The Python that has a package; skips if none is known."""
    if named := os.environ.get(variable):
        return named
    if importlib.util.find_spec(package) is not None:
        return sys.executable
    pytest.skip(f"{package} is not here: let {variable} name the Python of docs/guides/model.md")


def made_by(python: str, name: str, folder: Path) -> None:
    """Runs the page's script of that name."""
    block = next(block for _, block in blocks(MODEL, "python") if file_name(block) == name)
    (folder / name).write_text(block, encoding="utf-8")
    made = subprocess.run([python, name], cwd=folder, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr[-2000:]


@pytest.mark.exhaustive  # converters take minutes; test_tutorials.py runs the tutorial of NumPy
@pytest.mark.slow
@pytest.mark.parametrize("name", CONVERTERS)
def test_what_a_converter_makes_learns_as_the_page_says(
    name: str, tmp_path: Path, commands: Path
) -> None:
    made_by(python_with(*CONVERTERS[name]), name, tmp_path)
    page = MODEL.read_text(encoding="utf-8")
    told = re.findall(r"from [\d.]+ to ([\d.]+) % with the", page)
    wanted = dict(zip(CONVERTERS, map(float, told), strict=True))[name]
    train = next(b for _, b in blocks(MODEL, "sh") if "mcutrain train digits" in b)
    printed = printed_by(train, tmp_path, commands)
    after = float(figures(printed, "accuracy after")[0])

    assert printed.count(", 0 differ") == 2
    assert figures(printed, "verified steps") == ["4,000"]
    # Floats of another processor round otherwise, and so do the weights that they are made into.
    assert after == pytest.approx(wanted, abs=5)


@pytest.mark.exhaustive
@pytest.mark.slow
def test_the_autoencoder_of_keras_learns_a_new_normal(tmp_path: Path, commands: Path) -> None:
    name = "make_keras.py"
    made_by(python_with(*CONVERTERS[name]), name, tmp_path)
    train = next(b for _, b in blocks(MODEL, "sh") if "mcutrain train normal" in b)
    printed = printed_by(train, tmp_path, commands)
    before, after = (float(figures(printed, f"mse {when}")[0]) for when in ("before", "after"))

    assert after < 0.9 * before
    assert figures(printed, "verified steps") == ["2,000"]

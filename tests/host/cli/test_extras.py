# SPDX-License-Identifier: Apache-2.0
"""A command that misses an optional package says in one line which, and leaves nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.fresh import environment, fresh, hiding
from tests.support.paths import ROOT, WATCH

MODEL, DATA = WATCH / "watch.tflite", WATCH / "demo.npz"
TRAIN = ("train", MODEL, "--data", DATA, "--steps", 1, "--save", "s.npz")
SEARCH = ("search", MODEL, "--data", DATA, "--sram", "64K", "--trials", 1)
SHRINK = ("shrink", MODEL, "--data", DATA, "--sram", "2K")
VERIFY = ("verify", MODEL, "--data", DATA, "--elf", MODEL)
SIM = ("--target", "sim:mps2_an386")
# What is hidden, the extra that brings it, the command.
CASES = [
    ("platformio", "build", ("build", MODEL)),
    ("SCons", "build", ("build", MODEL, *SIM, "--output", "out")),
    ("elftools", "build", ("build", MODEL)),
    ("platformio", "build", (*TRAIN, "--target", "native")),
    ("elftools", "build", (*TRAIN, *SIM, "--count-instructions")),
    ("platformio", "build", ("plan", MODEL, *SIM, "--html", "plan.html")),
    ("elftools", "build", ("plan", MODEL, *SIM, "--sram", "64K")),
    ("platformio", "build", (*SEARCH, "--target", "native")),
    ("SCons", "build", ("demo",)),
    ("elftools", "build", ("flash", "--elf", MODEL, "--board", "pico", "--tool", "drive")),
    ("platformio", "build", ("flash", MODEL, "--board", "pico", "--wait", 0)),
    ("matplotlib", "report", ("demo",)),
    ("matplotlib", "report", (*TRAIN, "--report", "report.html")),
    ("jinja2", "report", (*TRAIN, "--report", "report.html")),
    ("jinja2", "report", ("plan", MODEL, "--html", "plan.html")),
    ("matplotlib", "report", ("plan", MODEL, "--png", "plan.png")),
    ("matplotlib", "report", (*SEARCH, "--plot", "front.png")),
    ("optuna", "search", SEARCH),
    ("optuna", "search", (*SHRINK, "--search")),
    ("jinja2", "report", (*SHRINK, "--report", "small.html")),
    ("optuna", "search", ("design", "--data", DATA, "--sram", "64K")),
    ("tflite_micro", "check", ("check", MODEL)),
    ("unicorn", "unicorn", VERIFY),
    ("elftools", "unicorn", VERIFY),
    ("unicorn", "unicorn", (*TRAIN, "--target", "unicorn:cortex-m4")),
]
FIRST = {hidden: case for case in reversed(CASES) for hidden in case[:1]}  # of each that is hidden


@pytest.mark.parametrize(
    ("hidden", "extra", "args"),
    [
        pytest.param(*case, marks=() if case in FIRST.values() else pytest.mark.exhaustive)
        for case in CASES
    ],
)
def test_a_missing_extra_is_one_line(
    hidden: str, extra: str, args: tuple[object, ...], tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    ran = fresh(*args, code=hiding(hidden), env=environment(cache), cwd=tmp_path)

    assert (ran.status, ran.out) == (1, "")
    assert ran.err.startswith(f"error: {hidden} is not installed; ")
    assert f"pip install 'mcutrain[{extra}]'" in ran.err
    assert len(ran.err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_pip_knows_the_extras_that_are_named() -> None:
    declared = (ROOT / "pyproject.toml").read_text()

    assert all(f"\n{extra} = [" in declared for _, extra, _ in CASES)

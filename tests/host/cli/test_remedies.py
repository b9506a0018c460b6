# SPDX-License-Identifier: Apache-2.0
"""What a user gets wrong ends in a line that says what to do next."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from mcutrain.host.cli.app import COMMANDS
from tests.support.command import Run
from tests.support.paths import ROOT, WATCH
from tests.support.small_models import float_model

MODEL, DATA = WATCH / "watch.tflite", WATCH / "demo.npz"
NAMES = {command.__name__ for command, *_ in COMMANDS}
TRAIN = ("train", MODEL, "--data")
# The command, and the remedy that its error ends with.
MISTAKES: dict[str, tuple[tuple[object, ...], str]] = {
    "no file": (("plan", "no.tflite"), "give the path of an int8 .tflite file"),
    "not a tflite": (("plan", "text"), "write it with the TensorFlow Lite converter"),
    "a folder": (("plan", "."), "give the path of an int8 .tflite file"),
    "a float model": (("plan", "float.tflite"), "with full-integer quantisation, to int8"),
    "unknown update": (("plan", MODEL, "--update", "lst:2"), "give head, last:K, bias, full"),
    "too many layers": (("plan", MODEL, "--update", "last:9"), "give last:1 to last:4"),
    "no scheme file": (("plan", MODEL, "--update", "no.toml"), "give head, last:K, bias"),
    "unknown board": ((*TRAIN, DATA, "--target", "sim:x"), "give reference, native, sim:"),
    "unknown tensor": (("plan", MODEL, "--from", "x"), "`mcutrain inspect` lists them"),
    "no classes": (("plan", MODEL, "--classes", 0), "give another --classes"),
    "no data": ((*TRAIN, "no.npz"), "give the path of an .npz file"),
    "no data keys": ((*TRAIN, "keys.npz"), "numpy.savez writes them by name"),
    "not an npz": ((*TRAIN, "text"), "numpy.savez writes one"),
    "wrong shape": ((*TRAIN, "shape.npz"), "reshape them"),
    "no sample": ((*TRAIN, "empty.npz"), "give one sample or more"),
    "no rate": ((*TRAIN, DATA, "--lr", "fast"), "give a number from 2^-100 to 255"),
    "no port": ((*TRAIN, DATA, "--port", "/dev/no"), "or see `mcutrain ports`"),
    "busy port": ((*TRAIN, DATA, "--port", "busy"), "another program is using this port; close it"),
    "a wrong state": ((*TRAIN, DATA, "--state", "keys.npz"), "give one that was"),
    "no state": ((*TRAIN, DATA, "--state", "no.npz"), "`mcutrain train --save` wrote"),
    "no folder": ((*TRAIN, DATA, "--save", "no/s.npz"), "create it (mkdir -p)"),
    "a wrong key": (("plan", MODEL, "--config", "wrong.toml"), "did you mean update?"),
    "no config": (("plan", MODEL, "--config", "no.toml"), "give --config FILE, or --no-config"),
    "no firmware": (("build", MODEL, "--target", "reference"), "give --target native or sim:BOARD"),
    "no --sram": (("search", MODEL, "--data", DATA), "Try 'mcutrain search -h' for help."),
    "unknown option": (("plan", MODEL, "--updte", "head"), "Try 'mcutrain plan -h' for help."),
    "unknown command": (("trian", MODEL), "Did you mean 'train'?"),
    "a wrong number": (("plan", MODEL, "--classes", "x"), "Try 'mcutrain plan -h' for help."),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where each file of MISTAKES is as wrong as its name says."""
    x, y = np.zeros((4, 3), np.int8), np.zeros(4, np.int64)
    np.savez(tmp_path / "keys.npz", a=x)
    np.savez(tmp_path / "shape.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    np.savez(tmp_path / "empty.npz", x_train=x[:0], y_train=y[:0], x_test=x, y_test=y)
    (tmp_path / "float.tflite").write_bytes(float_model())
    (tmp_path / "text").write_text("nothing that is a model or an archive")
    (tmp_path / "wrong.toml").write_text("[plan]\nupdte = 'head'\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


@pytest.mark.parametrize("mistake", MISTAKES)
def test_an_error_says_what_to_do(mistake: str, folder: Path, run: Run) -> None:
    command, remedy = MISTAKES[mistake]
    if mistake == "busy port":
        _, child = pty.openpty()
        fcntl.flock(child, fcntl.LOCK_EX)
        command = tuple(os.ttyname(child) if each == "busy" else each for each in command)
    ran = run(*command)

    assert ran.status in (1, 2) and ran.out == ""
    assert remedy in ran.err
    assert "Traceback" not in ran.err
    if ran.status == 1:
        assert ran.err.startswith("error: ") and len(ran.err.splitlines()) == 1
    for name in re.findall(r"mcutrain ([a-z]+)", ran.err):
        assert name in NAMES


def test_what_is_not_installed_is_named_with_its_command(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tflite_micro", None)

    assert "run: pip install 'mcutrain[check]'" in run("check", MODEL).err


@pytest.mark.parametrize("package", ["trainer", "codegen", "host"])
def test_commands_and_options_that_messages_name_exist(package: str) -> None:
    """Of all texts in the sources, not only of those that a test provokes."""
    from typer.main import get_command

    from mcutrain.host.cli.app import app

    commands = get_command(app).commands  # type: ignore[attr-defined]
    options = {o for c in commands.values() for p in c.params for o in (*p.opts, *p.secondary_opts)}
    for path in (ROOT / package).rglob("*.py"):
        text = path.read_text()
        for name, option in re.findall(r"`?mcutrain ([a-z]+)(?: (--[a-z-]+))?`", text):
            assert name in commands, f"{path}: mcutrain {name}"
            assert not option or option in options, f"{path}: {option}"

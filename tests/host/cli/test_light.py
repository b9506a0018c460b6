# SPDX-License-Identifier: Apache-2.0
"""A command loads what it needs: help needs no NumPy, a plan no plotting library."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcutrain.host.cli.app import COMMANDS
from tests.support.fresh import fresh, hiding
from tests.support.paths import WATCH

MODEL, DATA = WATCH / "watch.tflite", WATCH / "demo.npz"
EXTRAS = (
    "matplotlib",
    "jinja2",
    "platformio",
    "SCons",
    "elftools",
    "optuna",
    "tflite_micro",
    "PIL",
    "soundfile",
)
LIBRARIES = ("numpy", "flatbuffers", "tflite", *EXTRAS)
HELP = [(), *((command.__name__,) for command, *_ in COMMANDS)]
# All pages one after another in one process; of the first that loads something the name is told.
PAGES = """
import sys
from mcutrain.host.cli.app import main
for page in {pages}:
    sys.argv[1:] = [*page, "--help"]
    try:
        main()
    except SystemExit as done:
        assert not done.code, page
    loaded = [name for name in {watched} if name in sys.modules]
    if loaded:
        sys.exit(f"{{' '.join(page)}} loaded: {{' '.join(loaded)}}")
"""


def assert_light(*args: object, watched: tuple[str, ...]) -> str:
    ran = fresh(*args, code=hiding(watched=watched))

    assert ran.status == 0, ran.err
    assert "loaded: " not in ran.err
    return ran.out


def test_help_loads_no_library() -> None:
    ran = fresh(code=PAGES.format(pages=HELP, watched=(*LIBRARIES, "rich.progress")))

    assert (ran.status, ran.err) == (0, "")
    assert ran.out.count("Usage") == len(HELP)


def test_neither_do_the_version_ports_and_clean(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MCUTRAIN_CACHE", str(tmp_path))

    assert assert_light("--version", watched=LIBRARIES).startswith("mcutrain ")
    assert "native" in assert_light("ports", watched=LIBRARIES)
    assert "freed 0 bytes" in assert_light("clean", watched=LIBRARIES)


def test_what_needs_no_extra_loads_none(tmp_path: Path) -> None:
    assert_light("inspect", MODEL, watched=EXTRAS)
    assert_light("plan", MODEL, "--update", "last:2", "--sram", "64K", watched=EXTRAS)
    assert_light("generate", MODEL, "--output", tmp_path, watched=EXTRAS)
    assert_light("train", MODEL, "--data", DATA, "--steps", 1, watched=EXTRAS)


def test_the_hook_sees_what_is_loaded() -> None:
    ran = fresh("plan", MODEL, code=hiding(watched=("numpy",)))

    assert ran.err == "loaded: numpy\n"

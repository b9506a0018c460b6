# SPDX-License-Identifier: Apache-2.0
"""The native target where there is no pseudo-terminal, and compilers that pip installs."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from mcutrain.host.building import compilers, target
from mcutrain.host.building.compilers import GCC, cross_compiler, named, native_compiler
from mcutrain.host.building.cores import CORES
from mcutrain.host.building.kernel_archive import KERNEL_FLAGS, native_flags
from mcutrain.host.errors import BuildError
from tests.support.command import Run
from tests.support.paths import WATCH

MODEL, DATA = WATCH / "watch.tflite", WATCH / "demo.npz"


@pytest.mark.board
@pytest.mark.parametrize("system", ["darwin", "win32"])
def test_native_trains_in_this_process_where_no_port_is(
    system: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(target, "sys", SimpleNamespace(platform=system))
    options = ("--update", "last:2", "--steps", 5, "--lr", 0.01, "--no-guard")
    found = run(
        "train", MODEL, "--data", DATA, *options, "--target", "native", "--verify", "--json"
    )
    told = found.json

    assert told["verified_steps"] == 5 and told["bit_exact"]
    assert told["link"] is None and told["cost"]["elf"].endswith("firmware.elf")


def test_the_compiler_of_this_computer_is_the_first_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert native_compiler() == GCC

    for name in ("clang", "ar"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert native_compiler() == named("clang")

    (tmp_path / "clang").unlink()
    monkeypatch.setattr(compilers, "is_there", lambda module: False)
    assert native_compiler() is None

    monkeypatch.setattr(compilers, "is_there", lambda module: module == "ziglang")
    found = native_compiler()
    assert found is not None and found.command[1:4] == ("-m", "ziglang", "cc")


def test_a_core_without_its_compiler_names_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(compilers, "is_there", lambda module: False)
    with pytest.raises(BuildError, match="install arm-none-eabi-gcc, or run: pip install 'mcutr"):
        cross_compiler(CORES["cortex-m4"])


def test_a_flag_that_a_compiler_does_not_know_is_left_out(tmp_path: Path) -> None:
    """As clang for Apple's processors does not know -march=native."""
    gcc = shutil.which("gcc")
    assert native_flags(GCC) == KERNEL_FLAGS
    for known, flag in (("-mcpu=native", "-mcpu=native"), ("-none", None)):
        fussy = tmp_path / f"fussy{known}"
        fussy.write_text(f'#!/bin/sh\n[ "$1" = {known} ] && exit 0\n[ -n "$2" ] && exit 1\n{gcc}\n')
        fussy.chmod(0o755)
        expected = [flag if f == "-march=native" else f for f in KERNEL_FLAGS]
        assert native_flags(named(str(fussy))) == tuple(f for f in expected if f)


@pytest.mark.board
@pytest.mark.slow
def test_zig_compiles_for_a_core_and_for_this_computer(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ziglang", reason="the extra zig is not installed")
    monkeypatch.setenv("PATH", os.fspath(tmp_path))
    for name in ("unicorn:cortex-m4", "unicorn:riscv32"):
        options = ("--update", "last:2", "--steps", 5, "--lr", 0.01, "--no-guard")
        found = run(
            "train", MODEL, "--data", DATA, *options, "--target", name, "--verify", "--json"
        )
        assert found.json["verified_steps"] == 5

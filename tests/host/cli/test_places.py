# SPDX-License-Identifier: Apache-2.0
"""Where nothing can be written: one line says what, where and what to do; nothing is left."""

from __future__ import annotations

import os
import pwd
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import gettempdir

import pytest

from tests.support.command import AT_A_RATE, Ran, Run
from tests.support.fresh import environment, fresh
from tests.support.paths import WATCH

MODEL, DATA = WATCH / "watch.tflite", WATCH / "demo.npz"
LIMITED = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, ({nbytes}, {nbytes}))
from mcutrain.host.cli.app import main
main()
"""


def assert_one_line(ran: Ran, *words: str) -> None:
    assert (ran.status, ran.out) == (1, "")
    assert ran.err.startswith("error: ") and len(ran.err.splitlines()) == 1, ran.err
    assert all(word in ran.err for word in words), ran.err


def test_a_file_that_grows_too_large_is_not_left(tmp_path: Path) -> None:
    code, made = LIMITED.format(nbytes=4096), tmp_path / "gen"
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    ran = fresh("generate", MODEL, "--output", made, code=code)

    assert_one_line(ran, f"cannot write {made / 'src' / 'watch.c'}", "File too large", "ulimit -f")
    assert not made.exists()
    ran = fresh(
        "plan", MODEL, "--png", tmp_path / "a.png", "--html", tmp_path / "a.html", code=code
    )
    assert_one_line(ran, "cannot write", "File too large")
    ran = fresh("build", MODEL, code=code, env=environment(tmp_path / "cache"))
    assert_one_line(ran, "cannot write", str(tmp_path / "cache"), "File too large")
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder]
    try:
        mounted = subprocess.run(command, capture_output=True, text=True)
    except OSError as err:
        pytest.skip(f"nothing can be mounted: {err}")
    if mounted.returncode:
        pytest.skip(f"nothing can be mounted: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_is_one_line(
    small_disk: Path, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)  # where there is room for what was learned
    cache = small_disk / "cache"
    with monkeypatch.context() as patched:
        patched.setenv("MCUTRAIN_CACHE", str(cache))
        ran = run("build", MODEL)
    assert_one_line(ran, "No space left", f"free some space there: {cache}, or {gettempdir()}")

    (small_disk / "filler").write_bytes(bytes(os.statvfs(small_disk).f_bavail * 4096))
    before = sorted(small_disk.rglob("*"))
    assert_one_line(run("generate", MODEL, "-o", small_disk / "gen"), "No space left", "watch.c")
    train = ("train", MODEL, "--data", DATA, "--steps", 1)
    saved = run(*train, "--save", small_disk / "s.npz")
    assert (saved.status, saved.out) == (1, "")
    assert f"cannot write {small_disk / 's.npz'}: No space left" in saved.err.splitlines()[-1]
    assert (tmp_path / "watch-rescued.npz").is_file()
    assert sorted(small_disk.rglob("*")) == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("json", [(), ("--json",)])
def test_an_output_that_is_full_is_one_line(json: tuple[str, ...]) -> None:
    command = f"exec {sys.executable} -m mcutrain plan {MODEL} {' '.join(json)} > /dev/full"
    ran = subprocess.run(
        ["sh", "-c", command], env=environment(), stderr=subprocess.PIPE, text=True
    )
    assert_one_line(Ran(ran.returncode, "", ran.stderr), "No space left")


def test_a_cache_that_is_a_file_is_named(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.write_text("")
    for cache in (file, file / "below"):
        monkeypatch.setenv("MCUTRAIN_CACHE", str(cache))
        assert_one_line(run("build", MODEL), str(cache), "MCUTRAIN_CACHE")
        train = run("train", MODEL, *AT_A_RATE, "--data", DATA, "--target", "native")
        assert train.status == 1
        assert "MCUTRAIN_CACHE" in train.err.splitlines()[-1]
    monkeypatch.setenv("MCUTRAIN_CACHE", str(file))
    assert_one_line(run("clean"), str(file), "MCUTRAIN_CACHE")
    assert file.read_text() == ""


def test_a_user_without_a_home_is_told_of_the_cache(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody(uid: int) -> pwd.struct_passwd:
        raise KeyError(uid)

    for variable in ("HOME", "XDG_CACHE_HOME", "MCUTRAIN_CACHE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    monkeypatch.chdir(tmp_path)

    assert_one_line(run("build", MODEL), "no home folder", "MCUTRAIN_CACHE")
    assert_one_line(run("clean"), "no home folder", "MCUTRAIN_CACHE")
    assert run("generate", MODEL, "-o", tmp_path / "gen").status == 0  # needs no cache
    assert [path.name for path in tmp_path.iterdir()] == ["gen"]


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_folder_of_another_user_is_told(run: Run, tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)

    assert_one_line(run("plan", MODEL, "--png", locked / "a.png"), "folder that can be written")
    assert_one_line(run("generate", MODEL, "-o", locked / "gen"), "cannot write", "this user")
    assert list(locked.iterdir()) == []

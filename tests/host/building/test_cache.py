# SPDX-License-Identifier: Apache-2.0
"""Builds in a cache that others use, that was left in mid-build, or that is emptied."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from mcutrain.host.building.cache import LOCK, clean, entries, lease, prune
from mcutrain.host.building.firmware import read_record
from tests.support.command import AT_A_RATE, Run
from tests.support.fresh import environment, fresh, left_of, processes_with, start
from tests.support.marks import exhaustive
from tests.support.paths import ROOT, WATCH
from tests.support.small_models import residual_model

MODEL, DATA = WATCH / "watch.tflite", WATCH / "demo.npz"
SIM = ("--target", "sim:mps2_an386")
BUILD = ("build", MODEL, "--target", "native", "--json")
# A process that is terminated may clean up; one that is killed cannot: the harder case.
KILLS = pytest.mark.parametrize(
    "kill",
    [
        pytest.param(signal.SIGTERM, id="term", marks=pytest.mark.exhaustive),
        pytest.param(signal.SIGKILL, id="kill"),
    ],
)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of its own."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("MCUTRAIN_CACHE", str(folder))
    return folder


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with the firmware of MODEL in it; to be copied."""
    folder = tmp_path_factory.mktemp("built") / "cache"
    assert fresh(*BUILD, env=environment(folder)).status == 0
    return folder


def costs(built: Any) -> dict[str, Any]:
    """What does not depend on where the cache is."""
    return {key: value for key, value in built.items() if key != "elf"}


def wait_for(text: str, program: str) -> None:
    give_up_at = time.monotonic() + 120
    while not any(program in command for command in processes_with(text).values()):
        assert time.monotonic() < give_up_at, f"{program} was never started"
        time.sleep(0.02)


@KILLS
@pytest.mark.exhaustive
def test_a_killed_build_leaves_no_process_and_heals(
    kill: signal.Signals, cache: Path, built: Path
) -> None:
    env = environment(cache)
    with start(*BUILD, env=env) as process:
        wait_for(str(cache), "cc1")
        process.send_signal(kill)
        assert process.wait() == -kill
        assert left_of(str(cache), patience_s=2) == {}

    unfinished = list((cache / "objects").rglob("unfinished"))
    assert len(unfinished) == 1
    healed, whole = fresh(*BUILD, env=env).json, fresh(*BUILD, env=environment(built)).json
    assert costs(healed) == costs(whole)
    assert Path(healed["elf"]).is_file() and not unfinished[0].exists()


@KILLS
def test_a_killed_training_leaves_no_simulator(kill: signal.Signals, tmp_path: Path) -> None:
    mark = f"{tmp_path}/mark"  # in the environment of all that is started
    train = ("train", MODEL, *AT_A_RATE, "--data", DATA, *SIM, "--epochs", 1000, "--no-guard")
    with start(*train, env=environment(MARK=mark)) as process:
        wait_for(mark, "qemu-system")
        process.send_signal(kill)
        assert process.wait() == -kill
        assert left_of(mark, patience_s=5) == {}


@pytest.mark.parametrize("name", ["firmware.elf", exhaustive("build.json", ["build.json"])])
def test_a_truncated_firmware_is_built_again(name: str, tmp_path: Path, run: Run) -> None:
    """A firmware that no other test has, in the cache of all: its object files are there."""
    model = shutil.copy(MODEL, tmp_path / f"truncated_{name.replace('.', '_')}.tflite")
    build = ("build", model, "--target", "native", "--json")
    first = run(*build).json
    file = Path(first["elf"]).parent / name
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    assert read_record(file.parent) is None

    assert run(*build).json == first
    assert read_record(file.parent) is not None


@pytest.mark.exhaustive
def test_files_that_platformio_needs_are_made_anew(cache: Path, built: Path, run: Run) -> None:
    shutil.copytree(built, cache)
    files = [path for path in (cache / "pio-core").rglob("*") if path.is_file()]
    assert {"platform.pio-link", "scons.py", "package.json", ".piopm"} <= {f.name for f in files}
    for file in files:
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])

    assert run("build", MODEL, "--update", "last:2", "--target", "native", "--json").status == 0


@pytest.mark.exhaustive
def test_builds_at_the_same_time_do_not_disturb_each_other(
    cache: Path, built: Path, tmp_path: Path
) -> None:
    other = tmp_path / "small.tflite"
    other.write_bytes(residual_model())
    different = ("build", other, "--target", "native", "--json")
    env = environment(cache)
    running = [start(*args, env=env) for args in (BUILD, BUILD, different)]
    said = [process.communicate() for process in running]

    assert [process.returncode for process in running] == [0, 0, 0], said
    first, second, third = (json.loads(out) for out, _ in said)
    assert first == second
    assert Path(first["elf"]).is_file() and Path(third["elf"]).is_file()
    alone = environment(built)
    assert costs(first) == costs(fresh(*BUILD, env=alone).json)
    assert costs(third) == costs(fresh(*different, env=alone).json)


def test_a_compiler_error_is_what_is_shown(cache: Path, tmp_path: Path) -> None:
    """In a package whose kernels do not compile; a file before it is called error.c. Of a kernel
    that the model does not call nothing is said: it is not compiled."""
    shutil.copytree(ROOT / "mcutrain", tmp_path / "mcutrain", ignore=lambda *_: ["__pycache__"])
    for name in ("lstm.c", "softmax_cross_entropy.c"):
        kernel = tmp_path / "mcutrain" / "firmware" / "kernels" / name
        kernel.write_text("int broken(void) { return missing_name; }\n" + kernel.read_text())
    env = environment(cache) | {"PYTHONPATH": str(tmp_path)}
    ran = fresh("build", MODEL, env=env, cwd=tmp_path)

    assert (ran.status, ran.out) == (1, "")
    assert len(ran.err.splitlines()) == 1
    assert "softmax_cross_entropy.c:1:" in ran.err and "missing_name" in ran.err


@pytest.mark.board
@pytest.mark.exhaustive  # tests/project/test_wheel.py has an awkward one as well
def test_the_path_of_the_cache_may_be_awkward(tmp_path: Path) -> None:
    ran = fresh("build", MODEL, *SIM, "--json", env=environment(tmp_path / "Doe, Jäne's"))

    assert ran.status == 0, ran.err


@pytest.mark.parametrize("name", ["a$b", "a%b", 'a"b', "a\nb", "a\\b"])
def test_a_cache_that_cannot_be_built_in_is_refused(
    name: str, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MCUTRAIN_CACHE", str(tmp_path / name))
    ran = run(*BUILD)

    assert (ran.status, ran.out) == (1, "")
    assert "nothing can be built in" in ran.err and "MCUTRAIN_CACHE" in ran.err
    assert {path.name for path in tmp_path.iterdir()} == {name}


def entry(cache: Path, name: str, nbytes: int) -> Path:
    """A folder that looks like a build's."""
    folder = cache / "firmware" / "native" / name
    with_lock = folder.with_name(name + LOCK)
    folder.mkdir(parents=True)
    with_lock.touch()
    (folder / "firmware.elf").write_bytes(bytes(nbytes))
    return folder


def test_clean_frees_all_but_what_is_in_use(cache: Path, run: Run) -> None:
    used, unused = entry(cache, "used", 300), entry(cache, "unused", 2000)
    held = lease(used, shared=True)
    cleaned = run("clean", "--json").json

    assert cleaned == {"folder": str(cache), "freed_bytes": 2000, "kept": [str(used)]}
    assert used.is_dir() and not unused.exists()
    told = run("clean").out.splitlines()
    assert told == [f"freed 0 bytes in {cache}", f"kept {used}: another process uses it"]
    held.release()
    assert run("clean").out == f"freed 300 bytes in {cache}\n"
    assert not cache.exists()


def test_clean_takes_no_empty_folder_out_of_one_that_is_in_use(cache: Path) -> None:
    used = entry(cache, "used", 300)
    (used / "made" / "now").mkdir(parents=True)
    held = lease(used)
    clean()

    assert (used / "made" / "now").is_dir()
    held.release()


def test_a_cache_that_is_emptied_meanwhile_is_made_again(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, made = Path.mkdir, []

    def mkdir(path: Path, *args: Any, **kwargs: Any) -> None:
        make(path, *args, **kwargs)
        if path.name == "native" and not made:
            made.append(path)
            path.rmdir()

    monkeypatch.setattr(Path, "mkdir", mkdir)
    lease(cache / "firmware" / "native" / "one", waits=False).release()

    assert len(made) == 1 and (made[0] / f"one{LOCK}").is_file()


def test_clean_leaves_what_is_not_ours(cache: Path) -> None:
    entry(cache, "build", 10)
    (cache / "notes.txt").write_text("mine")

    assert clean().freed_bytes == 10
    assert [path.name for path in cache.iterdir()] == ["notes.txt"]


def test_a_folder_that_goes_while_all_are_listed_is_left_out(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process prunes, too."""
    kept = entry(cache, "kept", 10)
    gone = kept.with_name("deep") / "gone"
    gone.mkdir(parents=True)
    gone.with_name("gone" + LOCK).touch()
    listed = os.scandir

    def vanishing(path: Any) -> Any:
        if str(path) == str(gone.parent):
            monkeypatch.setattr(os, "scandir", listed)
            shutil.rmtree(gone.parent)
        return listed(path)

    monkeypatch.setattr(os, "scandir", vanishing)
    assert [found.folder for found in entries()] == [kept]
    assert not gone.exists()


def test_what_was_used_longest_ago_goes_first(cache: Path) -> None:
    folders = [entry(cache, name, 100) for name in ("first", "second", "third")]
    for k, folder in enumerate(folders):
        os.utime(folder, (k, k))
    assert [found.folder for found in entries()] == folders
    prune(200)
    assert [folder.exists() for folder in folders] == [False, True, True]


def test_a_folder_is_locked_by_one_process_at_a_time(cache: Path) -> None:
    folder = cache / "firmware" / "one"
    held = lease(folder)
    with pytest.raises(BlockingIOError):
        lease(folder, waits=False)
    with pytest.raises(BlockingIOError):
        lease(folder, shared=True, waits=False)
    held.release()
    shared = [lease(folder, shared=True, waits=False) for _ in range(2)]
    with pytest.raises(BlockingIOError):
        lease(folder, waits=False)
    for each in shared:
        each.release()

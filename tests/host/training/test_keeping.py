# SPDX-License-Identifier: Apache-2.0
"""What was learned is in its file first, and whole, whatever happens then."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mcutrain.host import files
from mcutrain.host.errors import TransportError
from mcutrain.host.files import write_whole
from mcutrain.host.show import training_page
from mcutrain.host.training import loop
from mcutrain.host.training.runners import ReferenceRunner
from mcutrain.trainer.errors import Error
from tests.support.command import AT_A_RATE, Run
from tests.support.fresh import environment, fresh, start
from tests.support.guarded import samples, with_validation, write
from tests.support.small_models import residual_model, write_dataset

PATIENCE_S = 60.0


@pytest.fixture
def inputs(tmp_path: Path) -> list[object]:
    model = tmp_path / "m.tflite"
    model.write_bytes(residual_model())
    return ["train", model, *AT_A_RATE, "--data", write_dataset(tmp_path / "d.npz", per_class=12)]


def judged_by(guard: str, tmp_path: Path) -> list[object]:
    """The guard's option; with the guard also a data set that has validation samples."""
    if guard == "--no-guard":
        return [guard]
    return [guard, "--data", write(tmp_path / "v.npz", with_validation(samples()))]


def steps_in(path: Path) -> int:
    with np.load(path) as saved:
        return int(saved["sgd"][1])


# A command that says on standard error when it has taken some steps.
TELLING = """
import sys
from mcutrain.host.training import run
train = run.train
def telling(plan, data, runner, options, report, *rest):
    def told(progress):
        report(progress)
        if progress.phase == "train" and progress.done == 60:
            sys.stderr.write("\\nREADY\\n")
            sys.stderr.flush()
    return train(plan, data, runner, options, told, *rest)
run.train = telling
from mcutrain.host.cli.app import main
main()
"""


def until_ready(process: subprocess.Popen[str]) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if line == "READY\n":
            return
    raise AssertionError("it has ended by itself")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "status", "guard"),
    [(signal.SIGINT, 130, "--no-guard"), (signal.SIGTERM, 143, "--no-guard"),
     (signal.SIGHUP, 129, "--guard")],
)  # fmt: skip
def test_a_signal_keeps_what_was_learned_and_says_how_to_go_on(
    number: int, status: int, guard: str, inputs: list[object], tmp_path: Path, run: Run
) -> None:
    saved = tmp_path / "a state.npz"
    args = (*inputs, *judged_by(guard, tmp_path), "--epochs", 400, "--patience", 0, "--save", saved)
    with start(*args, env=environment(), code=TELLING) as process:
        until_ready(process)
        process.send_signal(number)
        _, said = process.communicate(timeout=PATIENCE_S)

    assert process.returncode == status, said
    steps = steps_in(saved)
    assert steps in (0, 40, 80, 120) if guard == "--guard" else steps >= 60
    last = said.splitlines()[-1]
    assert last.startswith("go on with: mcutrain train ")
    again = shlex.split(last.removeprefix("go on with: mcutrain "))
    found = run(*again, "--epochs", 1, "--no-guard", "--json").json
    with np.load(tmp_path / "a state-2.npz") as learned:
        assert learned["sgd"][1] == steps + found["steps"]


def test_a_run_that_was_only_exported_goes_on_from_the_model(
    inputs: list[object], tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported = tmp_path / "e.tflite"
    whole = loop.run_steps

    def stopped(*args: Any) -> None:
        whole(*args)
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(loop, "run_steps", stopped)
    args = ("--update", "last:2", "--classes", 5, "--spare-classes", 1, "--errors", "e8")
    ran = run(*inputs, *args, "--epochs", 3, "--no-guard", "--export", exported)
    monkeypatch.setattr(loop, "run_steps", whole)

    assert ran.status == 143
    again = shlex.split(ran.err.splitlines()[-1].removeprefix("go on with: mcutrain "))
    assert again[:2] == ["train", str(exported)] and "--update" not in again
    assert str(tmp_path / "e-2.tflite") in again
    found = run(*again, "--json").json
    assert (found["update"], found["cost"]["formats"]["errors"]) == ("last:2", "e8")


def test_the_learned_is_in_its_file_before_the_report_fails(
    inputs: list[object], tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved, exported, report = (tmp_path / n for n in ("s.npz", "e.tflite", "r.html"))
    monkeypatch.setattr(training_page, "page", lambda outcomes: full("r.html"))
    ran = run(
        *inputs,
        "--no-guard",
        "--save",
        saved,
        "--export",
        exported,
        "--report",
        report,
        "--epochs",
        1,
    )

    assert ran.status == 1 and "No space left" in ran.err
    assert steps_in(saved) == 48 and exported.is_file() and not report.exists()


def full(name: str) -> str:
    raise OSError(28, "No space left on device", name)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB, full but for 8 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder]
    try:
        mounted = subprocess.run(command, capture_output=True, text=True)
    except OSError as err:
        pytest.skip(f"nothing can be mounted: {err}")
    if mounted.returncode:
        pytest.skip(f"nothing can be mounted: {mounted.stderr.strip()}")
    (folder / "filler").write_bytes(bytes(os.statvfs(folder).f_bavail * 4096 - 8192))
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_loses_the_report_not_the_training(
    small_disk: Path, inputs: list[object], run: Run
) -> None:
    saved, report = small_disk / "s.npz", small_disk / "r.html"
    ran = run(*inputs, "--no-guard", "--epochs", 1, "--report", report, "--save", saved)

    assert ran.status == 1 and f"cannot write {report}: No space left" in ran.err
    assert steps_in(saved) == 48
    assert sorted(p.name for p in small_disk.iterdir()) == ["filler", "s.npz"]


def test_one_file_that_cannot_be_written_does_not_cost_the_other(
    inputs: list[object], tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = files.write_synced

    def no_room(path: Path, data: bytes) -> None:
        write(path, data[:99])
        if ".npz" in path.name:
            full(str(path))
        write(path, data)

    monkeypatch.setattr(files, "write_synced", no_room)
    saved, exported = tmp_path / "s.npz", tmp_path / "e.tflite"
    ran = run(*inputs, "--epochs", 1, "--save", saved, "--export", exported)

    assert ran.status == 1 and f"cannot write {saved}: No space left" in ran.err
    assert exported.is_file() and not saved.exists()
    assert not list(tmp_path.glob("s.npz*"))


@pytest.mark.parametrize(("guard", "steps"), [("--guard", (0, 40, 80)), ("--no-guard", (96,))])
def test_a_link_that_is_lost_leaves_the_best_weights(
    guard: str, steps: tuple[int, ...], inputs: list[object], tmp_path: Path, run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Or, where nothing judges them, those of the last epoch that has ended."""
    step, taken = ReferenceRunner.step, 0

    def unplugged(self: ReferenceRunner, *args: Any) -> Any:
        nonlocal taken
        taken += 1
        if taken > 100:
            raise TransportError("the port has gone")
        return step(self, *args)

    monkeypatch.setattr(ReferenceRunner, "step", unplugged)
    saved = tmp_path / "s.npz"
    args = (*inputs, *judged_by(guard, tmp_path), "--latents", "off", "--epochs", 5)
    ran = run(*args, "--update", "full", "--save", saved)

    assert ran.status == 1 and ran.err.splitlines()[-1] == "error: the port has gone"
    assert "the weights so far were kept; go on with: mcutrain train" in ran.err
    assert steps_in(saved) in steps


@pytest.mark.slow
def test_a_killed_write_leaves_no_half_file(tmp_path: Path) -> None:
    """Killed at once, whatever it is doing: the file is the old or the new one, always whole."""
    path = tmp_path / "f.bin"
    code = f"""
from pathlib import Path
from mcutrain.host.files import write_whole
print("ready", flush=True)
for k in range(1 << 20):
    write_whole(Path({str(path)!r}), bytes([k % 256]) * (1 << 20))
"""
    for delay in range(4):
        with start(env=environment(), code=code) as process:
            assert process.stdout is not None and process.stdout.readline() == "ready\n"
            while not path.exists():
                time.sleep(0.01)
            time.sleep(0.013 * delay)
            process.kill()
        content = path.read_bytes()
        assert len(content) == 1 << 20 and len(set(content)) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_write_that_the_disk_refuses_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left"):
        files.write_synced(Path("/dev/full"), b"x")
    (tmp_path / "f").mkdir()
    with pytest.raises(Error, match="cannot write"):
        write_whole(tmp_path / "f", b"x")


def test_a_file_too_large_for_the_limit_costs_the_report_alone(
    inputs: list[object], tmp_path: Path
) -> None:
    limited = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (12000, 12000))
from mcutrain.host.cli.app import main
main()
"""
    saved, report = tmp_path / "s.npz", tmp_path / "r.html"
    args = (*inputs, "--no-guard", "--epochs", 1, "--report", report, "--save", saved)
    ran = fresh(*args, code=limited)

    assert ran.status == 1 and "File too large" in ran.err.splitlines()[-1]
    assert steps_in(saved) == 48 and not report.exists()

# SPDX-License-Identifier: Apache-2.0
"""Locks, processes and ports, as this system has them, and as Windows would be asked for them."""

from __future__ import annotations

import importlib.util
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from mcutrain.host.building import cache
from mcutrain.host.link.transport import why_not_open
from mcutrain.host.processes import Said
from mcutrain.host.system import here
from tests.support.fresh import environment, fresh
from tests.support.paths import ROOT, WATCH

FOREVER = [sys.executable, "-c", "input()"]


class WindowsCalls:
    """Notes what is asked of Windows, and answers as it does."""

    def __init__(self) -> None:
        self.locked: list[tuple[int, ...]] = []
        self.jobs: list[str] = []
        self.flags = 0
        self.is_taken = False

    def lock(self, handle: int, kind: int, low: int, high: int, overlapped: object) -> None:
        self.locked.append((kind, low, high))
        if self.is_taken:
            error = sys.modules["pywintypes"].error()
            error.winerror = 33
            raise error

    def set_limits(self, job: object, kind: int, limits: dict[str, dict[str, int]]) -> None:
        self.flags = limits["BasicLimitInformation"]["LimitFlags"]


@pytest.fixture
def calls() -> WindowsCalls:
    return WindowsCalls()


@pytest.fixture
def windows(calls: WindowsCalls, monkeypatch: pytest.MonkeyPatch) -> Any:
    """host/system/windows.py, on modules that take note of what it asks."""
    modules = {
        "msvcrt": {"get_osfhandle": lambda number: 100 + number},
        "pywintypes": {"error": type("error", (Exception,), {"winerror": 0}), "OVERLAPPED": object},
        "win32con": {"LOCKFILE_EXCLUSIVE_LOCK": 2, "LOCKFILE_FAIL_IMMEDIATELY": 1},
        "win32file": {"LockFileEx": calls.lock},
        "winerror": {"ERROR_LOCK_VIOLATION": 33, "ERROR_IO_PENDING": 997},
        "win32job": {
            "JobObjectExtendedLimitInformation": 9,
            "JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE": 0x2000,
            "CreateJobObject": lambda security, name: "job",
            "QueryInformationJobObject": lambda *_: {"BasicLimitInformation": {"LimitFlags": 1}},
            "SetInformationJobObject": calls.set_limits,
            "AssignProcessToJobObject": lambda job, handle: calls.jobs.append(f"{handle} in {job}"),
            "TerminateJobObject": lambda job, status: calls.jobs.append(f"end {job}"),
        },
    }
    for name, values in modules.items():
        module = ModuleType(name)
        vars(module).update(values)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(signal, "SIGBREAK", 21, raising=False)
    monkeypatch.setattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0, raising=False)  # as it must here
    monkeypatch.setattr(subprocess.Popen, "_handle", 7, raising=False)
    spec = importlib.util.spec_from_file_location("feigned", ROOT / "host/system/windows.py")
    assert spec is not None and spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    with monkeypatch.context() as patched:
        patched.setattr(sys, "platform", "win32")
        spec.loader.exec_module(found)
    return found


def test_windows_is_asked_for_locks_of_one_byte(
    windows: Any, calls: WindowsCalls, tmp_path: Path
) -> None:
    with (tmp_path / "lock").open("ab") as file:
        windows.lock(file)
        windows.lock(file, shared=True)
        windows.lock(file, waits=False)
        calls.is_taken = True
        with pytest.raises(BlockingIOError):
            windows.lock(file, shared=True, waits=False)

    assert calls.locked == [(2, 1, 0), (0, 1, 0), (3, 1, 0), (1, 1, 0)]


def test_windows_closes_a_lock_before_it_removes_it(
    windows: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "lock"
    file = path.open("ab")

    def unlink(self: Path, missing_ok: bool = False) -> None:
        assert file.closed
        raise PermissionError("somebody else has opened it")

    monkeypatch.setattr(Path, "unlink", unlink)
    windows.remove_locked(path, file)

    assert path.exists()


def test_windows_ends_a_job_with_its_process(windows: Any, calls: WindowsCalls) -> None:
    process = windows.start(FOREVER, stdin=subprocess.PIPE)
    with pytest.raises(ZeroDivisionError), windows.running(process):
        raise ZeroDivisionError
    process.communicate(b"\n", timeout=60)

    assert calls.flags == 0x2001  # what was set before stays
    assert calls.jobs == ["7 in job", "end job"]


def test_windows_has_signals_of_its_own(windows: Any) -> None:
    assert windows.stop_signals() == (signal.SIGINT, signal.SIGTERM, 21)
    assert windows.port_obstacle("COM3") == 0
    assert windows.HAS_PSEUDO_TERMINALS is False
    with pytest.raises(OSError, match="no such sockets on Windows"):
        windows.connect_local(Path("a"), 1.0)


def test_the_cache_is_emptied_as_on_windows(
    windows: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MCUTRAIN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "system", windows)
    folder = tmp_path / "cache" / "firmware" / "one"
    held = cache.lease(folder, shared=True)
    with cache.filling(folder):
        folder.mkdir()
        (folder / "file").write_bytes(b"1")
    held.release()

    assert cache.clean().kept == ()
    assert not (tmp_path / "cache").exists()


def test_a_port_of_windows_is_told_by_its_words() -> None:
    """pyserial gives no number there."""
    gone = "could not open port 'COM9': FileNotFoundError(2, 'The system cannot find the file')"
    taken = "could not open port 'COM3': PermissionError(13, 'Access is denied.', None, 5)"

    assert "there is no such port" in why_not_open("COM9", OSError(gone))
    assert "another program is using" in why_not_open("COM3", OSError(taken))


@pytest.mark.skipif(sys.platform == "win32", reason="nohup")
def test_a_hang_up_that_is_ignored_stays_so(monkeypatch: pytest.MonkeyPatch) -> None:
    assert here.stop_signals() == (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    monkeypatch.setattr(signal, "getsignal", lambda number: signal.SIG_IGN)
    assert here.stop_signals() == (signal.SIGINT, signal.SIGTERM)


def test_what_a_process_says_comes_in_pieces_and_ends() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", "import os; os.write(1, b'one'); input(); os.write(1, b'two')"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0,
    )  # fmt: skip
    said = Said(process)
    first = said.piece(60.0)

    assert first is not None and first.split() == [b"one"]
    assert said.piece(0.01) is None
    assert process.stdin is not None
    with process.stdin as answer:
        answer.write(b"\n")
    process.wait(60)
    assert said.rest().split() == [b"two"]
    said.close()


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_commands_print_in_the_encodings_of_consoles(encoding: str, tmp_path: Path) -> None:
    """A sign that the encoding does not have would end the command."""
    env = environment(tmp_path) | {"PYTHONIOENCODING": encoding}
    for args in (("plan", "--help"), ("plan", WATCH / "watch.tflite", "--update", "last:2")):
        ran = fresh(*args, env=env, cwd=tmp_path)

        assert (ran.status, ran.err) == (0, "")
        assert "MODEL" in ran.out or "1,104" in ran.out

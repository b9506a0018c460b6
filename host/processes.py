# SPDX-License-Identifier: Apache-2.0
"""Processes that end with the one that started them, however it ends."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
# Its input is a pipe that only this process can write to: reading ends when this process has.
_WATCH = 'read -r _; kill -s KILL -- "-$1"'


def ending_with_parent() -> Callable[[], None]:
    """For ``preexec_fn``: the child gets SIGTERM when this process dies (on Linux)."""
    parent = os.getpid()

    def ask() -> None:
        if _LIBC is not None:
            _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != parent:  # it died before it could be asked for
                os.kill(os.getpid(), signal.SIGTERM)

    return ask


def run_group(
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; standard output and error come together in ``stdout``.

    The command and all that it starts are a group: none of them lives on when this process is
    interrupted, terminated or killed. Raises OSError if the command cannot be started.
    """
    process = subprocess.Popen(
        command,
        env=env,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
        preexec_fn=ending_with_parent(),  # until the group is watched
    )
    with process, watched(process.pid):
        try:
            output, _ = process.communicate()
        except BaseException:
            kill_group(process.pid)
            raise
    return subprocess.CompletedProcess(command, process.returncode, output)


def kill_group(group: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


@contextmanager
def watched(group: int) -> Iterator[None]:
    """In here a shell waits for the end of this process, to kill the group then."""
    shell = subprocess.Popen(
        ["/bin/sh", "-c", _WATCH, "sh", str(group)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        shell.kill()
        shell.wait()
        if shell.stdin is not None:
            shell.stdin.close()

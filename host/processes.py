# SPDX-License-Identifier: Apache-2.0
"""Processes that end with the one that started them, however it ends, and what they say."""

from __future__ import annotations

import queue
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mcutrain.host.system.here import running, start

_PIECE = 4096


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
    process = start(
        command,
        env=env,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    with process, running(process):
        output, _ = process.communicate()
    return subprocess.CompletedProcess(command, process.returncode, output)


class Said:
    """What a process says on its standard output, which a thread reads: waiting for a pipe with a
    limit is not the same on every system."""

    def __init__(self, process: subprocess.Popen[Any]) -> None:
        assert process.stdout is not None
        self._stream = process.stdout
        self._pieces: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def piece(self, timeout_s: float) -> bytes | None:
        """What came next; b"" at the end, None if nothing came within the timeout."""
        try:
            return self._pieces.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def rest(self) -> bytes:
        """All that has not been taken yet, of a process that has ended."""
        self._thread.join(5.0)  # what it has started may hold the pipe open
        found = b""
        while not self._pieces.empty():
            found += self._pieces.get()
        return found

    def close(self) -> None:
        """Close the pipe, when the process has ended and with it the thread. What it has started
        may hold the pipe open: the thread then ends with the last of them."""
        self._thread.join(1.0)
        if not self._thread.is_alive():
            self._stream.close()

    def _read(self) -> None:
        while piece := self._stream.read(_PIECE):
            self._pieces.put(piece)
        self._pieces.put(b"")

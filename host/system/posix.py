# SPDX-License-Identifier: Apache-2.0
"""Linux and macOS. Twin of host/system/windows.py."""

from __future__ import annotations

import sys

if sys.platform != "win32":
    import ctypes
    import errno
    import fcntl
    import os
    import select
    import signal
    import socket
    import subprocess
    import termios
    import tty
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import contextmanager, suppress
    from pathlib import Path
    from typing import IO, Any

    HAS_PSEUDO_TERMINALS = True
    # What pyserial raises for a port that is not there any more; SerialException is an OSError.
    PORT_ERRORS: tuple[type[Exception], ...] = (OSError, TypeError, termios.error)
    _PR_SET_PDEATHSIG = 1
    _LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
    # Its input is a pipe that only this process can write to: reading ends when this process has.
    _WATCH = 'read -r _; kill -s KILL -- "-$1"'

    def stop_signals() -> tuple[signal.Signals, ...]:
        """The signals that ask to stop; a hang-up that is ignored, as behind nohup, is none."""
        asked = signal.SIGINT, signal.SIGTERM
        is_ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        return asked if is_ignored else (*asked, signal.SIGHUP)

    @contextmanager
    def key_presses() -> Iterator[Callable[[], str]]:
        """In here the terminal shows no keys; the function gives one that was pressed since it was
        asked last, or "". Raises OSError where standard input is no terminal."""
        stream = sys.stdin.fileno()
        try:
            before = termios.tcgetattr(stream)
        except termios.error as err:
            raise OSError(*err.args) from err
        tty.setcbreak(stream)

        def pressed() -> str:
            is_there = bool(select.select([stream], [], [], 0)[0])
            return os.read(stream, 1).decode("ascii", "replace") if is_there else ""

        try:
            yield pressed
        finally:
            termios.tcsetattr(stream, termios.TCSADRAIN, before)

    def port_obstacle(port: str) -> int:
        """The errno of what keeps this user from a serial port, which is not opened; 0 for none."""
        if not Path(port).exists():
            return errno.ENOENT
        return 0 if os.access(port, os.R_OK | os.W_OK) else errno.EACCES

    def lock(file: IO[Any], *, shared: bool = False, waits: bool = True) -> None:
        """Lock an open file until it is closed. Raises BlockingIOError if another has it, and this
        one does not wait."""
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        fcntl.flock(file, kind | (0 if waits else fcntl.LOCK_NB))

    def remove_locked(path: Path, file: IO[Any]) -> None:
        """Remove a lock's file, which is open and locked alone, and close it."""
        try:
            path.unlink(missing_ok=True)
        finally:
            file.close()

    def start(command: Sequence[str | Path], **options: Any) -> subprocess.Popen[Any]:
        """Start a process in a group of its own, which a terminal's Ctrl-C does not reach. It ends
        when this process has, at once on Linux; ``running`` sees to its group. Raises OSError."""
        return subprocess.Popen(
            command,
            start_new_session=True,
            preexec_fn=_ending_with_parent(),
            **options,
        )

    @contextmanager
    def running(process: subprocess.Popen[Any]) -> Iterator[None]:
        """In here the group of a started process is killed with this process; and where this
        context is left by an exception. A shell waits for the end of this process."""
        group = process.pid
        shell = subprocess.Popen(
            ["/bin/sh", "-c", _WATCH, "sh", str(group)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            yield
        except BaseException:
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
            raise
        finally:
            shell.kill()
            shell.wait()
            if shell.stdin is not None:
                shell.stdin.close()

    def connect_local(path: Path, timeout_s: float) -> socket.socket:
        """A connection to the socket at a path. Raises OSError."""
        link = socket.socket(socket.AF_UNIX)
        try:
            link.settimeout(timeout_s)
            link.connect(str(path))
        except BaseException:
            link.close()
            raise
        return link

    def _ending_with_parent() -> Callable[[], None]:
        """For ``preexec_fn``: the child gets SIGTERM when this process dies (on Linux)."""
        parent = os.getpid()

        def ask() -> None:
            if _LIBC is not None:
                _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
                if os.getppid() != parent:  # it died before it could be asked for
                    os.kill(os.getpid(), signal.SIGTERM)

        return ask

    def others_may_read(path: Path) -> bool:
        """Whether a file's mode lets others than its owner read it."""
        return bool(path.stat().st_mode & 0o077)

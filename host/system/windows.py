# SPDX-License-Identifier: Apache-2.0
"""Windows. Twin of host/system/posix.py."""

from __future__ import annotations

import sys

if sys.platform == "win32":
    import msvcrt
    import signal
    import socket
    import subprocess
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import contextmanager, suppress
    from pathlib import Path
    from typing import IO, Any

    import pywintypes
    import win32con
    import win32file
    import win32job
    import winerror

    HAS_PSEUDO_TERMINALS = False
    # What pyserial raises for a port that is not there any more; SerialException is an OSError.
    PORT_ERRORS: tuple[type[Exception], ...] = (OSError, TypeError)
    _LOCKED_BYTES = 1  # of a lock's file, from its beginning: locks may lie behind the end

    def stop_signals() -> tuple[signal.Signals, ...]:
        """The signals that ask to stop."""
        return signal.SIGINT, signal.SIGTERM, signal.SIGBREAK

    def port_obstacle(port: str) -> int:
        """A port is no file here: opening it says what keeps this user from it."""
        return 0

    @contextmanager
    def key_presses() -> Iterator[Callable[[], str]]:
        """A function that gives a key that was pressed since it was asked last, or ""."""
        yield lambda: msvcrt.getwch() if msvcrt.kbhit() else ""

    def lock(file: IO[Any], *, shared: bool = False, waits: bool = True) -> None:
        """Lock an open file until it is closed. Raises BlockingIOError if another has it, and this
        one does not wait."""
        kind = 0 if shared else win32con.LOCKFILE_EXCLUSIVE_LOCK
        kind |= 0 if waits else win32con.LOCKFILE_FAIL_IMMEDIATELY
        handle = msvcrt.get_osfhandle(file.fileno())
        try:
            win32file.LockFileEx(handle, kind, _LOCKED_BYTES, 0, pywintypes.OVERLAPPED())
        except pywintypes.error as err:
            if err.winerror in (winerror.ERROR_LOCK_VIOLATION, winerror.ERROR_IO_PENDING):
                raise BlockingIOError(str(err)) from err
            raise OSError(str(err)) from err

    def remove_locked(path: Path, file: IO[Any]) -> None:
        """Remove a lock's file, which is open and locked alone, and close it. An open file cannot
        be removed here; one that somebody else has opened meanwhile stays, and is used on."""
        file.close()
        with suppress(OSError):
            path.unlink(missing_ok=True)

    def connect_local(path: Path, timeout_s: float) -> socket.socket:
        """Raises OSError: what listens at a path elsewhere does not here."""
        raise OSError(f"{path}: there are no such sockets on Windows")

    class _Grouped(subprocess.Popen[Any]):
        """A process in a job, which ends with all that is in it when the last handle is closed."""

        job: Any

    def start(command: Sequence[str | Path], **options: Any) -> subprocess.Popen[Any]:
        """Start a process in a group of its own, which a console's Ctrl-C does not reach. It ends
        when this process has, with all that it has started. Raises OSError."""
        create: Any = win32job.CreateJobObject  # its declaration says that it returns nothing
        job = create(None, "")
        kind = win32job.JobObjectExtendedLimitInformation
        limits = win32job.QueryInformationJobObject(job, kind)
        limits["BasicLimitInformation"]["LimitFlags"] |= win32job.JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE
        win32job.SetInformationJobObject(job, kind, limits)
        flags = subprocess.CREATE_NEW_PROCESS_GROUP
        process = _Grouped(command, creationflags=flags, **options)
        process.job = job
        handle: Any = process  # whose declaration leaves out its handle
        win32job.AssignProcessToJobObject(job, int(handle._handle))
        return process

    @contextmanager
    def running(process: subprocess.Popen[Any]) -> Iterator[None]:
        """In here a started process is killed, with all that it has started, where this context is
        left by an exception."""
        assert isinstance(process, _Grouped)
        try:
            yield
        except BaseException:
            win32job.TerminateJobObject(process.job, 1)
            raise

    def others_may_read(path: Path) -> bool:
        """Files have no modes here: who may read one, its folder says."""
        return False

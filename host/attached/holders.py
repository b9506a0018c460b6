# SPDX-License-Identifier: Apache-2.0
"""Which other program has a port open. To open it once more would take bytes from it, and reset
many a board. Linux tells; elsewhere opening fails, or a lock says so."""

from __future__ import annotations

import os
from pathlib import Path

PROCESSES = Path("/proc")
MAKERS = {"/dev/ptmx", "/dev/pts/ptmx"}  # who has one is the device of a pseudo-terminal
LOCKS = Path("/var/lock")  # UUCP's, which terminal programs leave: LCK..ttyACM0 with a number


def holder_of(port: str) -> str | None:
    """The program that has the port, such as ``minicom (4711)``; None if none is seen."""
    real = os.path.realpath(port)
    for number in held_by(real):
        return f"{name_of(number)} ({number})"
    return None


def held_by(device: str) -> list[int]:
    """The processes that have a device open, but for this one; of other users none is seen but
    by their locks."""
    found = [
        int(process.name)
        for process in (PROCESSES.iterdir() if PROCESSES.is_dir() else ())
        if process.name.isdigit() and int(process.name) != os.getpid() and has_open(process, device)
    ]
    locked = locked_by(LOCKS / f"LCK..{os.path.basename(device)}")
    return found if locked is None else [*found, locked]


def has_open(process: Path, device: str) -> bool:
    try:
        open_files = {os.readlink(each.path) for each in os.scandir(process / "fd")}
    except OSError:  # another user's, or it has ended
        return False
    return device in open_files and not open_files & MAKERS


def locked_by(lock: Path) -> int | None:
    """The number in a lock's file, if such a process runs."""
    try:
        number = int(lock.read_text(encoding="utf-8", errors="replace").split()[0])
    except (OSError, ValueError, IndexError):
        return None
    is_alive = (PROCESSES / str(number)).is_dir()
    return number if is_alive and number != os.getpid() else None


def name_of(number: int) -> str:
    try:
        return (
            (PROCESSES / str(number) / "comm").read_text(encoding="utf-8", errors="replace").strip()
        )
    except OSError:
        return "a program"

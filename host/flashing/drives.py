# SPDX-License-Identifier: Apache-2.0
"""Boards that take a firmware as a file: they are a drive, of their adapter or their bootloader."""

from __future__ import annotations

import errno
import os
import string
from collections.abc import Iterator
from pathlib import Path

from mcutrain.trainer.errors import Error

# Where systems mount what is plugged in: PLACE/LABEL, or PLACE/USER/LABEL.
PLACES = tuple(map(Path, ("/media", "/run/media", "/Volumes", "/mnt")))
INFO, FAILED = "INFO_UF2.TXT", "FAIL.TXT"
# What a write or a close gives where the board has taken all and has gone to run it.
_GONE = (errno.EIO, errno.ENODEV, errno.ENXIO, errno.ENOENT, errno.ENOTCONN, errno.EROFS)


def drive_of(label: str) -> Path | None:
    """Where the drive of this label is mounted; None if it is not."""
    return next((place for place in mounted() if is_drive(place, label)), None)


def mounted() -> Iterator[Path]:
    if os.name == "nt":
        yield from (Path(f"{letter}:/") for letter in string.ascii_uppercase[3:])
        return
    for place in PLACES:
        for below in folders(place):
            yield below
            yield from folders(below)


def folders(place: Path) -> list[Path]:
    try:
        return sorted(each for each in place.iterdir() if each.is_dir())
    except OSError:
        return []


def is_drive(place: Path, label: str) -> bool:
    """Whether this is the drive, by its name or by what a UF2 bootloader says of it."""
    if place.name == label:
        return True
    try:
        return f"Board-ID: {label}" in (place / INFO).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False


def copy_to(drive: Path, name: str, data: bytes) -> None:
    """Write a firmware to a drive. Raises Error if it does not take it."""
    written = 0
    try:
        with (drive / name).open("wb", buffering=0) as file:
            while written < len(data):
                written += file.write(data[written:])
            os.fsync(file.fileno())
    except OSError as error:
        if written == len(data) and error.errno in _GONE:
            return  # it has restarted
        raise Error(
            f"{drive}: {error.strerror or error} after {written:,} of {len(data):,} bytes; plug "
            "the board in again, and try once more"
        ) from error
    if (told := refusal(drive)) is not None:
        raise Error(f"{drive}: the board did not take the firmware: {told}")


def refusal(drive: Path) -> str | None:
    """What the drive says that went wrong, as DAPLink and ST-LINK do; None if nothing did."""
    try:
        lines = (drive / FAILED).read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return None
    return " ".join(line.strip() for line in lines if line.strip()) or FAILED

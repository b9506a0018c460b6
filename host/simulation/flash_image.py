# SPDX-License-Identifier: Apache-2.0
"""Images of a device's flash: files in which what a simulated board has saved outlives its run.

A header of one line says the flash's geometry; its bytes follow, and of each bit whether it is
weak. Twin of firmware/ports/native/flash.c, which makes and checks the native port's images by
itself.
"""

from __future__ import annotations

import os
import re
import stat
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from mcutrain.host.system.here import lock
from mcutrain.trainer.errors import Error

HEADER_BYTES = 128
BEGINNING = b"mcutrain flash image"
SLOT_HEADER = struct.Struct("<4sI8s4I")  # magic, format, meaning, sequence, bytes, erases, CRC-32


@dataclass(frozen=True)
class FlashGeometry:
    """What one erase clears, how many of these there are, and what one program writes."""

    page_bytes: int
    pages: int
    unit_bytes: int

    @property
    def nbytes(self) -> int:
        return self.page_bytes * self.pages

    @property
    def header(self) -> bytes:
        """
        >>> FlashGeometry(64, 64, 1).header.rstrip()
        b'mcutrain flash image 1: 64 pages of 64 bytes, units of 1'
        """
        text = (
            f"{BEGINNING.decode()} 1: {self.pages} pages of {self.page_bytes} bytes, units of "
            f"{self.unit_bytes}"
        )
        return text.encode().ljust(HEADER_BYTES - 1) + b"\n"


def meaning_of(path: Path) -> bytes | None:
    """The numerics hash of the model that saved last in an image, or began to, by the headers of
    its slots (SPEC 4.1); None if there is none. Raises Error if the file cannot be read, or is no
    image."""
    try:
        with path.open("rb") as file:
            told = re.fullmatch(
                rb"mcutrain flash image 1: (\d+) pages of (\d+) bytes, units of \d+\s+",
                file.read(HEADER_BYTES),
            )
            if told is None:
                raise Error(f"{path}: no image of flash: give the file of `train --flash-image`")
            pages, page_bytes = int(told[1]), int(told[2])
            whole = HEADER_BYTES + 2 * pages * page_bytes
            if page_bytes == 0 or whole != os.fstat(file.fileno()).st_size:
                raise Error(f"{path}: an image of flash that is cut, or not whole: give another")
            contents = file.read(pages * page_bytes)
    except OSError as err:
        raise Error(f"{path}: {err.strerror or err}") from err
    found: tuple[int, bytes] | None = None
    for at in range(0, len(contents) - SLOT_HEADER.size, page_bytes):
        magic, _, meaning, sequence, _, _, crc = SLOT_HEADER.unpack_from(contents, at)
        is_header = magic == b"MCTF" and crc == zlib.crc32(contents[at : at + 28])
        # Numbers go around: the newer is the one that the other lies behind.
        if is_header and (found is None or 0 < (sequence - found[0]) % 2**32 < 2**31):
            found = sequence, meaning
    return None if found is None else found[1]


@contextmanager
def held_image(path: Path, geometry: FlashGeometry) -> Iterator[None]:
    """The image is there, is one of this flash, and is this process's alone in here. Raises Error,
    and then leaves the file as it is."""
    try:
        with _opened(path) as file:
            try:
                lock(file, waits=False)
            except BlockingIOError:
                raise Error(
                    f"{path}: another process uses this image of flash: end it, or give another "
                    "file"
                ) from None
            _made(path, file, geometry)
            yield
    except OSError as err:
        raise Error(f"{path}: {err.strerror or err}") from err


def _opened(path: Path) -> IO[bytes]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    file: IO[bytes] = os.fdopen(descriptor, "r+b")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise Error(f"{path}: no file: give the name of one for the image of the flash")
    return file


def _made(path: Path, file: IO[Any], geometry: FlashGeometry) -> None:
    """Give an empty file its bytes, and check any other."""
    found, whole = os.fstat(file.fileno()).st_size, HEADER_BYTES + 2 * geometry.nbytes
    header = file.read(HEADER_BYTES)
    if found == 0 or (found == whole and header[:1] == b"\0"):  # one whose making was cut
        try:
            # All at once, so that a full disk is seen now; the header last.
            file.seek(HEADER_BYTES)
            file.write(b"\xff" * geometry.nbytes + bytes(geometry.nbytes))
            file.flush()
            file.seek(0)
            file.write(geometry.header)
            file.flush()
        except OSError:
            file.truncate(0)
            path.unlink()
            raise
        return
    if header.startswith(BEGINNING) and header.endswith(b"\n") and header != geometry.header:
        told = header.decode(errors="replace").strip()
        raise Error(f"{path}: an image of other flash ({told}): give another file")
    if header != geometry.header:
        raise Error(f"{path}: no image of flash, and left as it is: give another file")
    if found != whole:
        raise Error(
            f"{path}: a damaged image of flash: it has {found} bytes of {whole}, and is left as it "
            "is: give another file"
        )

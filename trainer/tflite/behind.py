# SPDX-License-Identifier: Apache-2.0
"""What tools pack behind a model in its file: a zip, of labels for example (TFLite metadata).

A zip is found from its end, and says where its members lie by their distance from the beginning of
the file. So it must stay the last part of a file, and its offsets follow if the model before it
grows.
"""

from __future__ import annotations

import io
import struct
import zipfile

END, CENTRAL, END_64, LOCATOR_64 = b"PK\x05\x06", b"PK\x01\x02", b"PK\x06\x06", b"PK\x06\x07"
UNKNOWN = 0xFFFFFFFF  # the number stands in an extra field, as 64 bits
ZIP_64_FIELD = 1


def split(data: bytes) -> tuple[bytes, bytes]:
    """The model, and the zip behind it; b"" if there is none."""
    if END not in data[-(1 << 16) - 22 :]:
        return data, b""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as found:
            members = [info.header_offset for info in found.infolist()]
            start = min([*members, found.start_dir])
    except (zipfile.BadZipFile, ValueError, NotImplementedError, struct.error, OSError):
        return data, b""
    return (data[:start], data[start:]) if start > 0 else (data, b"")


def moved(packed: bytes, old: int, new: int) -> bytes:
    """The zip, which began at ``old`` of its file, for one where it begins at ``new``.

    One whose offsets are from its own beginning stays as it is.
    """
    end = packed.rfind(END)
    if end < 0:
        return packed
    count, nbytes, at = struct.unpack_from("<H2I", packed, end + 10)
    changed, central = bytearray(packed), end - nbytes
    if packed[end - 20 : end - 16] == LOCATOR_64:
        (record,) = struct.unpack_from("<Q", packed, end - 12)
        if record < old:
            return packed
        struct.pack_into("<Q", changed, end - 12, record - old + new)
        count, nbytes, at = struct.unpack_from("<3Q", packed, record - old + 32)
        struct.pack_into("<Q", changed, record - old + 48, at - old + new)
        central = record - old - nbytes
    if at != central + old:
        return packed
    if struct.unpack_from("<I", packed, end + 16)[0] != UNKNOWN:
        struct.pack_into("<I", changed, end + 16, at - old + new)
    for _ in range(count):
        central = member_moved(changed, central, new - old)
    return bytes(changed)


def member_moved(packed: bytearray, entry: int, distance: int) -> int:
    """Change where a member of the central directory lies; where the next entry begins."""
    sizes = struct.unpack_from("<2I", packed, entry + 20)
    name, extra, comment = struct.unpack_from("<3H", packed, entry + 28)
    (offset,) = struct.unpack_from("<I", packed, entry + 42)
    behind: int = entry + 46 + name + extra + comment
    if offset != UNKNOWN:
        struct.pack_into("<I", packed, entry + 42, offset + distance)
        return behind
    field, end = entry + 46 + name, entry + 46 + name + extra
    while field < end:
        kind, nbytes = struct.unpack_from("<2H", packed, field)
        if kind == ZIP_64_FIELD:
            at = field + 4 + 8 * sizes.count(UNKNOWN)
            (offset,) = struct.unpack_from("<Q", packed, at)
            struct.pack_into("<Q", packed, at, offset + distance)
        field += 4 + nbytes
    return behind

# SPDX-License-Identifier: Apache-2.0
"""Checksums that a chip's boot asks for, written into a linked program: `checksums.py NAME ELF`."""

import struct
import sys

_CRC_POLYNOMIAL = 0x04C11DB7


def crc32_of_rp2040(data):
    """The CRC-32 of the RP2040's boot ROM (datasheet 2.8.1.3.1): from all ones, the highest bit
    first, not inverted at the end."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ (_CRC_POLYNOMIAL if crc >> 31 else 0)) & 0xFFFFFFFF
    return crc


def section_of(contents, name):
    """Where a section of a 32-bit little-endian ELF file lies in it: offset and size."""
    (table,) = struct.unpack_from("<I", contents, 32)  # e_shoff
    size, count, names_index = struct.unpack_from("<3H", contents, 46)
    # name, type, flags, address, offset, size, ...
    headers = [struct.unpack_from("<6I", contents, table + n * size) for n in range(count)]
    names_at = headers[names_index][4]
    for header in headers:
        at = names_at + header[0]
        if contents[at : contents.index(0, at)] == name.encode():
            return header[4], header[5]
    raise ValueError(f"the program has no section {name}")


def write_rp2040_boot2(path):
    """Put into the last 4 bytes of the section .boot2 the CRC of those before them."""
    with open(path, "r+b") as file:
        contents = file.read()
        offset, size = section_of(contents, ".boot2")
        checked = contents[offset : offset + size - 4]
        file.seek(offset + size - 4)
        file.write(struct.pack("<I", crc32_of_rp2040(checked)))


WRITERS = {"rp2040_boot2": write_rp2040_boot2}

if __name__ == "__main__":
    WRITERS[sys.argv[1]](sys.argv[2])

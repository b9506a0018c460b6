# SPDX-License-Identifier: Apache-2.0
"""A firmware as bytes at addresses, and as the files that tools and drives take."""

from __future__ import annotations

import random
import struct
from contextlib import suppress
from pathlib import Path

import pytest

from mcutrain.host.flashing.image import Image, Segment, hex_line, read_image
from mcutrain.host.flashing.uf2 import uf2
from mcutrain.trainer.errors import ModelError
from tests.support.marks import sampled
from tests.support.small_elf import ARM, RISCV, small_elf

RP2040 = 0xE48BFF56
HASHES = {"watch_numerics_hash": b"numerics", "build_hash.3": b"thebuild"}


def image(path: Path, *args: object, **named: object) -> Image:
    path.write_bytes(small_elf(*args, **named))  # type: ignore[arg-type]
    return read_image(path)


def pages(file: bytes, family: int) -> dict[int, bytes]:
    """What a bootloader would write, read by the specification's rules."""
    found, count = {}, len(file) // 512
    assert len(file) == 512 * count
    for number in range(count):
        block = file[512 * number : 512 * (number + 1)]
        begin, next_, flags, address, nbytes, own, total, kind = struct.unpack_from("<8I", block)
        assert (begin, next_) == (0x0A324655, 0x9E5D5157)
        assert struct.unpack_from("<I", block, 508) == (0x0AB16F30,)
        assert (flags, nbytes, own, total, kind) == (0x2000, 256, number, count, family)
        assert address % 256 == 0 and address not in found
        found[address] = block[32 : 32 + 256]
    return found


def from_hex(text: str) -> dict[int, int]:
    """Bytes by address, read by Intel's rules."""
    found, upper = dict[int, int](), 0
    *lines, last = text.splitlines()
    for line in lines:
        assert line[0] == ":"
        raw = bytes.fromhex(line[1:])
        assert sum(raw) & 0xFF == 0 and len(raw) == raw[0] + 5
        address, data = int.from_bytes(raw[1:3], "big"), raw[4:-1]
        if raw[3] == 4:
            upper = int.from_bytes(data, "big")
        else:
            assert raw[3] == 0 and address + len(data) <= 0x10000
            found |= {(upper << 16) + address + k: byte for k, byte in enumerate(data)}
    assert last == ":00000001FF"
    return found


def test_an_elf_is_read_with_its_hashes(tmp_path: Path) -> None:
    found = image(tmp_path / "f.elf", [(0x10000000, b"code"), (0x10000100, b"data")], ARM, HASHES)

    assert found.machine == "EM_ARM" and found.model == "watch"
    assert (found.numerics_hash, found.build_hash) == (b"numerics", b"thebuild")
    assert found.segments == (
        Segment(0x10000000, b"codenumericsthebuild"),
        Segment(0x10000100, b"data"),
    )
    assert found.nbytes == 24


def test_another_program_has_no_model(tmp_path: Path) -> None:
    found = image(tmp_path / "f.elf", [(0x20400000, b"code")], RISCV)

    assert (found.machine, found.model, found.build_hash) == ("EM_RISCV", None, None)


def test_a_binary_has_erased_flash_in_between(tmp_path: Path) -> None:
    found = image(tmp_path / "f.elf", [(0x08000008, b"two"), (0x08000000, b"one")])

    assert (found.address, found.binary()) == (0x08000000, b"one\xff\xff\xff\xff\xfftwo")
    far = image(tmp_path / "f.elf", [(0, b"one"), (0x60000000, b"two")])
    with pytest.raises(ModelError, match="from 0x0 to 0x60000003, too far apart for one file"):
        far.binary()


@pytest.mark.parametrize("seed", sampled(range(20), 8))
def test_files_hold_what_is_loaded(seed: int, tmp_path: Path) -> None:
    """At any addresses and of any sizes, within a page and beyond the borders of 64 KiB."""
    rng, parts, at = random.Random(seed), [], 0x0800FF00
    for _ in range(rng.randrange(1, 5)):
        at += rng.choice((0, 1, 100, 300, 70000))
        parts.append((at, rng.randbytes(rng.randrange(1, 700))))
        at += len(parts[-1][1])
    found = image(tmp_path / "f.elf", parts)
    wanted = {where + k: byte for where, data in parts for k, byte in enumerate(data)}

    assert from_hex(found.intel_hex()) == wanted
    written = pages(uf2(found.segments, RP2040), RP2040)
    in_pages = {page + k: byte for page, data in written.items() for k, byte in enumerate(data)}
    assert {a: in_pages[a] for a in wanted} == wanted
    assert not any(byte for a, byte in in_pages.items() if a not in wanted)
    assert {a & ~0xFF for a in wanted} == {*written} and [*written] == sorted(written)
    whole = found.binary()
    assert all(whole[a - found.address] == byte for a, byte in wanted.items())


def test_a_line_of_hex_is_intels_own_example() -> None:
    """Hexadecimal Object File Format Specification, 1988: a record of two bytes 0xFFFF."""
    assert hex_line(0, 0x0100, bytes.fromhex("214601360121470136007EFE09D21901")) == (
        ":10010000214601360121470136007EFE09D2190140"
    )
    assert hex_line(4, 0, b"\xff\xff") == ":02000004FFFFFC"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is no ELF file of a firmware"),
        (b"\x7fELF", "is no ELF file of a firmware"),
        (b"MZ" + bytes(100), "is no ELF file of a firmware"),
        (small_elf([(0, b"abcd"), (2, b"efgh")]), "two parts of it overlap at 0x2"),
        (small_elf([(0, b"")]), "loads nothing: give the linked firmware"),
    ],
)
def test_other_files_are_refused_in_one_line(data: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "f.elf").write_bytes(data)
    with pytest.raises(ModelError) as refused:
        read_image(tmp_path / "f.elf")

    assert said in str(refused.value) and len(str(refused.value).splitlines()) == 1


def test_a_damaged_elf_is_refused_or_read(tmp_path: Path) -> None:
    """Whatever bytes are wrong: nothing but a ModelError."""
    whole, rng = small_elf([(0x08000000, bytes(64))], ARM, HASHES), random.Random(3)
    for _ in range(100):
        data = bytearray(whole[: rng.randrange(1, len(whole) + 1)])
        for _ in range(rng.randrange(3)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        (tmp_path / "f.elf").write_bytes(data)
        with suppress(ModelError):
            read_image(tmp_path / "f.elf")

# SPDX-License-Identifier: Apache-2.0
"""mct/sha256.c gives the hashes of FIPS 180-4, however its bytes come."""

from __future__ import annotations

import ctypes
import hashlib
import random

import pytest

from tests.support.hashes import CHash
from tests.support.marks import exhaustive
from tests.support.native import compile_shared
from tests.support.paths import FIRMWARE

# The examples that NIST publishes with FIPS 180-4 (SHA256.pdf and the SHAVS byte vectors).
LONG = b"a" * 1_000_000
PUBLISHED = {
    b"": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    b"abc": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq": (
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
    ),
    b"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqr"
    b"lmnopqrsmnopqrstnopqrstu": (
        "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"
    ),
    b"\xbd": "68325720aabd7c82f30f554b313d0570c95accbb7dc4b5aae11204c08ffe732b",
    LONG: "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0",
}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    folder = tmp_path_factory.mktemp("sha256")
    return compile_shared([FIRMWARE / "mct" / "sha256.c"], [FIRMWARE], folder / "sha256.so")


def hashed(library: ctypes.CDLL, *parts: bytes) -> bytes:
    hash_, out = CHash(), ctypes.create_string_buffer(33)
    ctypes.memset(ctypes.byref(hash_), 0xEE, ctypes.sizeof(hash_))
    out.raw = b"\x5a" * 33
    library.mct_sha256_init(ctypes.byref(hash_))
    for part in parts:
        library.mct_sha256_update(ctypes.byref(hash_), part, len(part))
    library.mct_sha256_final(ctypes.byref(hash_), out)
    assert out.raw[32:] == b"\x5a"
    return out.raw[:32]


@pytest.mark.parametrize(
    "data", [exhaustive(d, [LONG]) for d in PUBLISHED], ids=lambda d: f"{len(d)}-bytes"
)
def test_published_examples(library: ctypes.CDLL, data: bytes) -> None:
    assert hashed(library, data).hex() == PUBLISHED[data]


def test_every_length_around_the_blocks(library: ctypes.CDLL) -> None:
    data = random.Random(1).randbytes(260)
    for length in range(len(data)):
        assert hashed(library, data[:length]) == hashlib.sha256(data[:length]).digest(), length


def test_the_parts_in_which_bytes_come_do_not_matter(library: ctypes.CDLL) -> None:
    rng = random.Random(2)
    for _ in range(200):
        data = rng.randbytes(rng.randrange(1000))
        cuts = sorted(rng.randrange(len(data) + 1) for _ in range(rng.randrange(6)))
        ends = zip([0, *cuts], [*cuts, len(data)], strict=True)

        assert hashed(library, *(data[a:b] for a, b in ends)) == hashlib.sha256(data).digest()

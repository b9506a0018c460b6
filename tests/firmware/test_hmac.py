# SPDX-License-Identifier: Apache-2.0
"""mct/hmac.c gives the codes of RFC 4231."""

from __future__ import annotations

import ctypes
import hashlib
import hmac
import random

import pytest

from tests.support.hashes import CHash
from tests.support.native import compile_shared
from tests.support.paths import FIRMWARE

BLOCK_BYTES = 64
# RFC 4231, 4.2 to 4.8: key, data, the first bytes of the code.
PUBLISHED = {
    "1": (b"\x0b" * 20, b"Hi There",
          "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
    "2": (b"Jefe", b"what do ya want for nothing?",
          "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
    "3": (b"\xaa" * 20, b"\xdd" * 50,
          "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
    "4": (bytes(range(1, 26)), b"\xcd" * 50,
          "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"),
    "5": (b"\x0c" * 20, b"Test With Truncation", "a3b6167473100ee06e0c796c2955552b"),
    "6": (b"\xaa" * 131, b"Test Using Larger Than Block-Size Key - Hash Key First",
          "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"),
    "7": (b"\xaa" * 131, b"This is a test using a larger than block-size key and a larger than "
          b"block-size data. The key needs to be hashed before being used by the HMAC algorithm.",
          "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"),
}  # fmt: skip


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    sources = [FIRMWARE / "mct" / name for name in ("sha256.c", "hmac.c")]
    return compile_shared(sources, [FIRMWARE], tmp_path_factory.mktemp("hmac") / "hmac.so")


def code(library: ctypes.CDLL, key: bytes, *parts: bytes) -> bytes:
    """A key longer than a block is hashed first, as mct/hmac.h says."""
    key = key if len(key) <= BLOCK_BYTES else hashlib.sha256(key).digest()
    hash_, out = CHash(), ctypes.create_string_buffer(32)
    library.mct_hmac_init(ctypes.byref(hash_), key, len(key))
    for part in parts:
        library.mct_sha256_update(ctypes.byref(hash_), part, len(part))
    library.mct_hmac_final(ctypes.byref(hash_), key, len(key), out)
    return out.raw


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_examples(library: ctypes.CDLL, name: str) -> None:
    key, data, expected = PUBLISHED[name]
    found = code(library, key, data)

    assert found.hex().startswith(expected)
    assert found == hmac.digest(key, data, "sha256")


def test_every_length_of_a_key(library: ctypes.CDLL) -> None:
    rng = random.Random(1)
    for nbytes in range(BLOCK_BYTES + 1):
        key, data = rng.randbytes(nbytes), rng.randbytes(nbytes)

        assert code(library, key, data[:7], data[7:]) == hmac.digest(key, data, "sha256"), nbytes

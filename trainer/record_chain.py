# SPDX-License-Identifier: Apache-2.0
"""The chain over all that a device has learned from, for device, reference and audit.

Each step makes an entry of 48 bytes, all numbers little-endian:

offset  bytes
0       16     chain value before the step
16      16     sample hash: of the int8 sample as the device gets it, then of a target that is no
               label; of the latent instead of the sample, where the step began there
32      4      label; 0 where a step takes none
36      4      number of the step, counted from 0 as in ``sgd``
40      1, 1   learning rate: multiplier, shift
42      2      flags: bit 0 the step began at a latent
44      4      classes in use, if the plan has spare ones; else 0

The chain value behind the step is the hash of its entry, and so stands for every entry before it,
too. A hash is the first 16 bytes of a SHA-256. The twin in C is firmware/mct/record_chain.h.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

import numpy as np

from mcutrain.trainer.graph.tensor import Array, DType, Role, Tensor, TensorType

HASH_BYTES = 16
ENTRY = struct.Struct("<16s16sIIBBHI")
ENTRY_BYTES = ENTRY.size
BEGINNING = b"mcutrain record 1"
AT_LATENT = 1  # of the flags


def short_hash(data: bytes) -> bytes:
    """The first 16 bytes of the SHA-256 of ``data``.

    >>> short_hash(b"abc").hex()
    'ba7816bf8f01cfea414140de5dae2223'
    """
    return hashlib.sha256(data).digest()[:HASH_BYTES]


def sample_hash(data: bytes) -> bytes:
    """What an entry says of a sample: ``data`` are its bytes as the device gets them, or those of
    its latent; then, where the loss takes no label and a target is given, those of the target."""
    return short_hash(data)


def begin(numerics_hash: bytes, seed: int, before: bytes = b"") -> bytes:
    """The chain value of a reset, before the first step. ``numerics_hash`` has 8 bytes.

    ``before`` is the chain value in the model file (16 bytes) where training goes on from an export
    of a chained plan: so the chain goes on over the export.
    """
    assert len(numerics_hash) == 8
    assert len(before) in (0, HASH_BYTES)
    return short_hash(BEGINNING + numerics_hash + struct.pack("<I", seed & 0xFFFFFFFF) + before)


@dataclass(frozen=True)
class Entry:
    """What a step learned from, and the chain value before it."""

    before: bytes
    sample_hash: bytes
    label: int
    step: int
    multiplier: int
    shift: int
    flags: int = 0
    classes: int = 0

    def pack(self) -> bytes:
        """The 48 bytes."""
        assert len(self.before) == len(self.sample_hash) == HASH_BYTES
        return ENTRY.pack(
            self.before,
            self.sample_hash,
            self.label,
            self.step,
            self.multiplier,
            self.shift,
            self.flags,
            self.classes,
        )

    @classmethod
    def unpack(cls, raw: bytes) -> Entry:
        """The inverse of ``pack``; ``raw`` has 48 bytes."""
        return cls(*ENTRY.unpack(raw))

    @property
    def began_at_latent(self) -> bool:
        return bool(self.flags & AT_LATENT)

    @property
    def after(self) -> bytes:
        """The chain value behind the step."""
        return short_hash(self.pack())


def advance(
    before: bytes,
    sample_hash: bytes,
    label: int,
    step: int,
    multiplier: int,
    shift: int,
    flags: int = 0,
    classes: int = 0,
) -> bytes:
    """The chain value behind a step, from that before it and the fields of its entry."""
    return Entry(before, sample_hash, label, step, multiplier, shift, flags, classes).after


def chain_tensor() -> Tensor:
    """STATE (16,) u8: the chain value. Its data are that of the export that training goes on from,
    or zeros."""
    data = np.zeros(HASH_BYTES, np.uint8)
    return Tensor("chain", TensorType(data.shape, DType.U8), Role.STATE, data)


def chain_at_reset(chain: Tensor, numerics_hash: bytes, seed: int) -> Array:
    """The value that a reset with ``seed`` gives the tensor."""
    before = b"" if chain.initial is None else chain.initial.tobytes()
    return np.frombuffer(begin(numerics_hash, seed, before), np.uint8).copy()

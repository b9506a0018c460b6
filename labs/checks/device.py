# SPDX-License-Identifier: Apache-2.0
"""The checks of lab 4, deploying and verifying."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from exercise import Hint, exercise, number, result

from mcutrain.trainer.graph.tensor import Array


@exercise
def digest(answer: Any) -> None:
    """digest(parts) -> int: CRC-32 of parts of bytes, one after the other."""
    rng = np.random.default_rng(6)
    for sizes in ((0,), (9,), (3, 70, 1)):
        parts = [rng.integers(0, 256, size).astype(np.uint8).tobytes() for size in sizes]
        found = number(result(answer, parts))
        if found == zlib.crc32(b"".join(parts)):
            continue
        if len(sizes) == 1:
            raise Hint("Already one part is wrong: zlib.crc32 computes its CRC-32.")
        raise Hint("One part is right, several are not: each CRC goes on from the one before.")


@exercise
def located(answer: Any) -> None:
    """located(device, reference) -> (name, index) of the first element that differs, or ()."""
    rng = np.random.default_rng(7)
    for name, index in (("b", 4), ("a", 0), (None, 0)):
        reference = {key: rng.integers(-128, 128, 6).astype(np.int8) for key in "ab"}
        device = {key: value.copy() for key, value in reference.items()}
        if name is not None:
            device[name][index] ^= 1
            device["b"][5] ^= 64
        wanted = () if name is None else (name, index)
        found = result(answer, device, reference)
        if not isinstance(found, tuple | list):
            raise Hint("Your function is to return a name and an index, or an empty tuple.")
        if tuple(found) != wanted:
            raise Hint(
                "Nothing differs there, so return an empty tuple." if name is None
                else "That is not the first element that differs, in the order of the names."
            )  # fmt: skip


@exercise
def tampered(answer: Any, before: Mapping[str, Array], after: Mapping[str, Array]) -> None:
    """The name of the tensor that was changed between two states."""
    if not isinstance(answer, str):
        raise Hint("Give the tensor's name as a text.")
    changed = [name for name in before if not np.array_equal(before[name], after[name])]
    if answer not in before:
        raise Hint(f"There is no tensor of that name. There are {', '.join(before)}.")
    if [answer] != changed:
        raise Hint("This tensor is the same in both. Compare the others.")

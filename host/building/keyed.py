# SPDX-License-Identifier: Apache-2.0
"""What a build with keys has more: they are whole, and nobody else can read what holds them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from mcutrain.host.building.target import Target
from mcutrain.host.errors import BuildError
from mcutrain.host.keys import KeyFileError, Keys, Right

NONCE = "mct_port_nonce"
OTHERS = 0o077  # the modes of a file that are not its owner's


def check_keys(keys: Keys | None, target: Target) -> None:
    """Raises KeyFileError, BuildError for keys that no firmware for the target can have."""
    if keys is None:
        return
    whole(keys)
    if not target.has_link:
        raise BuildError(f"{target.name} has no link that keys could protect: leave --key out")


def whole(keys: Keys) -> list[bytes]:
    """The key of each right, in their order. Raises KeyFileError."""
    if not keys.is_whole:
        raise KeyFileError(
            f"a firmware needs the keys of all rights, and this file has one to {keys.words} "
            "only: build with the file of the master key"
        )
    return [keys.by_right[right] for right in Right]


@contextmanager
def private(keys: Keys | None) -> Iterator[None]:
    """Files that are made in here are for this user alone, if there are keys: a firmware holds
    them, and what it is made of."""
    before = os.umask(0)
    os.umask(before if keys is None else before | OTHERS)
    try:
        yield
    finally:
        os.umask(before)


@contextmanager
def told_of_nonces(target: Target) -> Iterator[None]:
    """Raises BuildError in place of the linker's for a board without a nonce."""
    try:
        yield
    except BuildError as err:
        if NONCE not in str(err):
            raise
        raise BuildError(
            f"{target.name} has nothing that tells one start from all others, so what was said to "
            f"it could be said again: give its port {NONCE} (mct/port_key.h), or leave --key out"
        ) from err

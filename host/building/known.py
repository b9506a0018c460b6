# SPDX-License-Identifier: Apache-2.0
"""Which builds the cache knows, by the hash that a device tells of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mcutrain.host.places import cache_dir
from mcutrain.trainer.errors import Error

FIRMWARE = "firmware"  # the cache's folder: BOARD/MODEL-HASH


@dataclass(frozen=True)
class KnownBuild:
    """A build of this computer."""

    model: str
    board: str
    folder: Path


def known_build(build_hash: bytes) -> KnownBuild | None:
    """The build with this hash; None if the cache has none."""
    try:
        root = cache_dir() / FIRMWARE
    except Error:  # a user without a home folder
        return None
    for folder in sorted(root.glob(f"*/*-{build_hash.hex()}")) if root.is_dir() else ():
        if folder.is_dir():
            return KnownBuild(folder.name.rpartition("-")[0], folder.parent.name, folder)
    return None

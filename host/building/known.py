# SPDX-License-Identifier: Apache-2.0
"""Which builds the cache knows, by the hash that a device tells of."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from mcutrain.host.places import cache_dir
from mcutrain.trainer.errors import Error

FIRMWARE = "firmware"  # the cache's folder: BOARD/MODEL-HASH, and real/BOARD/MODEL-HASH


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
    name = f"*-{build_hash.hex()}"
    for folder in sorted((*root.glob(f"*/{name}"), *root.glob(f"*/*/{name}"))):
        if folder.is_dir():
            board = folder.parent.relative_to(root).as_posix()
            return KnownBuild(folder.name.rpartition("-")[0], board, folder)
    return None


def known_build_of(numerics_hash: bytes, board: str) -> KnownBuild | None:
    """The newest build for a board whose model has this numerics hash; None without one."""
    try:
        found = [*(cache_dir() / FIRMWARE / board).glob("*/gen/*.json")]
        found.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    except (Error, OSError):
        return None
    for path in found:
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            is_it = told["numerics_hash"] == numerics_hash.hex()
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if is_it:
            return KnownBuild(path.stem, board, path.parents[1])
    return None

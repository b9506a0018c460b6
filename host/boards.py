# SPDX-License-Identifier: Apache-2.0
"""The boards there are: firmware/platform/boards/*.json describe each of them."""

from __future__ import annotations

import json
from typing import Any

from mcutrain.host.errors import TransportError
from mcutrain.host.places import BOARDS_DIR
from mcutrain.trainer.chip import FEATURES, Chip, Memory

UNICORN = "unicorn:"  # before the name of a core that is a target without a board
HOST = "host"  # what the native port has for a core


def board_names() -> list[str]:
    """Boards that can be run here, sorted."""
    return sorted(path.stem for path in BOARDS_DIR.glob("*.json"))


def chip_of(board: str) -> Chip:
    """What a plan must know of a board. TransportError if there is no such board, or
    it is described with a feature that no kernel knows."""
    described = board_description(board)
    built, sizes = described["build"], described["upload"]
    if unknown := sorted({*built.get("features", ())} - FEATURES):
        raise TransportError(
            f"{board}.json: no kernels are known for the feature {unknown[0]!r}; known: "
            f"{', '.join(sorted(FEATURES))}"
        )
    beside = tuple(Memory(m["name"], m["bytes"], m["speed"]) for m in built.get("memories", ()))
    return Chip(
        board,
        frozenset(built.get("features", ())),
        int(built.get("word_bytes", 4)),
        int(sizes["maximum_ram_size"]) or None,
        beside,
        int(sizes["maximum_size"]) or None,
        int(built.get("stack_bytes", 0)),
        int(built["link_payload_bytes"]),
    )


def core_of(board: str) -> str | None:
    """The core of a board's chip, such as ``cortex-m4``, or of a core's own; None for the native
    port and for a chip that is no board's."""
    if board.startswith(f"{UNICORN}cortex"):
        return board.removeprefix(UNICORN)
    if board not in board_names():
        return None
    core = board_description(board)["build"].get("mcu", HOST)
    return None if core == HOST else core


def board_description(board: str) -> dict[str, Any]:
    """The board's description; TransportError if there is no such board."""
    path = BOARDS_DIR / f"{board}.json"
    if board not in board_names():
        raise TransportError(f"there is no board {board!r}; known: {', '.join(board_names())}")
    description: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return description

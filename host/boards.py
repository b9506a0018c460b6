# SPDX-License-Identifier: Apache-2.0
"""The boards there are: firmware/platform/boards/*.json describe each of them."""

from __future__ import annotations

import json
from typing import Any

from mcutrain.host.errors import TransportError
from mcutrain.host.places import BOARDS_DIR


def board_names() -> list[str]:
    """Boards that can be run here, sorted."""
    return sorted(path.stem for path in BOARDS_DIR.glob("*.json"))


def board_description(board: str) -> dict[str, Any]:
    """The board's description; TransportError if there is no such board."""
    path = BOARDS_DIR / f"{board}.json"
    if board not in board_names():
        raise TransportError(f"there is no board {board!r}; known: {', '.join(board_names())}")
    description: dict[str, Any] = json.loads(path.read_text())
    return description

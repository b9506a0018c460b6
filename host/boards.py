# SPDX-License-Identifier: Apache-2.0
"""The boards there are: firmware/platform/boards/*.json describe those that run here, and
firmware/platform/real_boards/*.json those on a desk (host/real_boards.py).

Functions here take a board's id: the name of one that runs here, or ``real/NAME``. A chip on a desk
can be simulated under the same name.
"""

from __future__ import annotations

import json
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from mcutrain.host.errors import TransportError
from mcutrain.host.places import BOARDS_DIR, REAL_BOARDS_DIR
from mcutrain.trainer.chip import FEATURES, Chip, Memory

HOST = "host"  # what the native port has for a core
REAL = "real/"  # begins the id of a real board
UNICORN = "unicorn:"  # before the name of a core that is a target without a board


def board_names() -> list[str]:
    """Boards that can be run here, sorted."""
    return sorted(path.stem for path in BOARDS_DIR.glob("*.json"))


def real_board_names() -> list[str]:
    """Boards that a firmware can be made for, and that are not run here, sorted."""
    return sorted(path.stem for path in REAL_BOARDS_DIR.glob("*.json"))


def description_path(board: str) -> Path:
    """The file that describes a board; TransportError if there is no such board."""
    is_real = board.startswith(REAL)
    names, folder = board_names(), BOARDS_DIR
    if is_real:
        names, folder = real_board_names(), REAL_BOARDS_DIR
    name = board.removeprefix(REAL)
    if name not in names:
        kind = "real board" if is_real else "board"
        raise TransportError(
            f"there is no {kind} {name!r}; {near(name, names)}known: {', '.join(names)}"
        )
    return folder / f"{name}.json"


def near(name: str, names: list[str]) -> str:
    """The question that is asked behind a name that is none, if there are some like it.

    >>> near("nucleo_f446", ["pico", "nucleo_f446re"])
    'did you mean nucleo_f446re? '
    """
    found = like(name, names)
    return f"did you mean {' or '.join(found)}? " if found else ""


def like(name: str, names: list[str]) -> list[str]:
    """Those of the names that a mistyped one may stand for, the most alike first."""
    return get_close_matches(name.lower(), names, n=3, cutoff=0.75)


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
        bool(built.get("copies_constants", False)),
    )


def core_of(board: str) -> str | None:
    """The core of a board's chip, such as ``cortex-m4``, of RISC-V its instruction set, or of a
    core's own; None for the native port and for a chip that is no board's."""
    if board.startswith(f"{UNICORN}cortex"):
        return board.removeprefix(UNICORN)
    if board.removeprefix(REAL) not in (*board_names(), *real_board_names()):
        return None
    core = board_description(board)["build"].get("mcu", HOST)
    return None if core == HOST else core


def board_description(board: str) -> dict[str, Any]:
    """The board's description; TransportError if there is no such board."""
    description: dict[str, Any] = json.loads(description_path(board).read_text(encoding="utf-8"))
    return description

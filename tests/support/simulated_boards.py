# SPDX-License-Identifier: Apache-2.0
"""The simulated boards as parameters of a test; one that cannot run here is skipped, with why."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from mcutrain.host.boards import board_names
from mcutrain.host.building.target import NATIVE
from mcutrain.host.cli.ports import simulated

# The code of one of the others on the port of another: benchmarks and budgets run it.
YARDSTICKS = {"mps2_an385_m0"}
# One of each kind of instruction set: what differs little between boards runs on these.
KINDS = {"microbit", "mps2_an386", "mps3_an547", "sifive_e"}
ONE = "mps2_an386"  # of them, for what is the same on all
# Boards with an emulator or a port of their own beside them: each trains once, and its memory is
# counted; make test-all has all other boards.
PORTS = {"atmega1284p", "pico"}
BOARDS = [board for board in board_names() if board not in {NATIVE, *YARDSTICKS}]


def missing(board: str) -> str:
    """What is not installed that the board needs; empty if all is there."""
    names = ", ".join(simulated(board)["missing"])
    return f"{board} needs {names}: run make setup" if names else ""


def board_param(board: str, *values: object, is_long: bool = False) -> object:
    """A parameter set that begins with a board; ``is_long``: only make test-all has it."""
    reason = missing(board)
    marks = [pytest.mark.board, pytest.mark.skipif(bool(reason), reason=reason)]
    marks += [pytest.mark.exhaustive] if is_long else []
    return pytest.param(board, *values, marks=marks)


def boards_of(short: Collection[str]) -> pytest.MarkDecorator:
    """All boards as parameters; only make test-all has those that are not ``short``."""
    params = [board_param(board, is_long=board not in short) for board in BOARDS]
    return pytest.mark.parametrize("board", params)


each_port = boards_of(KINDS | PORTS)
one_board = boards_of({ONE})

# SPDX-License-Identifier: Apache-2.0
"""Trains the smartwatch example on every board that can be run here: the table of docs/boards.md.

`python -m tests.tools.board_matrix` makes the table; with boards as arguments it prints their rows.
A test compares the page with tests/budgets.toml (tests/project/test_board_matrix.py).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from mcutrain.host.boards import board_description, board_names, core_of
from mcutrain.host.building.target import NATIVE
from mcutrain.host.simulation.emulators.known import emulator_of
from tests.support.paths import ROOT, WATCH
from tests.support.simulated_boards import YARDSTICKS

PAGE = ROOT / "docs" / "boards.md"
SCHEME = "last:2"
COLUMNS = (
    "Board", "Core", "Emulator", "RAM", "Flash", "Stack, used of bound", "Steps verified", "A step",
    "Accuracy",
)  # fmt: skip
BEGIN, END = "<!-- made by tests/tools/board_matrix.py -->\n", "<!-- end -->\n"


@dataclass(frozen=True)
class Row:
    """What a run on a board has shown."""

    board: str
    cost: dict[str, Any]
    run: dict[str, Any]

    def cells(self) -> list[str]:
        counts = emulator_of(self.board).counts
        unit = "" if counts is None else counts.value
        stack, bound = self.run["stack_used_bytes"], self.cost["stack_bytes"]
        steps = self.run[f"{unit}_per_step"]
        return [
            f"`sim:{self.board}`",
            core_of(self.board) or "",
            board_description(self.board)["simulation"]["emulator"],
            f"{self.cost['sram_bytes']:,}",
            f"{self.cost['flash_bytes']:,}",
            f"{stack:,} of {bound:,}",
            f"{self.run['verified_steps']} of {self.run['steps']}",
            f"{steps['median']:,} {unit}",
            f"{100 * self.run['accuracy_after']:.1f} %",
        ]


def measured_on(board: str) -> Row:
    """Train on the board, in a process of its own."""
    command = [
        sys.executable, "-m", "mcutrain", "train", str(WATCH / "watch.tflite"),
        "--data", str(WATCH / "demo.npz"), "--update", SCHEME, "--target", f"sim:{board}",
        "--epochs", "10", "--schedule", "step", "--no-guard", "--verify",
        "--count-instructions", "--json",
    ]  # fmt: skip
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, env=os.environ)
    found = json.loads(done.stdout)
    return Row(board, found["cost"], found)


def line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("boards", nargs="*", help="default: all, for the page")
    asked = parser.parse_args().boards
    boards = [b for b in board_names() if b != NATIVE and b not in YARDSTICKS]
    rows = []
    for board in asked or boards:
        rows.append(line(measured_on(board).cells()))
        print(rows[-1], flush=True)
    if not asked:
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
        table = [line(list(COLUMNS)), line(["---"] * len(COLUMNS)), *rows]
        behind = rest.partition(END)[2]
        text = f"{before}{BEGIN}\n" + "\n".join(table) + f"\n\n{END}{behind}"
        PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

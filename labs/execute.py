# SPDX-License-Identifier: Apache-2.0
"""Executes the labs, with the exercises solved or left open, and says how long each takes.

    python labs/execute.py [NAME]... [--open]

MCUTRAIN_SHORT=1 takes their shortened form. The notebooks' files stay as they are.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

LABS = Path(__file__).parent
NAMES = tuple(sorted(path.stem for path in LABS.glob("*.ipynb")))
TIMEOUT_S = 1200  # of a cell


def solutions(name: str) -> dict[str, str]:
    """The code of each exercise's solved cell, by the exercise's name."""
    text = (LABS / "solutions" / f"{name}.py").read_text(encoding="utf-8")
    parts = re.split(r"^# %% (\w+)\n", text, flags=re.MULTILINE)[1:]
    return {each: code.strip("\n") for each, code in zip(parts[::2], parts[1::2], strict=True)}


def read(name: str, solved: bool) -> NotebookNode:
    """A lab's notebook, with its exercises solved if that is asked for."""
    notebook = nbformat.read(LABS / f"{name}.ipynb", as_version=4)
    known = solutions(name) if solved else {}
    for cell in exercises(notebook):
        cell.source = known.get(cell.metadata["exercise"], cell.source)
    return notebook


def exercises(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if "exercise" in cell.metadata]


def execute(name: str, solved: bool = True) -> dict[str, str]:
    """What each exercise of a lab says of its answer, by name. Raises CellExecutionError."""
    notebook = read(name, solved)
    with tempfile.TemporaryDirectory() as folder:
        setup = nbformat.v4.new_code_cell(f"import sys\nsys.path.insert(0, {str(LABS)!r})")
        notebook.cells.insert(0, setup)
        resources = {"metadata": {"path": folder}}  # what a lab writes goes there
        NotebookClient(notebook, timeout=TIMEOUT_S, resources=resources).execute()
    return {cell.metadata["exercise"]: said(cell) for cell in exercises(notebook)}


def said(cell: NotebookNode) -> str:
    """The result of a cell as text."""
    shown = (each.data.get("text/plain", "") for each in cell.outputs if "data" in each)
    return "".join(shown)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("names", nargs="*", help="of labs; by default all")
    parser.add_argument("--open", action="store_true", help="leave the exercises open")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in NAMES]
    if unknown:
        sys.exit(f"error: there is no lab '{unknown[0]}': give {', '.join(NAMES)}")

    for name in arguments.names or NAMES:
        started = time.monotonic()
        try:
            found = execute(name, not arguments.open)
        except CellExecutionError as error:
            sys.exit(f"error: a cell of lab {name} failed:\n{error}")
        wrong = [text for text in found.values() if not text.startswith("✔")]
        print(f"{name}: {time.monotonic() - started:.0f} s, {len(found)} exercises", flush=True)
        if wrong and not arguments.open:
            sys.exit(f"error: lab {name}: {wrong[0]}")


if __name__ == "__main__":
    main()

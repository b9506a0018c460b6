# SPDX-License-Identifier: Apache-2.0
"""Notebooks, as they are executed by tests."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.paths import ROOT

SHORT = "MCUTRAIN_SHORT"  # tells a notebook to take a quick look


def cells(path: Path) -> list[dict[str, Any]]:
    """The cells of a notebook that holds code."""
    found = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in found if cell["cell_type"] == "code"]


def executed(path: Path, output: Path, timeout_s: int = 600) -> list[dict[str, Any]]:
    """The code cells of a notebook with their outputs, as it runs in its own folder; what it writes
    goes to the folder ``output``. Raises what nbclient raises for a cell that fails."""
    import nbformat
    from nbclient import NotebookClient

    book: Any = nbformat.read(path, as_version=4)
    where = {"metadata": {"path": path.parent}}
    with environment(**{SHORT: "1", "MCUTRAIN_OUTPUT": str(output), "PYTHONPATH": python_path()}):
        client = NotebookClient(book, timeout=timeout_s, kernel_name="python3", resources=where)
        client.execute()
    return [cell for cell in book.cells if cell.cell_type == "code"]


def python_path() -> str:
    """So that the kernel imports this checkout."""
    return os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))


@contextmanager
def environment(**values: str) -> Iterator[None]:
    former = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in former.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value

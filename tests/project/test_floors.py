# SPDX-License-Identifier: Apache-2.0
"""What tools/floors.py counts, on a tree that has each fault once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tools.floors import circles, height, import_graph, imports, read_order, unit_graph, upward

FILES = {
    "trainer/low.py": "import numpy",
    "trainer/room/__init__.py": "",
    "trainer/room/first.py": "from mcutrain.trainer import low",
    "trainer/room/second.py": "from mcutrain.trainer.room.first import low",
    "trainer/top.py": "from mcutrain.trainer.room import second\nimport mcutrain.host.other",
    "codegen/__init__.py": "",
    "host/one.py": "from host.two import thing",  # as before one name was installed
    "host/two.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import host.one\n",
}
ORDER = [{"low"}, {"room"}, {"top"}]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_floors_are_the_longest_chain(tree: Path) -> None:
    graph = import_graph(tree, "trainer")

    assert graph["trainer.top"] == {"trainer.room.second"}
    assert height(graph) == 4
    assert unit_graph(graph) == {"low": set(), "room": {"low"}, "top": {"room"}}
    assert height(unit_graph(graph)) == 3


def test_a_circle_of_types_is_one_only_with_types(tree: Path) -> None:
    assert circles(import_graph(tree, "host")) == [{"host.one", "host.two"}]
    assert circles(import_graph(tree, "host", types=False)) == []
    assert height(import_graph(tree, "host")) == 1
    assert height(import_graph(tree, "host", types=False)) == 2


def test_an_import_of_the_same_or_a_higher_floor_is_upward(tree: Path) -> None:
    units = unit_graph(import_graph(tree, "trainer"))

    assert upward(units, ORDER) == []
    assert upward(units, [{"low"}, {"room", "top"}]) == [("top", "room")]
    assert upward(units, [{"room"}, {"low"}, {"top"}]) == [("room", "low")]


def test_an_order_names_each_unit_and_no_other(tree: Path) -> None:
    units = unit_graph(import_graph(tree, "trainer"))
    with pytest.raises(ValueError, match=r"misses \['room'\] and names \['rooms'\]"):
        upward(units, [{"low"}, {"rooms"}, {"top"}])


def test_a_relative_import_is_refused(tree: Path) -> None:
    path = tree / "trainer" / "top.py"
    path.write_text("from . import low\n")
    with pytest.raises(ValueError, match="line 1 imports by a relative name"):
        list(imports(path))


def test_the_table_has_a_line_for_each_package(tree: Path) -> None:
    (tree / "order.py").write_text(f"FLOORS = {{'trainer': {ORDER}}}\n")
    command = [sys.executable, ROOT / "tools" / "floors.py", tree, "--order", tree / "order.py"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()

    assert lines[2:] == [
        "| trainer | 5 | 3 | 3 | 4 | 0 | 0 | 0 | 0 |",
        "| codegen | 1 | 0 | 0 | 1 | 0 | 0 | 0 | – |",
        "| host | 2 | 2 | 2 | 2 | 0 | 1 (of 2) | 1 (of 2) | – |",
    ]


def test_the_order_is_read_from_the_test_of_the_architecture() -> None:
    order = read_order(ROOT / "tests" / "project" / "test_architecture.py")

    assert set(order) == {"trainer", "host"}

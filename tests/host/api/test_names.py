# SPDX-License-Identifier: Apache-2.0
"""The names of ``mcutrain``: all are there, documented and typed, and importing them is light."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import mcutrain
from tests.support.fresh import environment
from tests.support.paths import ROOT

NAMES = sorted(set(mcutrain.__all__) - {"loggers"})


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_there_and_says_what_it_is(name: str) -> None:
    assert inspect.getdoc(getattr(mcutrain, name))


def test_type_checkers_see_what_is_imported_lazily() -> None:
    """The names under TYPE_CHECKING are those that ``__getattr__`` finds, from the same modules."""
    tree = ast.parse((ROOT / "mcutrain" / "__init__.py").read_text())
    checked = {
        alias.name: node.module
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }

    assert checked.pop("loggers") == "mcutrain"
    assert checked == mcutrain._HOMES
    assert sorted(mcutrain.__all__) == sorted([*checked, "loggers"])
    assert (ROOT / "mcutrain" / "py.typed").is_file()


@pytest.mark.parametrize("name", NAMES)
def test_each_method_and_function_says_what_it_does(name: str) -> None:
    value = getattr(mcutrain, name)
    parts = (
        [value] if inspect.isfunction(value) else [v for k, v in vars(value).items() if k[0] != "_"]
    )
    for part in parts:
        if inspect.isfunction(part) or isinstance(part, property):
            assert inspect.getdoc(part), part


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = mcutrain.trian


def test_importing_it_loads_no_library() -> None:
    code = (
        "import mcutrain, sys; dir(mcutrain)\n"
        "print([m for m in sys.modules if m.split('.')[0] in ('numpy', 'rich', 'typer', 'tflite')])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True
    )

    assert ran.stdout == "[]\n"


def test_no_module_of_it_prints_or_reads_arguments() -> None:
    outside = ("mcutrain.host.cli", "rich", "typer")
    for path in Path(ROOT / "host" / "api").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("print", "input"), path
            if isinstance(node, ast.Attribute):
                assert node.attr not in ("argv", "stdout", "stderr"), path
            if isinstance(node, ast.ImportFrom):
                assert not (node.module or "").startswith(outside), path

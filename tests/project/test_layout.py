# SPDX-License-Identifier: Apache-2.0
"""The folders of the tests: modules of tests, what they share, and commands."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.support.paths import ROOT

TESTS = ROOT / "tests"
SOURCES = sorted(TESTS.rglob("*.py"))
NO_TESTS = ("support", "tools", "fuzz", "golden", "vectors")


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def test_nothing_is_imported_from_a_module_of_tests() -> None:
    modules = {".".join(p.relative_to(ROOT).with_suffix("").parts) for p in SOURCES}
    tests = {module for module in modules if module.rpartition(".")[2].startswith("test_")}
    found = {
        (str(path.relative_to(ROOT)), name)
        for path in SOURCES
        for name in imports(path)
        if name in tests or name.rpartition(".")[0] in tests
    }

    assert not found


def test_one_module_knows_where_the_project_lies() -> None:
    found = [path for path in SOURCES if "Path(" + "__file__" in path.read_text(encoding="utf-8")]

    assert found == [TESTS / "support" / "paths.py"]


def test_modules_of_tests_lie_with_their_package() -> None:
    for path in SOURCES:
        folder = path.relative_to(TESTS).parts[0]
        if path.name.startswith("test_"):
            assert folder not in NO_TESTS, path
        elif folder not in NO_TESTS:
            assert path.name in ("__init__.py", "conftest.py"), path

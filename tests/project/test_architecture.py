# SPDX-License-Identifier: Apache-2.0
"""Who may import whom: the only list of it. DESIGN.md draws the same picture."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.paths import ROOT

PACKAGES = {
    "trainer": {"trainer"},
    "codegen": {"codegen", "trainer"},
    # host.building.firmware prints the model that it builds; nothing else of host knows codegen.
    "host": {"host", "trainer"},
}
MAY_PRINT = {"host/building/firmware.py"}
THIRD_PARTY = {
    # tomli stands in for tomllib before Python 3.11.
    "trainer": {"numpy", "flatbuffers", "tflite", "tomli", "tomllib"},
    "codegen": {"numpy"},
}
OURS = {"trainer", "codegen", "host", "tests", "benchmarks"}
# Within trainer each module may import its own layer and those below it.
LAYERS = [
    {"errors", "fixedpoint", "names", "tensor"},
    {"window", "broadcast", "exponential", "replay", "flatbuffer_patch"},
    {"overlap"},
    {"ops", "graph"},
    {"formats", "model", "autodiff", "lifetimes", "tflite_options"},
    {"placement", "schedule", "ring", "region"},
    {"memories", "streaming", "groups", "grouping", "recompute"},
    {"memory"},
    {"parts"},
    {"recompute_search"},
    {"latent", "operator_source", "constant_folding", "file_tensor", "bounds"},
    {"scheme", "losses", "tflite", "tflite_writer", "tflite_patch", "float_net"},
    {"simplify"},
    {"plan", "ptq", "net_builder"},
    {"interpreter"},
    {"training_state", "export", "calibration"},
]


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imports(path: Path, at_run_time: bool = False) -> Iterator[str]:
    """Dotted names of what a module imports; of those under TYPE_CHECKING only on request."""
    tree = ast.parse(path.read_text())
    skipped: set[ast.AST] = set()
    for node in ast.walk(tree):
        if at_run_time and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            skipped.update(inner for statement in node.body for inner in ast.walk(statement))
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"{path}: relative import"
            yield node.module


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_only_what_it_may(package: str) -> None:
    for path in modules(package):
        found = {name.split(".")[0] for name in imports(path)} & OURS
        allowed = PACKAGES[package] | (
            {"codegen"} if str(path.relative_to(ROOT)) in MAY_PRINT else set()
        )

        assert found <= allowed, f"{path.relative_to(ROOT)} imports {found - allowed}"


@pytest.mark.parametrize("package", THIRD_PARTY)
def test_the_trainer_and_codegen_need_little(package: str) -> None:
    for path in modules(package):
        roots = {name.split(".")[0] for name in imports(path)}
        foreign = roots - set(sys.stdlib_module_names) - OURS

        assert foreign <= THIRD_PARTY[package], f"{path.relative_to(ROOT)} imports {foreign}"


def layer_of(module: str) -> int:
    found = [k for k, layer in enumerate(LAYERS) if module in layer]
    assert found, f"trainer/{module}.py is in no layer of this test: say where it belongs"
    return found[0]


def test_the_trainers_modules_import_downward() -> None:
    for path in modules("trainer"):
        parts = path.relative_to(ROOT / "trainer").with_suffix("").parts
        if parts[0] == "__init__":
            continue
        for name in imports(path, at_run_time=True):
            if name.startswith("trainer."):
                other = name.split(".")[1]
                assert layer_of(other) <= layer_of(parts[0]), f"{path.name} imports {name}"


def test_the_trainer_holds_no_c_text() -> None:
    c_text = re.compile(r";\\n|#include|#define|\bint32_t\b|\buint8_t\b|static const|\bmct_\w+\(")
    for path in modules("trainer"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found = c_text.search(node.value)
                assert not found, f"{path.relative_to(ROOT)}:{node.lineno}: {found}"


def test_codegen_knows_no_operator_by_name() -> None:
    for path in modules("codegen"):
        names = [name for name in imports(path) if name.startswith("trainer.ops")]

        assert set(names) <= {"trainer.graph.op"}, path


def test_every_source_file_names_its_licence_first() -> None:
    folders = ("trainer", "codegen", "host", "tests", "firmware")
    for path in (p for folder in folders for p in (ROOT / folder).rglob("*.*")):
        is_source = path.suffix in (".py", ".c", ".h") and path.parent.name != "golden"
        if is_source and path.read_text().strip():
            first = path.read_text().splitlines()[0]

            assert "SPDX-License-Identifier: Apache-2.0" in first, path.relative_to(ROOT)


KERNELS = sorted((ROOT / "firmware" / "kernels").glob("*.[ch]"))


def without_comments(path: Path) -> str:
    return re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.DOTALL)


@pytest.mark.parametrize("path", KERNELS, ids=lambda path: path.name)
def test_kernels_hold_to_their_rules(path: Path) -> None:
    """No heap, no float, no libc but string.h, no check that cannot fail, no other comments."""
    text = without_comments(path)

    assert not re.search(r"\b(float|double|malloc|calloc|free|printf|assert|goto)\b", text)
    assert "//" not in text
    assert set(re.findall(r"#include <(.*)>", text)) <= {
        "stdint.h", "stdbool.h", "stddef.h", "string.h",
    }  # fmt: skip
    assert set(re.findall(r'#include "(\w+)/', text)) <= {"kernels", "mct"}
    named = re.sub(r"MCT_(NAME|UPDATE)\((\w+)\)", r"\2", text)  # kernels/each_error.h
    external = re.findall(
        r"^(?!static\b|MCT_INTO_(?:UPDATES|PARTS)\b|typedef\b|enum\b|#)\w[\w *]*?(\w+)\(",
        named,
        re.MULTILINE,
    )
    assert all(name.startswith("mct_") for name in external), external


@pytest.mark.parametrize("path", [p for p in KERNELS if p.suffix == ".c"], ids=lambda p: p.name)
def test_a_kernel_has_a_header_and_an_operator_of_its_name(path: Path) -> None:
    twin = "trainer/ops/" + path.with_suffix(".py").name

    assert (ROOT / twin).is_file()
    assert f"Twin of {twin}" in path.with_suffix(".h").read_text()

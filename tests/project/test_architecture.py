# SPDX-License-Identifier: Apache-2.0
"""Who may import whom: the only list of it. DESIGN.md draws the same picture."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tools.floors import (
    PACKAGES,
    circles,
    height,
    import_graph,
    imports,
    modules,
    reachable,
    unit_graph,
    unit_of,
    upward,
)

MAY_IMPORT = {
    "trainer": {"trainer"},
    "codegen": {"codegen", "trainer"},
    # These print the models that they build or write; nothing else of host knows codegen.
    "host": {"host", "trainer"},
}
MAY_PRINT = {"host.building.source", "host.building.folder"}
THIRD_PARTY = {
    # tomli stands in for tomllib before Python 3.11.
    "trainer": {"numpy", "flatbuffers", "tflite", "tomli", "tomllib"},
    "codegen": {"numpy"},
}
NOT_INSTALLED = {"trainer", "codegen", "host", "tests", "benchmarks", "tools"}
# The units of a package, folders and modules beside them, from the lowest floor. A unit imports
# itself and lower floors only, for types too. A new one gets the lowest floor that it can have.
FLOORS = {
    "trainer": [
        {"chip", "errors", "fixedpoint", "int4", "notes", "options"},
        {"graph", "replay"},
        {"ops", "planner", "making", "latent", "record_chain"},
        {"formats", "model", "nibbles", "variants"},
        {
            "autodiff",
            "headroom",
            "losses",
            "packing",
            "plan_notes",
            "scheme",
            "sequence",
            "tflite",
            "training_plan",
        },
        {"calibration", "enrolment", "interpreter", "shrinking"},
        {"simplify", "training_state"},
        {"export", "plan"},
    ],
    "host": [
        {
            "defaults",
            "errors",
            "extras",
            "failure",
            "keys",
            "kinds",
            "places",
            "prediction",
            "request",
            "sizes",
            "system",
            "urls",
            "waiting",
        },
        {
            "boards",
            "checking",
            "data",
            "files",
            "link",
            "measure",
            "npz",
            "outputs",
            "processes",
            "told",
        },
        {"real_boards"},
        {"building"},
        {"attached", "cost", "simulation"},
        {"collecting", "flashing", "project", "training"},
        {"budget", "record", "search", "selftest"},
        {"show", "shrinking"},
        {"designing"},
        # What people use, by the shell or by Python: neither needs the other.
        {"api", "cli"},
    ],
}


def ours(name: str) -> str | None:
    """The part of an imported name behind ``mcutrain.``; None if it is not of this project."""
    root, _, rest = name.partition(".")
    return rest if root == "mcutrain" else None


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_only_what_it_may(package: str) -> None:
    for module, path in modules(ROOT, package).items():
        found = {rest.split(".")[0] for name in imports(path) if (rest := ours(name))}
        allowed = MAY_IMPORT[package] | ({"codegen"} if module in MAY_PRINT else set())

        assert found <= allowed, f"{module} imports {found - allowed}"


@pytest.mark.parametrize("package", PACKAGES)
def test_modules_are_imported_by_the_name_that_is_installed(package: str) -> None:
    for module, path in modules(ROOT, package).items():
        found = {name.split(".")[0] for name in imports(path)} & NOT_INSTALLED

        assert not found, f"{module} imports {found}: write mcutrain. in front"


@pytest.mark.parametrize("package", THIRD_PARTY)
def test_the_trainer_and_codegen_need_little(package: str) -> None:
    for module, path in modules(ROOT, package).items():
        roots = {name.split(".")[0] for name in imports(path)}
        foreign = roots - set(sys.stdlib_module_names) - {"mcutrain"}

        assert foreign <= THIRD_PARTY[package], f"{module} imports {foreign}"


@pytest.mark.parametrize("package", FLOORS)
def test_units_import_lower_floors_only(package: str) -> None:
    found = upward(unit_graph(import_graph(ROOT, package)), FLOORS[package])

    assert not found, f"{package}: imports of the same floor or a higher one: {found}"


@pytest.mark.parametrize("package", FLOORS)
def test_no_floor_is_without_need(package: str) -> None:
    units = unit_graph(import_graph(ROOT, package))

    assert len(FLOORS[package]) == height(units), "say the order with fewer floors"


@pytest.mark.parametrize("package", PACKAGES)
def test_no_imports_run_in_a_circle(package: str) -> None:
    """Of modules, so within a unit too; and of units, which may circle where modules do not."""
    graph = import_graph(ROOT, package)

    assert not circles(graph)
    assert not circles(unit_graph(graph))


def test_a_plan_needs_nothing_that_makes_models() -> None:
    needed = reachable(import_graph(ROOT, "trainer"), "trainer.plan")

    assert "planner" in map(unit_of, needed)
    assert "making" not in map(unit_of, needed)


def test_the_trainer_holds_no_c_text() -> None:
    c_text = re.compile(r";\\n|#include|#define|\bint32_t\b|\buint8_t\b|static const|\bmct_\w+\(")
    for module, path in modules(ROOT, "trainer").items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found = c_text.search(node.value)
                assert not found, f"{module}:{node.lineno}: {found}"


def test_codegen_knows_no_operator_by_name() -> None:
    for module, path in modules(ROOT, "codegen").items():
        names = [name for name in imports(path) if (ours(name) or "").startswith("trainer.ops")]

        assert not names, module


def test_every_source_file_names_its_licence_first() -> None:
    folders = (*PACKAGES, "mcutrain", "tests", "tools", "benchmarks", "firmware")
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
    named = re.sub(r"MCT_(NAME|UPDATE|WAY)\((\w+)\)", r"\2", text)  # kernels/each_error.h
    inside = r"static|_Static_assert|MCT_INTO_(?:UPDATES|PARTS)|typedef|enum"
    external = re.findall(rf"^(?!(?:{inside})\b|#)\w[\w *]*?(\w+)\(", named, re.MULTILINE)
    assert all(name.startswith("mct_") for name in external), external


@pytest.mark.parametrize("path", [p for p in KERNELS if p.suffix == ".c"], ids=lambda p: p.name)
def test_a_kernel_has_a_header_and_an_operator_of_its_name(path: Path) -> None:
    twin = "trainer/ops/" + path.with_suffix(".py").name

    assert (ROOT / twin).is_file()
    assert f"Twin of {twin}" in path.with_suffix(".h").read_text()

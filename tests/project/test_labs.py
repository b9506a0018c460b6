# SPDX-License-Identifier: Apache-2.0
"""The labs run, their solutions are right, and what a student may type gets a hint."""

from __future__ import annotations

import ast
import importlib
import json
import re
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import mcutrain
from tests.support.paths import ROOT, WATCH

LABS = ROOT / "labs"
NAMES = ("1_quantisation", "2_memory", "3_scheme", "4_device")


@pytest.fixture(scope="module")
def labs() -> Iterator[dict[str, ModuleType]]:
    """The modules of labs/, by name, as a notebook in that folder imports them."""
    names = ("exercise", "checks", "execute")
    sys.path.insert(0, str(LABS))
    yield {name: importlib.import_module(name) for name in names}
    sys.path.remove(str(LABS))
    for name in names:
        del sys.modules[name]


@pytest.mark.board
@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_solved_lab_is_right(
    name: str, labs: dict[str, ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MCUTRAIN_SHORT", "1")
    found = labs["execute"].execute(name)

    assert len(found) >= 3
    assert all(text.startswith("✔") for text in found.values()), found


@pytest.mark.board
@pytest.mark.slow
@pytest.mark.exhaustive
@pytest.mark.parametrize("name", NAMES)
def test_an_open_lab_runs_to_its_end(
    name: str, labs: dict[str, ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MCUTRAIN_SHORT", "1")
    found = labs["execute"].execute(name, solved=False)

    assert all("Replace the ..." in text or "..." in text for text in found.values()), found
    assert all(text.startswith("✘") for text in found.values()), found


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_committed_without_outputs(name: str) -> None:
    notebook = json.loads((LABS / f"{name}.ipynb").read_text(encoding="utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]

    assert not any(cell["outputs"] or cell["execution_count"] for cell in code)
    assert len({cell["id"] for cell in notebook["cells"]}) == len(notebook["cells"])


@pytest.mark.parametrize("name", NAMES)
def test_each_exercise_is_open_and_has_a_solution_and_a_check(
    name: str, labs: dict[str, ModuleType]
) -> None:
    cells = labs["execute"].exercises(labs["execute"].read(name, solved=False))
    asked = [cell.metadata["exercise"] for cell in cells]
    solved = labs["execute"].solutions(name)

    assert asked == [*solved]
    for cell in cells:
        each = cell.metadata["exercise"]
        assert "..." in cell.source
        assert f"checks.{each}(" in cell.source and f"checks.{each}(" in solved[each]
        assert each in labs["checks"].__all__
        ast.parse(solved[each])


def test_links_between_labs_lead_somewhere() -> None:
    text = "".join((LABS / f"{name}.ipynb").read_text(encoding="utf-8") for name in NAMES)
    linked = set(re.findall(r"\]\((\w+\.ipynb)\)", text))

    assert linked <= {f"{name}.ipynb" for name in NAMES}
    assert len(linked) == 4


def raising(*_: Any) -> None:
    raise KeyError("mine")


# What else a check is called with.
MORE: dict[str, Any] = {
    "clipped_share": lambda: (np.zeros(4), 8, mcutrain.load(WATCH / "watch.tflite").inputs[0]),
    "learned_values": lambda: (mcutrain.plan(WATCH / "watch.tflite", "head"),),
    "order_of_updates": lambda: ({"head": mcutrain.plan(WATCH / "watch.tflite", "head")},),
    "with_options": lambda: (WATCH / "watch.tflite", "head", 10),
    "fits_the_budget": lambda: (WATCH / "watch.tflite", WATCH / "demo.npz", 10, 0.5),
    "tampered": lambda: ({"a": np.zeros(1)}, {"a": np.ones(1)}),
}
ANSWERS = (
    ..., None, "text", 3, -1.5, True, float("nan"), [], [1, "x"], {}, {1: 2}, np.zeros((2, 3)),
    object(), raising, lambda: 0, lambda *a: None, lambda *a: "x", lambda *a: np.zeros((1, 2, 3)),
    lambda *a: (1, 2, 3), lambda *a: float("inf"), int, "nonsense:3",
)  # fmt: skip


def test_whatever_a_student_types_gets_a_hint(labs: dict[str, ModuleType]) -> None:
    checks = [name for name in labs["checks"].__all__ if name != "summary"]
    for name in checks:
        more = MORE.get(name, tuple)()
        for answer in ANSWERS:
            verdict = getattr(labs["checks"], name)(answer, *more)

            assert verdict.hint, (name, answer)
            assert repr(verdict).startswith("✘") and "\n" not in repr(verdict)
    assert "0 of" in labs["checks"].summary()


@pytest.mark.parametrize(
    ("name", "answer", "hint"),
    [
        (
            "quantise",
            lambda x, s, z: np.clip(np.trunc(x / s) + z, -128, 127).astype(np.int8),
            "cut",
        ),
        ("quantise", lambda x, s, z: np.floor(x / s + z + 0.5).astype(np.int64), "int8"),
        ("quantise", lambda x, s, z: np.floor(x / s + z + 0.5).astype(int).astype(np.int8), "wrap"),
        ("range_parameters", lambda low, high: ((high - low) / 255, 0), "zero point is wrong"),
        ("range_parameters", lambda low, high: ((high - low) / 256 * 2, 0), "scale is wrong"),
        ("accumulators", lambda x, w, b, z: w @ x + b, "overflow"),
        ("accumulators", lambda x, w, b, z: w.astype(int) @ x + b, "zero point"),
        ("requantise", lambda s, f, z: (np.round(s * f) + z).astype(int), "no int8"),
        ("least_arena", lambda blocks: sum(size for size, _, _ in blocks), "all blocks"),
        ("front", lambda points: list(range(len(points))), "another one beats"),
        ("gain_per_byte", lambda a, b, r, s: (a - b) / ((r - s) / 1024), "percentage point"),
        ("digest", lambda parts: __import__("zlib").crc32(parts[-1]), "goes on"),
        ("located", lambda device, reference: (), "first element"),
    ],
)
def test_a_typical_mistake_gets_its_hint(
    name: str, answer: Any, hint: str, labs: dict[str, ModuleType]
) -> None:
    verdict = getattr(labs["checks"], name)(answer)

    assert hint in verdict.hint

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
from tests.support.marks import exhaustive
from tests.support.paths import ROOT, WATCH

LABS = ROOT / "labs"
CAMERA = ROOT / "examples" / "camera" / "camera.tflite"
NAMES = ("1_quantisation", "2_memory", "3_scheme", "4_device")


@pytest.fixture(scope="module")
def labs() -> Iterator[dict[str, ModuleType]]:
    """The modules of labs/, by name, as a notebook in that folder imports them."""
    names = ("exercise", "checks", "execute")
    sys.path.insert(0, str(LABS))
    yield {name: importlib.import_module(name) for name in names}
    sys.path.remove(str(LABS))
    for name in [name for name in sys.modules if name.partition(".")[0] in names]:
        del sys.modules[name]


@pytest.mark.board
@pytest.mark.slow
@pytest.mark.parametrize("name", [exhaustive(name, NAMES[2:]) for name in NAMES])
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
    ("name", "answer"),
    [
        ("range_parameters", lambda low, high: (float("nan"), -128)),
        ("least_arena", lambda blocks: float("nan")),
        ("gain_per_byte", lambda a, b, r, s: float("nan")),
    ],
)
def test_what_is_no_number_is_not_right(
    name: str, answer: Any, labs: dict[str, ModuleType]
) -> None:
    assert "this is nan" in getattr(labs["checks"], name)(answer).hint


def rounded(x: Any) -> Any:
    return np.floor(np.asarray(x) + 0.5)


def to_int8(x: Any) -> Any:
    return np.clip(x, -128, 127).astype(np.int8)


@pytest.mark.parametrize(
    ("name", "answer", "hint"),
    [
        ("quantise", lambda x, s, z: to_int8(np.trunc(x / s) + z), "cut"),
        ("quantise", lambda x, s, z: rounded(x / s + z).astype(np.int64), "int8"),
        ("quantise", lambda x, s, z: rounded(x / s + z).astype(int).astype(np.int8), "wrap"),
        ("range_parameters", lambda low, high: ((high - low) / 255, 0), "zero point is wrong"),
        ("range_parameters", lambda low, high: ((high - low) / 256 * 2, 0), "scale is wrong"),
        ("range_parameters", lambda low, high: ((high - low) / 256, 0), "scale is wrong"),
        ("range_parameters", lambda low, high: not_widened(low, high), "widen it"),
        (
            "range_parameters",
            lambda low, high: ((high - low) / 255, -128 - low / (high - low) * 255),
            "whole number",
        ),
        (
            "range_parameters",
            lambda low, high: ((high - low) / 255, int(-128 - low / (high - low) * 255)),
            "cut",
        ),
        (
            "range_parameters",
            lambda low, high: ((max(high, 0) - min(low, 0)) / 255, not_widened(low, high)[1]),
            "outside -128 to 127",
        ),
        ("accumulators", lambda x, w, b, z: w @ x + b, "overflow"),
        ("accumulators", lambda x, w, b, z: w @ x, "overflow"),
        ("accumulators", lambda x, w, b, z: w.astype(int) @ x + b, "zero point"),
        ("accumulators", lambda x, w, b, z: w.astype(int) @ (x.astype(int) - z), "bias"),
        ("accumulators", lambda x, w, b, z: w.astype(int) @ (x.astype(int) - z) - b, "each output"),
        ("requantise", lambda s, f, z: (np.round(s * f) + z).astype(int), "no int8"),
        ("requantise", lambda s, f, z: (np.round(s * f) + z).astype(int).astype(np.int8), "wrap"),
        ("requantise", lambda s, f, z: to_int8(np.trunc(s * f) + z), "off by one"),
        ("requantise", lambda s, f, z: to_int8(np.floor(s * f) + z), "off by one"),
        ("requantise", lambda s, f, z: to_int8(np.ceil(s * f) + z), "off by one"),
        ("requantise", lambda s, f, z: to_int8(np.round(s * f) + 1 + z), "off by one"),
        ("requantise", lambda s, f, z: to_int8(np.round(s * f)), "add the zero point"),
        ("least_arena", lambda blocks: sum(size for size, _, _ in blocks), "all blocks"),
        ("least_arena", lambda blocks: max(size for size, _, _ in blocks), "largest block"),
        (
            "least_arena",
            lambda blocks: max(
                sum(size for size, first, last in blocks if first <= t < last) for t in range(14)
            ),
            "last call, too",
        ),
        ("front", lambda points: list(range(len(points))), "another one beats"),
        ("gain_per_byte", lambda a, b, r, s: (a - b) / ((r - s) / 1024), "percentage point"),
        ("gain_per_byte", lambda a, b, r, s: 100 * (a - b) / (r - s), "1,024 bytes"),
        ("gain_per_byte", lambda a, b, r, s: (a - b) / (r - s), "a share for each byte"),
        ("gain_per_byte", lambda a, b, r, s: 100 * (a - b) / ((r - s) / 1000), "not 1,000"),
        ("digest", lambda parts: __import__("zlib").crc32(parts[-1]), "goes on"),
        ("located", lambda device, reference: (), "first element"),
    ],
)
def test_a_typical_mistake_gets_its_hint(
    name: str, answer: Any, hint: str, labs: dict[str, ModuleType]
) -> None:
    verdict = getattr(labs["checks"], name)(answer)

    assert hint in verdict.hint


def not_widened(low: float, high: float) -> tuple[float, int]:
    scale = (high - low) / 255
    return scale, int(rounded(-128 - low / scale))


@pytest.mark.parametrize(
    "answer",
    [
        lambda s, f, z: to_int8(rounded(s * f) + z),
        lambda s, f, z: to_int8(rounded(s * f + z)),
        lambda s, f, z: to_int8(np.round(s * f) + z),  # a half goes to the even neighbour
        lambda s, f, z: to_int8(np.round(s.astype(np.float32) * np.float32(f)) + z),
        lambda s, f, z: [max(-128, min(127, round(int(each) * f) + z)) for each in s],
    ],
)
def test_each_rule_of_rounding_to_the_nearest_is_right(
    answer: Any, labs: dict[str, ModuleType]
) -> None:
    assert labs["checks"].requantise(answer).is_right


@pytest.mark.parametrize(
    ("count", "hint"),
    [(2040, "bytes as the file"), (3964, "fractions"), (1824, "biases learn, too"),
     (1536, "one tensor alone"), (7, "Add up")],
)  # fmt: skip
def test_a_wrong_count_is_told_apart(count: int, hint: str, labs: dict[str, ModuleType]) -> None:
    plan = mcutrain.plan(CAMERA, "last:2")

    assert hint in labs["checks"].learned_values(count, plan).hint
    assert labs["checks"].learned_values(1878, plan).is_right


def test_the_options_are_chosen_by_the_student(labs: dict[str, ModuleType]) -> None:
    verdict = labs["checks"].with_options({"sram": 26_000}, CAMERA, "full", 26_000)

    assert "leave sram out" in verdict.hint


def test_a_space_beside_an_update_does_not_matter(labs: dict[str, ModuleType]) -> None:
    verdict = labs["checks"].fits_the_budget(
        "last:2 ", WATCH / "watch.tflite", WATCH / "demo.npz", 10, 0.5
    )

    assert "This takes" in verdict.hint

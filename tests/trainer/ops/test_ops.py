# SPDX-License-Identifier: Apache-2.0
"""Every operator: its kernel, through the generator and the compiler, against its reference."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest

import mcutrain.trainer.ops  # noqa: F401  (imports every operator module)
from mcutrain.trainer.graph.op import Layout, Op
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.planner.row_region import Composite
from tests.support.bench import bench_plan, draw_inputs
from tests.support.native import NativeModel
from tests.support.op_cases import CASES, Case
from tests.support.op_reference import op_hashes, reference
from tests.support.paths import GOLDEN

HASHES = GOLDEN / "op_hashes.txt"
QUICK_ROUNDS = 3
ROUNDS = 8


@dataclass(frozen=True)
class Round:
    """The inputs of one row in one round, what the reference makes of them, and what C does."""

    inputs: list[Array]
    expected: tuple[Array, ...]
    outputs: tuple[Array, ...]
    left: list[Array]  # the inputs after the call


@pytest.fixture(scope="module")
def rounds(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, thorough: bool
) -> dict[str, list[Round]]:
    """Every row, every round: all rows share one library, and a round is one step of it.

    With --quick only the first rounds, which are those of extremes; without the largest cases of
    the suite half of them.
    """
    last = max(c.rounds for c in CASES) if thorough else ROUNDS
    last = QUICK_ROUNDS if request.config.getoption("quick") else last
    plan, nodes = bench_plan(CASES)
    device = NativeModel(plan, tmp_path_factory.mktemp("bench"))
    views = {t: device[t] for node in nodes.values() for t in (*node.inputs, *node.outputs)}
    rng = np.random.RandomState(1)
    found: dict[str, list[Round]] = {case.name: [] for case in CASES}
    made: dict[str, tuple[list[Array], tuple[Array, ...]]] = {}
    for round_ in range(last):
        for region in device.regions.values():  # nothing may depend on what was there before
            region[:] = rng.randint(0, 256, region.shape)
        # Rows that are through go on with their last inputs.
        drawn = [case for case in CASES if round_ < case.rounds]
        made |= {case.name: reference(case, nodes[case.name], round_) for case in drawn}
        for name, (inputs, _) in made.items():
            for tensor, value in zip(nodes[name].inputs, inputs, strict=True):
                views[tensor][...] = value
        device.step(np.zeros(3, np.int8), 0)
        for name, (inputs, expected) in made.items():
            outputs = tuple(views[t].copy() for t in nodes[name].outputs)
            left = [views[t].copy() for t in nodes[name].inputs]
            found[name].append(Round(inputs, expected, outputs, left))
    return found


@pytest.mark.rows
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_kernel_equals_reference_bit_for_bit(case: Case, rounds: dict[str, list[Round]]) -> None:
    for number, played in enumerate(rounds[case.name]):
        for k, (expected, output) in enumerate(zip(played.expected, played.outputs, strict=True)):
            np.testing.assert_array_equal(output, expected, f"round {number}, output {k}")


@pytest.mark.rows
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_kernel_changes_only_its_outputs(case: Case, rounds: dict[str, list[Round]]) -> None:
    for played in rounds[case.name]:
        for k, (before, after) in enumerate(zip(played.inputs, played.left, strict=True)):
            if k not in case.op.mutates:
                np.testing.assert_array_equal(after, before, f"input {k}")


def leaves(kind: type[Op] = Op) -> Iterator[type[Op]]:
    for child in kind.__subclasses__():
        if child is Composite:  # made of others, by the planner
            continue
        if child.needs:  # a variant: tests/trainer/test_variants.py
            continue
        if child.layout is not Layout.FILE:  # tests/trainer/test_nibbles.py
            continue
        if child.tflite_name and child.lower is Op.lower:  # left out of every plan
            continue
        if child.__module__.startswith("mcutrain.trainer."):
            is_base = bool(child.__subclasses__()) and not child.tflite_name
            if not inspect.isabstract(child) and not is_base:
                yield child
            yield from leaves(child)


@pytest.mark.rows
@pytest.mark.parametrize("kind", list(leaves()), ids=lambda kind: kind.__name__)
def test_every_operator_has_a_case(kind: type[Op]) -> None:
    assert any(type(case.op) is kind for case in CASES), f"operator {kind.__name__} has no case"


def test_rows_have_names_of_their_own() -> None:
    names = [case.name.replace("/", "_") for case in CASES]

    assert len(names) == len(set(names))


def test_extremes_come_in_all_combinations() -> None:
    case = next(c for c in CASES if c.name == "conv/odd")
    pairs = set()
    for round_ in range(4):
        x, w = draw_inputs(case, 0, round_)[:2]
        pairs.add((int(x.min()), int(x.max()), int(w.min()), int(w.max())))

    assert pairs == {(a, a, b, b) for a in (-128, 127) for b in (-128, 127)}


@pytest.mark.slow
def test_reference_gives_the_golden_hashes() -> None:
    """Reference and kernel can change together unseen; these see it (golden/README.md)."""
    assert op_hashes().splitlines() == HASHES.read_text().splitlines(), (
        "python -m tests.tools.make_golden takes over what was meant"
    )

# SPDX-License-Identifier: Apache-2.0
"""Forms of kernels for computers with vectors: in plain C, and as this one computes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.bench import assert_rows_are_equal, bench_plan
from tests.support.native import FastModel, NativeModel
from tests.support.op_cases import CASES
from tests.support.op_cases.formats import other_weights
from tests.support.op_cases.layers import CONV, Layer
from tests.support.paths import FIRMWARE

UNITS = ("clamp_mask", "conv2d", "depthwise_conv2d", "error", "weighted")
KERNELS = {"clamp_mask", "conv2d", "depthwise_conv2d", "error"}
ROUNDS = 7  # four of extremes, which are all alike, and some at random
# Rows of filters that are summed in slices, of which some begin within the channels of a tap.
SLICED = [
    Layer("conv/sliced", CONV, (1, 2, 3, 700), (5, 1, 2, 700)),
    Layer("conv/sliced-one-tap", CONV, (1, 1, 2, 2100), (1, 1, 1, 2100), bias_bits=None),
    Layer("conv/sliced-bands", CONV, (1, 65, 64, 9), (2, 1, 130, 9)),
]


def in_plain_c(plan: TrainingPlan, folder: Path) -> NativeModel:
    """The forms without any computer's instructions, with UBSan."""
    sources = [str(FIRMWARE / "kernels" / f"{unit}.c") for unit in UNITS]
    return NativeModel(plan, folder, "-DMCT_HAS_VECTORS", *sources)


@pytest.mark.rows
@pytest.mark.parametrize("form", [in_plain_c, FastModel])
def test_the_forms_for_vectors_have_the_same_bits(
    form: Callable[[TrainingPlan, Path], NativeModel], tmp_path: Path
) -> None:
    plan, nodes = bench_plan(CASES)
    lowered = {case.name: nodes[case.name].op.lower(nodes[case.name]) for case in CASES}
    rows = [case for case in CASES if (call := lowered[case.name]) and call.unit in KERNELS]
    plan, nodes = bench_plan(rows)

    assert_rows_are_equal(form(plan, tmp_path), rows, nodes, ROUNDS)


@pytest.mark.rows
@pytest.mark.parametrize("form", [in_plain_c, FastModel])
def test_steps_of_long_rows_have_the_same_bits(
    form: Callable[[TrainingPlan, Path], NativeModel], tmp_path: Path
) -> None:
    rows = [row for layer in SLICED for row in layer.rows()]
    rows = [*rows, *other_weights(rows)]
    plan, nodes = bench_plan(rows)

    assert_rows_are_equal(form(plan, tmp_path), rows, nodes, ROUNDS)
    assert sum(row.name.endswith("/shifted") for row in rows) == len(SLICED)

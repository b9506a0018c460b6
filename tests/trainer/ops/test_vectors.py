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
from tests.support.paths import FIRMWARE

UNITS = ("clamp_mask", "conv2d", "depthwise_conv2d", "error", "weighted")
KERNELS = {"clamp_mask", "conv2d", "depthwise_conv2d", "error"}
ROUNDS = 4


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

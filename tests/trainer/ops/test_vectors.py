# SPDX-License-Identifier: Apache-2.0
"""The forms that kernels have where the compiler makes vectors: in plain C, so with UBSan too."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.bench import assert_rows_are_equal, bench_plan
from tests.support.native import NativeModel
from tests.support.op_cases import CASES
from tests.support.paths import FIRMWARE

UNITS = ("conv2d", "depthwise_conv2d", "weighted")
KERNELS = {"conv2d", "depthwise_conv2d"}
ROUNDS = 4


@pytest.mark.rows
def test_the_forms_for_vectors_have_the_same_bits(tmp_path: Path) -> None:
    plan, nodes = bench_plan(CASES)
    lowered = {case.name: nodes[case.name].op.lower(nodes[case.name]) for case in CASES}
    rows = [case for case in CASES if (call := lowered[case.name]) and call.unit in KERNELS]
    plan, nodes = bench_plan(rows)
    sources = [str(FIRMWARE / "kernels" / f"{unit}.c") for unit in UNITS]

    device = NativeModel(plan, tmp_path, FIRMWARE, "-DMCT_HAS_VECTORS", *sources)
    assert_rows_are_equal(device, rows, nodes, ROUNDS)

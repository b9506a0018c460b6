# SPDX-License-Identifier: Apache-2.0
"""A training step on the RTL of a RISC-V core."""

from __future__ import annotations

import importlib.util
import shutil

import pytest

from benchmarks.cycles import ibex
from benchmarks.cycles.__main__ import mlp
from mcutrain.host.errors import BuildError


def test_without_the_rtl_it_is_said_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ibex, "PACKAGE", "no_such_package")

    with pytest.raises(BuildError, match="pip install no-such-package"):
        ibex.rtl()


@pytest.mark.exhaustive
@pytest.mark.board
@pytest.mark.skipif(
    importlib.util.find_spec(ibex.PACKAGE) is None or shutil.which("verilator") is None,
    reason="the RTL of an Ibex or verilator is missing: python -m benchmarks.cycles says which",
)
def test_a_step_on_the_core_has_the_digests_of_the_reference_and_repeats() -> None:
    first, second = (ibex.run(mlp(), ibex.CONFIGURATIONS[0]) for _ in range(2))

    assert first == second
    assert all(cycles > instructions > 2 * 2368 for cycles, instructions in first.steps)

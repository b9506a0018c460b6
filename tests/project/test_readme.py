# SPDX-License-Identifier: Apache-2.0
"""What the README says is true of the code."""

from __future__ import annotations

import re

import pytest

from mcutrain.host.building.firmware import build, compiler_version
from mcutrain.host.building.target import Target
from mcutrain.host.cli.demo import TARGETS
from mcutrain.host.cost import measured
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import importers, load
from tests.support.paths import ROOT, WATCH

README = (ROOT / "README.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("column", range(len(TARGETS)))
def test_the_demonstrations_bytes_are_those_of_a_build(column: int) -> None:
    target = Target.parse(TARGETS[column])
    if "12.2" not in compiler_version(target):
        pytest.skip(f"the README's bytes are gcc 12.2's, this is {compiler_version(target)}")
    plan = make_plan(load(WATCH / "watch.tflite"), PlanOptions("last:2"), target.chip)
    cost = measured(build(plan, target))
    for key, text in (("sram_bytes", "RAM, bytes"), ("flash_bytes", "flash, bytes")):
        shown = re.search(rf"^ *{text} +(\S+) +(\S+)$", README, re.MULTILINE)

        assert shown is not None
        assert shown.group(column + 1) == f"{cost[key]:,}", f"README's demonstration: {text}"


def test_the_operators_are_all_named() -> None:
    sentence = README[README.index("Operators: ") : README.index("Anything else is refused")]

    assert set(re.findall(r"\b[A-Z][A-Z0-9_]{2,}\b", sentence)) >= set(importers())

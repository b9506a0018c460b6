# SPDX-License-Identifier: Apache-2.0
"""Kinds of bytes in arena and learned state, and the rows that `plan` lists."""

from __future__ import annotations

from itertools import pairwise

import pytest

from mcutrain.host.boards import chip_of
from mcutrain.host.building.firmware import build
from mcutrain.host.building.target import Target
from mcutrain.host.cost import measured, resident_rows
from mcutrain.host.kinds import arena_bytes, state_bytes
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import parse
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.simulated_boards import boards_of
from tests.support.small_models import residual_model

PLANS = {
    "head": {},
    "full": {},
    "last:2": {"loss": "mse"},
    "bias": {"accumulate": 4},
}


def plan_of(scheme: str) -> TrainingPlan:
    return make_plan(parse(residual_model(), "small"), PlanOptions(scheme, **PLANS[scheme]))  # type: ignore[arg-type]


@pytest.mark.parametrize("scheme", PLANS)
def test_the_kinds_add_up(scheme: str) -> None:
    plan = plan_of(scheme)

    assert sum(arena_bytes(plan).values()) == plan.memory.arena_bytes
    assert sum(state_bytes(plan).values()) == plan.memory.state_bytes
    assert min(*arena_bytes(plan).values(), *state_bytes(plan).values()) >= 0


def test_kinds_are_what_the_plan_holds() -> None:
    head, full, bias = (state_bytes(plan_of(name)) for name in ("head", "full", "bias"))

    assert head["weights"] == head["fractions"] == 4 * 8
    assert head["biases"] == 4 * 4
    assert (head["histories"], head["sums"]) == (0, 0)
    assert full["weights"] == full["fractions"] == 8 * 27 + 8 * 9 + 8 * 8 + 4 * 8
    assert full["histories"] == 4 * len(plan_of("full").learning.histories) > 0
    assert bias["sums"] > 0
    assert arena_bytes(plan_of("full"))["errors"] > 0
    # The convolution's input and output lie there at the fullest moment of an update of the head.
    assert arena_bytes(plan_of("head"))["activations"] >= 160
    assert arena_bytes(plan_of("head"))["errors"] == 0


@pytest.mark.slow
@boards_of({"mps2_an386", "sifive_e"})
def test_the_rows_are_all_bytes(board: str) -> None:
    built = build(plan_of("head").on(chip_of(board)), Target.parse(f"sim:{board}"))
    cost, rows = measured(built), resident_rows(built)

    in_ram = [row for row in rows if row["kind"] in ("ram", "both")]
    in_flash = [row for row in rows if row["kind"] in ("flash", "both")]
    assert sum(row["nbytes"] for row in in_ram) == cost["sram_bytes"]
    assert sum(row["nbytes"] for row in in_flash) == cost["flash_bytes"]
    assert {"arena", "learned", "link", "stack"} <= {row["class"] for row in in_ram}
    classes = {row["class"] for row in in_flash}
    assert {"constants", "kernels", "runtime", "port"} <= classes
    # Most have a vector table there; a RISC-V has one trap handler, code of its port.
    assert ("vectors" in classes) is ("riscv" not in built.target.toolchain_prefix)
    beside = {f".{memory.name}" for memory in chip_of(board).beside}
    for section in ("", *beside):
        own = [
            row for row in in_ram if (row["section"] if row["section"] in beside else "") == section
        ]
        ends = sorted((row["address"], row["address"] + row["nbytes"]) for row in own)
        assert all(end == start for (_, end), (start, _) in pairwise(ends))

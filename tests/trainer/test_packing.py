# SPDX-License-Identifier: Apache-2.0
"""Which frozen weights are packed: by what they save for each byte, within the flash."""

from __future__ import annotations

import pytest

from mcutrain.codegen.emit import emit_source
from mcutrain.codegen.program import lay_out
from mcutrain.trainer.chip import Chip
from mcutrain.trainer.errors import BudgetError, ModelError
from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.packing import CODE_BYTES, packed_nodes
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import parse
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.random_models import samples
from tests.support.small_models import residual_model

DSP = Chip("a chip with DSP instructions", frozenset({"dsp"}))
FULL = Chip(DSP.name, DSP.features, flash_bytes=0)  # has no room for anything to be packed


def plan_for(
    chip: Chip = DSP, *, optimize: str = "speed", flash: int | None = None
) -> TrainingPlan:
    options = PlanOptions("head", optimize=optimize, flash=flash)
    return make_plan(parse(residual_model(), "small"), options, chip)


def constants(plan: TrainingPlan) -> int:
    return lay_out(plan).constant_bytes


def test_all_frozen_layers_are_packed_where_flash_has_no_end() -> None:
    fast, small = plan_for(), plan_for(FULL)
    added = sum(each.added_bytes for each in packed_nodes(fast.operations))

    assert len(packed_nodes(fast.operations)) == 2 and not packed_nodes(small.operations)
    assert constants(fast) == constants(small) + added


def test_a_model_has_one_form_of_weights_that_nothing_else_reads() -> None:
    (first, *_) = packed_nodes(plan_for().operations)
    weights = first.node.inputs[1].name

    assert f"small_{weights}[" not in emit_source(lay_out(plan_for()))
    assert f"small_{weights}[" in emit_source(lay_out(plan_for(FULL)))


def test_the_best_layers_are_packed_first_within_the_flash() -> None:
    everything = packed_nodes(plan_for().operations)
    least = constants(plan_for(FULL)) + CODE_BYTES
    seen = set()
    for room in range(0, sum(each.added_bytes for each in everything) + 17, 16):
        plan = plan_for(flash=least + room)
        packed = {each.node.name for each in packed_nodes(plan.operations)}
        assert constants(plan) + CODE_BYTES <= least + room
        left = [each for each in everything if each.node.name not in packed]
        taken = [each for each in everything if each.node.name in packed]
        spare = least + room - constants(plan) - CODE_BYTES
        assert all(each.added_bytes > spare for each in left)
        assert all(a.rank <= b.rank for a in taken for b in left if b.added_bytes <= a.added_bytes)
        seen.add(len(packed))
    assert seen == {0, 1, 2}


def test_the_chip_s_flash_is_the_limit_if_none_is_asked_for() -> None:
    least = constants(plan_for(FULL)) + CODE_BYTES
    small = Chip(DSP.name, DSP.features, flash_bytes=least)

    assert not packed_nodes(plan_for(small).operations)


def test_what_is_learned_does_not_depend_on_packing() -> None:
    fast, small = plan_for(), plan_for(FULL)
    x = samples(fast.task.input.type.shape, 1, seed=3)[0]

    assert fast.numerics_hash == small.numerics_hash
    assert Interpreter(fast).step(x, 1) == Interpreter(small).step(x, 1)


def test_for_size_kernels_are_portable() -> None:
    small = plan_for(optimize="size")

    assert DSP.features >= plan_for().needs > small.needs == frozenset()
    assert constants(small) <= constants(plan_for(FULL))


def test_weights_that_learn_are_not_packed() -> None:
    plan = make_plan(parse(residual_model(), "small"), PlanOptions("full"), DSP)

    assert not packed_nodes(plan.operations)


def test_a_flash_that_the_constants_do_not_fit_is_refused_with_the_largest_of_them() -> None:
    with pytest.raises(BudgetError, match=r"--flash 100: .* take [\d,]+ bytes, .* largest are '"):
        plan_for(flash=100)


def test_an_unknown_aim_is_refused() -> None:
    with pytest.raises(ModelError, match="--optimize fast: take one of speed, size"):
        plan_for(optimize="fast")

# SPDX-License-Identifier: Apache-2.0
"""Kernel variants: chosen for a chip, counted by the planner, and bit-equal to what they replace.

The variant under test is tests/support/table_add.py, which no real chip has.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mcutrain.codegen.emit import emit_source
from mcutrain.codegen.manifest import manifest
from mcutrain.codegen.program import lay_out
from mcutrain.host.boards import board_names, chip_of
from mcutrain.host.building.kernel_archive import kernel_sources
from mcutrain.host.building.target import NATIVE
from mcutrain.host.training.tail import latents
from mcutrain.trainer.chip import FEATURES, GENERIC, Chip
from mcutrain.trainer.errors import ModelError
from mcutrain.trainer.graph.graph import Graph
from mcutrain.trainer.graph.op import Layout, Op, variant_for
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.ops.add import Add
from mcutrain.trainer.ops.conv2d import Conv2D
from mcutrain.trainer.ops.fully_connected import FullyConnected
from mcutrain.trainer.ops.weighted import Weighted
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import parse
from mcutrain.trainer.training_plan import TrainingPlan
from mcutrain.trainer.variants import KernelVariant, beyond, kernel_variants
from tests.support.bench import assert_rows_are_equal, bench_plan, draw_inputs, node_of
from tests.support.marks import exhaustive
from tests.support.native import NativeModel
from tests.support.op_cases import CASES, Case
from tests.support.paths import FIRMWARE
from tests.support.random_models import samples
from tests.support.small_models import residual_model
from tests.support.steps import assert_steps_are_equal
from tests.support.table_add import CHIP, FEATURE, TableAdd, firmware_with_variant

ROUNDS = 8


@pytest.fixture(scope="module")
def firmware(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return firmware_with_variant(tmp_path_factory.mktemp("variant"))


def plan_for(chip: Chip, update: str = "full") -> TrainingPlan:
    return make_plan(parse(residual_model(), "small"), PlanOptions(update), chip)


def with_variants(case: Case, features: frozenset[str] = CHIP.features) -> Case:
    """The row as a chip with these features computes it."""
    return replace(case, op=variant_for(node_of(Graph(), case), features))


PACKED: list[type[Op]] = [Conv2D, FullyConnected]  # with DSP instructions
# mct/dsp.h and mct/mve.h have what the instructions do in C, too.
HERE = chip_of(NATIVE).features | CHIP.features | {"dsp", "mve"}
RUN_HERE = [variant for variant in kernel_variants() if variant.needs <= HERE]


def test_a_chip_with_the_feature_gets_the_variant() -> None:
    kinds = {type(node.op) for node in plan_for(CHIP).operations}
    assert TableAdd in kinds and Add not in kinds

    kinds = {type(node.op) for node in plan_for(GENERIC).operations}
    assert Add in kinds and TableAdd not in kinds


def test_what_the_variant_does_not_cover_stays_portable() -> None:
    rows = [case for case in CASES if type(case.op) is Add]
    kinds = {type(with_variants(case).op) for case in rows}

    assert kinds == {Add, TableAdd}


@pytest.mark.rows
@pytest.mark.parametrize("variant", RUN_HERE, ids=lambda variant: variant.unit)
def test_every_row_has_the_same_bits(
    variant: KernelVariant, firmware: Path, tmp_path: Path
) -> None:
    plain = [case for case in CASES if type(case.op) is variant.operator]
    rows = [with_variants(case, variant.needs) for case in plain]
    assert_packed_rows_are_equal(rows, {}, variant.needs, tmp_path, firmware)


@pytest.mark.rows
@pytest.mark.parametrize("frozen", [exhaustive(inputs, [(1,)]) for inputs in ((1,), (1, 2))])
@pytest.mark.parametrize("operator", PACKED, ids=lambda operator: operator.__name__)
def test_every_row_of_packed_weights_has_the_same_bits(
    operator: type[Op], frozen: tuple[int, ...], tmp_path: Path
) -> None:
    rows = [with_variants(c, frozenset({"dsp"})) for c in CASES if type(c.op) is operator]
    constants = {
        case.name: {k: v for k, v in enumerate(draw_inputs(case, 1, 1)) if k in frozen}
        for case in rows
        if isinstance(case.op, Weighted) and case.op.channels is None
    }
    packed = assert_packed_rows_are_equal(rows, constants, HERE, tmp_path, FIRMWARE)

    assert packed > len(rows) // 2


def assert_packed_rows_are_equal(
    rows: list[Case],
    frozen: dict[str, dict[int, Array]],
    features: frozenset[str],
    folder: Path,
    firmware: Path,
) -> int:
    """Returns how many of the rows, of which some are variants, have packed weights."""
    plan, nodes = bench_plan(rows, frozen)
    device = NativeModel(replace(plan, chip=Chip("here", features)), folder, firmware)
    assert_rows_are_equal(device, rows, nodes, ROUNDS)
    assert any(node.op.needs for node in nodes.values())
    return sum(node.op.layout is Layout.PACKED for node in nodes.values())


@pytest.mark.parametrize("update", ["full", "last:2"])
def test_a_net_trains_bit_for_bit(update: str, firmware: Path, tmp_path: Path) -> None:
    assert_steps_are_equal(plan_for(CHIP, update), tmp_path, 8, firmware)


def test_the_arithmetic_is_the_same() -> None:
    plain, chosen = plan_for(GENERIC), plan_for(CHIP)

    assert chosen.numerics_hash == plain.numerics_hash
    sample = np.zeros(plain.task.input.type.shape, np.int8)
    assert Interpreter(chosen).step(sample, 1) == Interpreter(plain).step(sample, 1)


def test_the_planner_counts_what_the_variant_asks_for() -> None:
    plan = plan_for(CHIP)
    (node,) = [n for n in plan.operations if isinstance(n.op, TableAdd)]
    scratch, out = plan.memory.slots[node], plan.memory.slots[node.output]

    assert scratch.size == 4 * node.output.type.size
    assert scratch.end <= out.offset or out.end <= scratch.offset
    text = emit_source(lay_out(plan))
    assert text.count("_a_terms[256]") == 1 and "mct_add_table_s8" in text
    assert lay_out(plan).constant_bytes == lay_out(plan_for(GENERIC)).constant_bytes + (
        2 * 4 * 256 + 4 * (6 - 12)  # two tables; a struct of 6 fields in place of one of 12
    )


def test_a_plan_is_not_moved_to_a_chip_that_cannot_run_it() -> None:
    with pytest.raises(ModelError, match=f"generic chip .* has not {FEATURE}"):
        plan_for(CHIP).on(GENERIC)


def test_latents_are_computed_for_a_chip_that_this_computer_is_not() -> None:
    """Its kernels are not this computer's: the reference computes them, with the same bits."""
    plain, chosen = plan_for(GENERIC, "head"), plan_for(CHIP, "head")
    x = np.stack(samples(plain.task.input.type.shape, 2, seed=5))
    assert chosen.needs == CHIP.features and not plain.needs

    np.testing.assert_array_equal(latents(chosen, x), latents(plain, x))


def test_files_that_a_chip_cannot_run_are_left_out(firmware: Path) -> None:
    source = firmware / "kernels" / "add_table.c"
    assert source not in kernel_sources(firmware)
    assert source in kernel_sources(firmware, CHIP.features)
    assert "kernels/add_table.c" in beyond(frozenset())

    described = manifest(lay_out(plan_for(CHIP)), bytes(8))
    assert described["chip"] == {"name": CHIP.name, "features": [FEATURE]}
    assert "kernels/add_table.c" not in described["left_out"]
    assert "kernels/add_table.c" in manifest(lay_out(plan_for(GENERIC)), bytes(8))["left_out"]


REAL = [v for v in kernel_variants() if v.operator.__module__.startswith("mcutrain.")
        and not v.needs & CHIP.features]  # fmt: skip


def test_the_library_manifest_leaves_variants_to_those_who_ask_for_them() -> None:
    wanted = ["-<*>", "+<kernels/>", *sorted({f"-<{path}>" for v in REAL for path in v.sources})]
    found = json.loads((FIRMWARE / "library.json").read_text())["build"]["srcFilter"]

    assert found[: len(wanted)] == wanted


def test_every_variant_has_its_files_and_needs_a_known_feature() -> None:
    for variant in REAL:
        assert all((FIRMWARE / source).is_file() for source in variant.sources)
        assert variant.needs <= FEATURES
    for board in board_names():
        assert chip_of(board).features <= FEATURES

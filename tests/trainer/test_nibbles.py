# SPDX-License-Identifier: Apache-2.0
"""Frozen weights as nibbles: the same bits in half the flash, by the kernels of every chip."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from mcutrain.codegen.emit import emit_source
from mcutrain.codegen.program import lay_out
from mcutrain.host.boards import chip_of
from mcutrain.host.building.target import NATIVE
from mcutrain.trainer.chip import GENERIC, Chip
from mcutrain.trainer.errors import ModelError
from mcutrain.trainer.graph.call import Table
from mcutrain.trainer.graph.graph import Graph
from mcutrain.trainer.graph.op import Layout, Op, variant_for
from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.nibbles import nibble_layers
from mcutrain.trainer.ops.conv2d import Conv2D
from mcutrain.trainer.ops.depthwise_conv2d import DepthwiseConv2D
from mcutrain.trainer.ops.fully_connected import FullyConnected
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import parse
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.bench import assert_rows_are_equal, bench_plan, node_of
from tests.support.marks import exhaustive
from tests.support.native import NativeModel
from tests.support.nibbles import nibbles_of, within_nibbles
from tests.support.op_cases import CASES
from tests.support.random_models import samples
from tests.support.small_models import residual_model
from tests.support.steps import assert_steps_are_equal
from tests.support.table_add import CHIP

LAYERS: list[type[Op]] = [Conv2D, DepthwiseConv2D, FullyConnected]
FEATURES = (frozenset[str](), frozenset({"dsp"}), frozenset({"dsp", "mve"}))
HERE = Chip("here", chip_of(NATIVE).features | CHIP.features | {"dsp", "mve"})
ROUNDS = 4


CHOSEN = list(product(FEATURES, ((1,), (1, 2))))  # with the inputs that are frozen
LONG = [case for case in CHOSEN if case[0] == {"dsp"} or case[1] != (1,)]


def named(case: tuple[frozenset[str], tuple[int, ...]]) -> str:
    return "+".join([*sorted(case[0]), *map(str, case[1])])


@pytest.mark.rows
@pytest.mark.parametrize("case", [exhaustive(case, LONG) for case in CHOSEN], ids=named)
def test_every_row_of_nibbles_has_the_same_bits(
    case: tuple[frozenset[str], tuple[int, ...]], tmp_path: Path
) -> None:
    """Those of DSP instructions run on a board, too (test_nibbles_on_boards.py)."""
    features, frozen = case
    plain = [case for case in CASES if type(case.op) in LAYERS]
    rows = [replace(c, op=variant_for(node_of(Graph(), c), features)) for c in plain]
    plan, nodes = bench_plan(rows, nibbles_of(rows, frozen), Layout.NIBBLES)
    device = NativeModel(replace(plan, chip=HERE), tmp_path)
    assert_rows_are_equal(device, rows, nodes, ROUNDS)

    stored = [node for node in nodes.values() if node.op.layout is Layout.NIBBLES]
    fit = [case for case in rows if case.name in nibbles_of([case])]
    assert len(stored) == len(fit) > 2 * len(rows) // 3
    assert all(nodes[case.name].op.needs == case.op.needs for case in fit)
    weights = [node.inputs[1].data for node in stored]
    assert {-8, 7} <= {int(v) for w in weights if w is not None for v in np.unique(w)}


DSP = Chip("a chip with DSP instructions", frozenset({"dsp"}))
VECTORS = Chip("a chip with vectors", frozenset({"dsp", "mve"}))


def plan_for(
    update: str = "last:2", frozen: str = "int4", chip: Chip = GENERIC, *, fits: bool = True
) -> TrainingPlan:
    model = parse(residual_model(), "small")
    model = within_nibbles(model) if fits else model
    return make_plan(model, PlanOptions(update, frozen=frozen, optimize="speed"), chip)


def notes_of(plan: TrainingPlan) -> dict[str, str]:
    return {note.kind: note.text for note in plan.notes}


def stored(plan: TrainingPlan) -> set[str]:
    return {node.name for node in nibble_layers(plan.operations)}


def test_frozen_weights_take_half_the_flash() -> None:
    plain, small = plan_for("head", "int8"), plan_for("head")
    layers = nibble_layers(small.operations)
    weights = sum(node.inputs[1].type.nbytes for node in layers)
    saved = lay_out(plain).constant_bytes - lay_out(small).constant_bytes

    assert stored(small) == {"conv_2d_0", "depthwise_conv_2d_1", "conv_2d_2"}
    assert weights == 8 * 27 + 9 * 8 + 8 * 8 == 2 * saved
    text = emit_source(lay_out(small))
    assert not any(f"small_{node.inputs[1].name}[" in text for node in layers)


@pytest.mark.parametrize("chip", [DSP, VECTORS], ids=lambda chip: chip.name)
def test_kernels_of_a_chip_have_words_or_filters_that_are_filled(chip: Chip) -> None:
    tables = {
        node.name: arg.data.nbytes
        for node in nibble_layers(plan_for("head", chip=chip).operations)
        for arg in node.op.lower(node).args
        if isinstance(arg, Table) and arg.name == "nibbles"
    }
    filled = 32 if chip is DSP else 28  # of 27 weights of a filter

    assert tables == {"conv_2d_0": 8 * filled // 2, "depthwise_conv_2d_1": 36, "conv_2d_2": 32}


def test_what_is_learned_does_not_depend_on_it() -> None:
    plain, small = plan_for(frozen="int8"), plan_for()
    x = samples(small.task.input.type.shape, 1, seed=3)[0]

    assert plain.numerics_hash == small.numerics_hash
    assert Interpreter(plain).step(x, 1) == Interpreter(small).step(x, 1)


@pytest.mark.parametrize("update", ["last:2", "bias"])
def test_a_net_trains_bit_for_bit(update: str, tmp_path: Path) -> None:
    plan = plan_for(update)

    assert stored(plan)
    assert_steps_are_equal(plan, tmp_path, 6)


def test_weights_that_learn_or_are_read_backwards_stay_int8() -> None:
    assert stored(plan_for("last:2")) == {"conv_2d_0", "depthwise_conv_2d_1"}
    assert not stored(plan_for("full"))

    biases = plan_for("bias")
    assert stored(biases) == {"conv_2d_0"}  # nothing before it learns
    assert "the backward pass reads them too" in notes_of(biases)["int8 kernels alone"]


def test_weights_beyond_the_range_stay_int8_and_a_note_says_what_it_costs() -> None:
    plan = plan_for("head", fits=False)

    assert not stored(plan)
    assert lay_out(plan).constant_bytes == lay_out(plan_for("head", "int8")).constant_bytes
    assert notes_of(plan)["weights beyond int4"] == (
        "conv_2d_0, depthwise_conv_2d_1, conv_2d_2: weights beyond -8..7 stay int8, which takes "
        "176 bytes of flash more than int4: `mcutrain shrink MODEL --data D --frozen int4` "
        "quantises them"
    )


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(ModelError, match="--frozen int2: take one of int8, int4"):
        plan_for(frozen="int2")

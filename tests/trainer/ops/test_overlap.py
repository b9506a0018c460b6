# SPDX-License-Identifier: Apache-2.0
"""Outputs over their inputs: kernels whose output lies as close as ``overlays`` allows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from mcutrain.trainer.chip import Chip
from mcutrain.trainer.graph.graph import Graph
from mcutrain.trainer.graph.op import Node, variant_for
from mcutrain.trainer.graph.tensor import ALIGN
from mcutrain.trainer.ops.conv2d_backward_dsp import Conv2DGradInputDsp
from mcutrain.trainer.ops.depthwise_conv2d_backward_dsp import DepthwiseConv2DGradInputDsp
from mcutrain.trainer.ops.depthwise_conv2d_dsp import DepthwiseConv2DDsp
from mcutrain.trainer.ops.error import RawError
from mcutrain.trainer.ops.overlap import distance
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.bench import bench_plan, node_of
from tests.support.native import FastModel, NativeModel
from tests.support.op_cases import CASES, Case
from tests.support.op_reference import reference

ROUNDS = (3, 6)  # the second with the largest cases of the suite
CHIP = Chip("a chip with DSP instructions", frozenset({"dsp"}))


@dataclass(frozen=True)
class Laid:
    """A row whose output begins ``below`` bytes under one of its inputs."""

    case: Case
    output: int
    input: int
    below: int


def variant_pairs() -> list[Laid]:
    """Depthwise rows on cores with DSP instructions, at every distance that leaves the output over
    other channels of the input."""
    found = []
    for case in CASES:
        op = variant_for(node_of(Graph(), case), CHIP.features)
        if not isinstance(op, DepthwiseConv2DDsp):
            continue
        row = replace(case, op=op)
        least = op.overlays(node_of(Graph(), row))[0, 0]
        first, step = -(-least // ALIGN) * ALIGN, case.feeds[0].type.shape[-1]
        found += [
            Laid(replace(row, name=f"{case.name} {below} below"), 0, 0, below)
            for below in range(first, first + ALIGN * (step + 2), ALIGN)
        ]
    return found


def error_variants() -> list[Case]:
    """The rows of errors as a chip with DSP instructions computes them."""
    chosen = ((case, variant_for(node_of(Graph(), case), CHIP.features)) for case in CASES)
    return [
        replace(case, name=f"{case.name} on {op.unit}", op=op)
        for case, op in chosen
        if op.needs and isinstance(op, RawError)
    ]


def close_pairs(rows: list[Case], *, too_close: bool) -> list[Laid]:
    """Every pair of every row at its distance, or one alignment nearer where that is possible."""
    _, nodes = bench_plan(rows)
    found = []
    for case in rows:
        for (out, source), least in nodes[case.name].op.overlays(nodes[case.name]).items():
            below = -(-least // ALIGN) * ALIGN - ALIGN * too_close
            if below >= 0:
                name = f"{case.name} {out} over {source}"
                found.append(Laid(replace(case, name=name), out, source, below))
    return found


def laid_out(pairs: list[Laid]) -> tuple[TrainingPlan, dict[str, Node]]:
    """The bench of the rows, each pair in bytes of its own, input above output."""
    plan, nodes = bench_plan([pair.case for pair in pairs])
    slots, end = dict(plan.memory.slots), plan.memory.arena_bytes
    for pair in pairs:
        node = nodes[pair.case.name]
        out, source = node.outputs[pair.output], node.inputs[pair.input]
        for tensor, offset in ((out, end), (source, end + pair.below)):
            slots[tensor] = replace(slots[tensor], offset=offset)
        end = max(slots[out].end, slots[source].end)
    return replace(plan, chip=CHIP, memory=replace(plan.memory, slots=slots)), nodes


def mismatches(
    pairs: list[Laid],
    folder: Path,
    rounds: int,
    form: Callable[[TrainingPlan, Path], NativeModel] = NativeModel,
) -> Iterator[tuple[Laid, int, int]]:
    """(pair, round, wrong elements of all outputs) of every pair in every round."""
    plan, nodes = laid_out(pairs)
    device = form(plan, folder)
    views = {t: device[t] for node in nodes.values() for t in (*node.inputs, *node.outputs)}
    for round_ in range(rounds):
        expected = {}
        for pair in pairs:
            node = nodes[pair.case.name]
            inputs, expected[pair] = reference(pair.case, node, round_)
            for tensor, value in zip(node.inputs, inputs, strict=True):
                views[tensor][...] = value
        device.step(np.zeros(3, np.int8), 0)
        for pair in pairs:
            outputs = zip(nodes[pair.case.name].outputs, expected[pair], strict=True)
            yield pair, round_, sum(int((views[t] != value).sum()) for t, value in outputs)


@pytest.mark.slow
def test_an_output_over_its_input_has_the_references_bits(tmp_path: Path, thorough: bool) -> None:
    pairs = close_pairs([*CASES, *error_variants()], too_close=False)
    wrong = [
        f"{p.case.name}, round {r}: {n}"
        for p, r, n in mismatches(pairs, tmp_path, ROUNDS[thorough])
        if n
    ]

    kinds = {type(p.case.op) for p in pairs}
    assert len(kinds) > 20 and {Conv2DGradInputDsp, DepthwiseConv2DGradInputDsp} <= kinds
    assert not wrong


@pytest.mark.slow
def test_an_output_over_its_input_has_them_with_this_computers_vectors(
    tmp_path: Path, thorough: bool
) -> None:
    pairs = close_pairs(CASES, too_close=False)
    found = mismatches(pairs, tmp_path, ROUNDS[thorough], FastModel)

    assert [f"{pair.case.name}, round {r}: {wrong}" for pair, r, wrong in found if wrong] == []


@pytest.mark.slow
def test_a_depthwise_layer_of_dsp_instructions_has_them_at_every_distance(
    tmp_path: Path, thorough: bool
) -> None:
    """Its kernel chooses an order of writing by how its output lies over its input."""
    pairs = variant_pairs()
    wrong = [
        f"{p.case.name}, round {r}: {n}"
        for p, r, n in mismatches(pairs, tmp_path, ROUNDS[thorough])
        if n
    ]

    assert len({p.case.op for p in pairs}) > 5
    assert not wrong


@pytest.mark.slow
def test_an_output_too_close_to_its_input_is_seen(tmp_path: Path) -> None:
    """The distances are least ones, up to the alignment; without them bits differ."""
    pairs = [p for p in close_pairs(CASES, too_close=True) if (p.output, p.input) == (0, 0)]
    seen = {
        type(p.case.op).__name__
        for p, _, wrong in mismatches(pairs, tmp_path, max(ROUNDS))
        if wrong
    }
    kinds = {type(p.case.op).__name__ for p in pairs}

    assert {"Conv2D", "DepthwiseConv2DGradInput", "StridedError"} <= seen
    # One position, or outputs that outgrow the input: the last outputs decide, and they are written
    # after the last read, which the rule leaves out.
    assert kinds - seen <= {"FullyConnected", "TransposeConv"}


@pytest.mark.parametrize(
    ("written", "read", "least"),
    [([0, 1, 2], [0, 1, 2], 0), ([1, 2, 3], [0, 1, 2], 1), ([0, 1, 2], [2, 0, 1], 1),
     ([0, 2, 4], [5, 6, 7], 0), ([0, 1, 2, 3], [0, 0, 0, 0], 3)],
)  # fmt: skip
def test_the_distance_keeps_writes_below_what_is_read_later(
    written: list[int], read: list[int], least: int
) -> None:
    assert distance(np.array(written), np.array(read)) == least

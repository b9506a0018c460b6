# SPDX-License-Identifier: Apache-2.0
"""The rows of kernels on emulated cores: the same bits as the reference. Of a core with features,
the rows that a variant computes, which tests/trainer/test_variants.py runs here with C for the
instructions; of another instruction set, those of all portable kernels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mcutrain.host.boards import chip_of
from mcutrain.host.building.firmware import build
from mcutrain.host.building.target import Target
from mcutrain.host.training.runners import DeviceRunner, simulated
from mcutrain.host.training.verify import read_tensor
from mcutrain.trainer.graph.graph import Graph
from mcutrain.trainer.graph.op import variant_for
from mcutrain.trainer.planner.memory import ARENA
from tests.support.bench import bench_plan, draw_inputs, node_of
from tests.support.op_cases import CASES, Case
from tests.support.simulated_boards import board_param

LARGEST_BYTES = 3000  # of a row's inputs: they go through an emulated UART


def rows_on(features: frozenset[str]) -> list[Case]:
    """Small rows without state that a core with these features computes by a variant; without
    features all."""
    small = [c for c in CASES if sum(feed.type.nbytes for feed in c.feeds) <= LARGEST_BYTES]
    chosen = [replace(c, op=variant_for(node_of(Graph(), c), features)) for c in small]
    return [c for c in chosen if bool(c.op.needs) is bool(features) and not c.op.mutates]


BOARDS = [board_param(board) for board in ("mps2_an505", "mps3_an547")]
LONG = ("rv32_virt", "mps2_an385", "mps2_an385_m0")
BOARDS += [board_param(board, is_long=True) for board in LONG]


@pytest.mark.slow
@pytest.mark.parametrize("board", BOARDS)
def test_every_row_has_the_same_bits(board: str) -> None:
    chip = chip_of(board)
    rows = rows_on(chip.features)
    plan, nodes = bench_plan(rows)
    plan = replace(plan, chip=chip)
    slots, region = plan.memory.slots, list(plan.memory.regions).index(ARENA)
    assert len(rows) > 20

    with simulated(build(plan, Target.parse(f"sim:{board}"))) as runner:
        assert isinstance(runner, DeviceRunner)
        arena = np.full(plan.memory.regions[ARENA], 0x5A, np.uint8)
        inputs = {case.name: draw_inputs(case, 0, 0) for case in rows}
        for name, values in inputs.items():
            for tensor, value in zip(nodes[name].inputs, values, strict=True):
                raw = np.frombuffer(value.astype(tensor.type.dtype.np).tobytes(), np.uint8)
                arena[slots[tensor].offset : slots[tensor].offset + raw.size] = raw
        runner.device.write(region, arena.tobytes())
        runner.device.write_sample(bytes(plan.task.input.type.nbytes))
        runner.device.step(0)
        for case in rows:
            node = nodes[case.name]
            expected = node.op.reference(node, *inputs[case.name])
            for tensor, value in zip(node.outputs, expected, strict=True):
                found = read_tensor(runner.device, plan, tensor)
                np.testing.assert_array_equal(found, value, case.name)

# SPDX-License-Identifier: Apache-2.0
"""Frozen weights as nibbles on emulated cores: rows with the bits of the reference, a net that
trains bit for bit, and flash that is what the plan says, to the byte."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mcutrain.host.boards import chip_of
from mcutrain.host.building.firmware import build
from mcutrain.host.building.target import Target
from mcutrain.host.cost import measured
from mcutrain.host.training.dataset import Dataset
from mcutrain.host.training.loop import train
from mcutrain.host.training.runners import DeviceRunner, simulated
from mcutrain.host.training.training_options import TrainingOptions
from mcutrain.host.training.verify import read_tensor
from mcutrain.trainer.graph.graph import Graph
from mcutrain.trainer.graph.op import Layout, Op, variant_for
from mcutrain.trainer.nibbles import nibble_layers
from mcutrain.trainer.ops.conv2d import Conv2D
from mcutrain.trainer.ops.depthwise_conv2d import DepthwiseConv2D
from mcutrain.trainer.ops.fully_connected import FullyConnected
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.planner.memory import ARENA, STATE
from mcutrain.trainer.tflite.reader import parse
from tests.support.bench import bench_plan, draw_inputs, node_of
from tests.support.nibbles import nibbles_of, within_nibbles
from tests.support.op_cases import CASES, Case
from tests.support.random_models import samples
from tests.support.simulated_boards import board_param
from tests.support.small_models import CLASSES, residual_model

LAYERS: list[type[Op]] = [Conv2D, DepthwiseConv2D, FullyConnected]
LARGEST_BYTES = {"atmega1284p": 250}  # of a row's inputs: its RAM holds all rows at once
BOARDS = ("mps2_an386", "mps3_an547", "atmega1284p")
LONG = ("mps2_an385_m0", "rv32_virt")


def rows_on(board: str) -> list[Case]:
    """Small rows of layers that learn whole, or not at all, as the board's chip computes them."""
    features, most = chip_of(board).features, LARGEST_BYTES.get(board, 3000)
    small = [c for c in CASES if sum(feed.type.nbytes for feed in c.feeds) <= most]
    small = [c for c in small if type(c.op) in LAYERS and c.name in nibbles_of([c])]
    return [replace(c, op=variant_for(node_of(Graph(), c), features)) for c in small]


@pytest.mark.slow
@pytest.mark.parametrize(
    "board", [*map(board_param, BOARDS), *(board_param(b, is_long=True) for b in LONG)]
)
def test_rows_have_the_same_bits(board: str) -> None:
    rows = rows_on(board)
    frozen = nibbles_of(rows)
    plan, nodes = bench_plan(rows, frozen, Layout.NIBBLES)
    plan = replace(plan, chip=chip_of(board))
    stored = {type(n.op).__mro__[1] for n in nodes.values() if n.op.layout is Layout.NIBBLES}
    assert len(rows) > 5 and len(stored) > 1

    with simulated(build(plan, Target.parse(f"sim:{board}"))) as runner:
        assert isinstance(runner, DeviceRunner)
        names = list(plan.memory.regions)
        memory = {ARENA: np.full(plan.memory.regions[ARENA], 0x5A, np.uint8)}
        inputs = {case.name: draw_inputs(case, 0, 9) for case in rows}
        for name, values in inputs.items():
            for k, (tensor, value) in enumerate(zip(nodes[name].inputs, values, strict=True)):
                if tensor.data is not None:
                    values[k] = tensor.data
                    continue
                raw = np.frombuffer(value.astype(tensor.type.dtype.np).tobytes(), np.uint8)
                place = plan.memory.place(tensor)
                assert place is not None and place[0] == ARENA != STATE
                memory[ARENA][place[1] : place[1] + raw.size] = raw
        runner.device.write(names.index(ARENA), memory[ARENA].tobytes())
        runner.device.write_sample(bytes(plan.task.input.type.nbytes))
        runner.device.step(0)
        for case in rows:
            node = nodes[case.name]
            (expected,) = node.op.reference(node, *inputs[case.name])
            found = read_tensor(runner.device, plan, node.output)
            np.testing.assert_array_equal(found, expected, case.name)


@pytest.mark.slow
@pytest.mark.parametrize("board", [board_param(b, is_long=b != "mps2_an386") for b in BOARDS])
def test_a_net_trains_bit_for_bit_in_the_flash_that_the_plan_says(board: str) -> None:
    model = within_nibbles(parse(residual_model(), "small"))
    plan = make_plan(model, PlanOptions("last:2", frozen="int4"), chip_of(board))
    x = np.stack(samples(plan.task.input.type.shape, 6, seed=5))
    y = np.arange(len(x)) % CLASSES
    assert len(nibble_layers(plan.operations)) == 2

    built = build(plan, Target.parse(f"sim:{board}"))
    measured(built)  # raises Error if plan and linker map differ by a byte
    with simulated(built) as runner:
        options = TrainingOptions(epochs=1, rate=2**-6, seed=3, verify=True)
        data = Dataset(x, y, x[:2], y[:2])
        result = train(plan, data, runner, options, lambda progress: None)

    assert result.difference is None, result.difference
    assert result.verified_steps == result.steps == len(x)

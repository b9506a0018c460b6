# SPDX-License-Identifier: Apache-2.0
"""A row of each kernel on a core of 8 bits, where an int has 16: the same bits as the reference,
also of what is changed in place. The portable kernels compile there without a warning."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from mcutrain.codegen.header import emit_selection
from mcutrain.codegen.program import lay_out
from mcutrain.host.boards import board_description, chip_of
from mcutrain.host.building.firmware import build
from mcutrain.host.building.kernel_archive import kernel_sources
from mcutrain.host.building.target import Target
from mcutrain.host.training.runners import DeviceRunner, simulated
from mcutrain.host.training.verify import read_tensor
from mcutrain.trainer.graph.graph import Graph
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.ops.error import SUFFIXES
from mcutrain.trainer.planner.memory import ARENA, STATE
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.bench import bench_plan, draw_inputs, node_of
from tests.support.native import WARNINGS, write_sources
from tests.support.op_cases import CASES, Case
from tests.support.paths import FIRMWARE
from tests.support.simulated_boards import board_param
from tests.support.small_plans import small_plan

BOARD = "atmega1284p"
ROUNDS = 3
FILLED = {ARENA: 0x5A, STATE: 0}  # what is no row's: in the state it must be valid
KINDS = ("values", "errors", "updates by E12", "updates by E8")


def kernel_of(case: Case) -> str:
    node = node_of(Graph(), case)
    call = node.op.lower(node)
    return "" if call is None else call.kernel


def kind_of(kernel: str, row: Case) -> str:
    """One of KINDS: kernels that update something by errors of 12 bits or 8, those that compute
    errors, and all others."""
    if any(part in kernel for part in ("_update", "_accumulate")):
        return KINDS[2] if kernel.endswith("_s16") else KINDS[3]
    return KINDS[1] if row.op.output_suffixes == SUFFIXES else KINDS[0]


def ram_bytes(row: Case) -> int:
    plan, _ = bench_plan([row])
    return plan.memory.arena_bytes + plan.memory.state_bytes + lay_out(plan).pointed_bytes


@cache
def smallest_rows() -> dict[str, Case]:
    """Of each kernel the row that needs the least RAM."""
    found: dict[str, Case] = {}
    for case in sorted(CASES, key=ram_bytes):
        found.setdefault(kernel_of(case), case)
    found.pop("", None)  # what is only a view computes nothing
    return found


def run_rows(rows: list[Case]) -> None:
    plan, nodes = bench_plan(rows)
    plan = replace(plan, chip=chip_of(BOARD))
    with simulated(build(plan, Target.parse(f"sim:{BOARD}"))) as runner:
        assert isinstance(runner, DeviceRunner)
        for round_ in range(ROUNDS):
            run_round(runner, plan, rows, nodes, round_)


def run_round(
    runner: DeviceRunner,
    plan: TrainingPlan,
    rows: list[Case],
    nodes: dict[str, Node],
    round_: int,
) -> None:
    names = list(plan.memory.regions)
    regions = plan.memory.regions.items()
    memory = {name: np.full(nbytes, FILLED[name], np.uint8) for name, nbytes in regions}
    inputs = {case.name: draw_inputs(case, round_, round_) for case in rows}
    for name, values in inputs.items():
        for tensor, value in zip(nodes[name].inputs, values, strict=True):
            raw = np.frombuffer(value.astype(tensor.type.dtype.np).tobytes(), np.uint8)
            place = plan.memory.place(tensor)
            assert place is not None
            memory[place[0]][place[1] : place[1] + raw.size] = raw
    for name, contents in memory.items():
        runner.device.write(names.index(name), contents.tobytes())
    runner.device.write_sample(bytes(plan.task.input.type.nbytes))
    runner.device.step(0)
    for case in rows:
        node = nodes[case.name]
        expected = node.op.reference(node, *inputs[case.name])
        for tensor, value in zip(node.outputs, expected, strict=True):
            found = read_tensor(runner.device, plan, tensor)
            np.testing.assert_array_equal(found, value, case.name)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("board", "kind"), [board_param(BOARD, kind, is_long=kind != KINDS[0]) for kind in KINDS]
)
def test_a_row_of_every_kernel_has_the_same_bits(board: str, kind: str) -> None:
    """Not all at once: they are more than its flash."""
    rows = [row for kernel, row in smallest_rows().items() if kind == kind_of(kernel, row)]
    assert len(rows) > 10
    run_rows(rows)


@pytest.mark.parametrize("board", [board_param(BOARD)])
def test_all_c_of_the_device_compiles_without_a_warning(board: str, tmp_path: Path) -> None:
    """Constants beyond 16 bits, shifts as wide as an int, sizes that are cut: all are warnings."""
    flags = board_description(board)["build"]["cpu_flags"]
    plan = small_plan()
    (tmp_path / "mct_selected_model.h").write_text(emit_selection(plan, bytes(8)))
    sources = [
        write_sources(plan, tmp_path),
        *kernel_sources(FIRMWARE),
        *sorted(FIRMWARE.glob("learning/*.c")),
        *sorted(FIRMWARE.glob("runtime/*.c")),
        *sorted(FIRMWARE.glob("ports/avr/*.c")),
    ]
    includes = [f"-I{FIRMWARE}", f"-I{tmp_path}", "-DMCT_LINK_PAYLOAD=128", "-DMCT_WITH_STORE"]
    command = ["avr-gcc", *flags, *WARNINGS, *includes, "-O2", "-fsyntax-only", *map(str, sources)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""

# SPDX-License-Identifier: Apache-2.0
"""Instructions by node, of the firmware that is always built."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from mcutrain.host.building.firmware import Build, build
from mcutrain.host.building.target import Target
from mcutrain.host.measure.elf import load_image
from mcutrain.host.measure.lines import line_ranges
from mcutrain.host.prediction.calls import Part, executed
from mcutrain.host.show.profile import profile_table
from mcutrain.host.simulation.counts import Owned, read_counted
from mcutrain.host.simulation.emulators.qemu import compile_plugin
from mcutrain.host.simulation.profile import owners, profiles
from mcutrain.host.training.runners import simulated
from mcutrain.trainer.errors import Error
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import load
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.command import AT_A_RATE, Run
from tests.support.generated import SMALL
from tests.support.paths import WATCH
from tests.support.simulated_boards import missing

BOARD = "mps2_an386"
TARGET = Target.parse(f"sim:{BOARD}")
MODEL = WATCH / "watch.tflite"
STEPS = 3
ARGUMENTS = 20  # instructions that prepare a call of a kernel, at the most of them
pytestmark = [pytest.mark.board, pytest.mark.skipif(bool(missing(BOARD)), reason=missing(BOARD))]


def watch() -> TrainingPlan:
    return make_plan(load(MODEL), PlanOptions("last:2"), TARGET.chip)


def run_steps(built: Build, counts: Path, owned: Iterable[Owned] = ()) -> None:
    """Steps and an inference on zeros."""
    sample = np.zeros(built.plan.task.input.type.shape, np.int8)
    with simulated(built, counts, owned) as runner:
        runner.reset(1)
        for label in range(STEPS):
            runner.step(sample, np.array(label), wants_digest=False)
        runner.infer(sample)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["head", "groups"])
def test_nodes_of_regions_add_up_to_the_step(name: str, tmp_path: Path) -> None:
    """A region of rows in the one, of groups of channels in the other: the compiler may put their
    functions into each other."""
    plan, counts = SMALL[name](), tmp_path / "counts"
    built = build(plan, TARGET)
    run_steps(built, counts, owners(built))
    found, runs = profiles(built, counts), read_counted(counts)

    assert len(runs["step"]) == STEPS and len(runs["forward"]) == 1
    assert all(run.count == sum(run.by_owner.values()) for run in runs["step"] + runs["forward"])
    step = found["step"]
    assert step.count == sorted(run.count for run in runs["step"][1:])[0]
    assert [cost.of.node for cost in step.nodes] == [each.node for each in executed(plan)]
    assert all(cost.count > 2 for cost in step.nodes)
    assert sum(step.parts.values()) == step.count
    assert {cost.of.part for cost in found["forward"].nodes} == {Part.FORWARD}


@pytest.mark.slow
def test_a_node_has_what_its_kernel_executes(tmp_path: Path) -> None:
    """Nodes are found by lines of the source; kernels are found by their symbols."""
    plan = watch()
    built = build(plan, TARGET)
    functions = {s.name: s for s in load_image(built.elf).symbols if s.is_function}
    kernels = sorted({name for each in executed(plan) for name in each.kernels})
    symbols = [functions[f"mct_{name}"] for name in kernels]
    owned = [Owned(s.address, s.address + s.nbytes, n) for n, s in enumerate(symbols, 1)]
    generated = [Owned(r.begin, r.end, 0) for r in line_ranges(built.elf, "watch.c")]
    for name, given in (("kernels", owned + generated), ("nodes", owners(built)), ("plain", ())):
        run_steps(built, tmp_path / name, given)
    by_kernel = read_counted(tmp_path / "kernels")["step"][-1]
    of_nodes = Counter[str]()
    calls = Counter[str]()
    last = profiles(built, tmp_path / "nodes")["step"]
    for cost in last.nodes:
        (kernel,) = cost.of.kernels
        of_nodes[kernel] += cost.count
        calls[kernel] += 1

    totals = [
        [run.count for run in read_counted(tmp_path / name)["step"]]
        for name in ("kernels", "nodes", "plain")
    ]
    assert totals[0] == totals[1] == totals[2]
    run = next(r for r in read_counted(tmp_path / "kernels")["step"][1:] if r.count == last.count)
    assert by_kernel.by_owner.keys() <= {0, *range(1, len(kernels) + 1)}
    for number, kernel in enumerate(kernels, 1):
        assert 0 < of_nodes[kernel] - run.by_owner[number] < ARGUMENTS * calls[kernel], kernel


@pytest.mark.slow
def test_a_profile_is_given_as_json_and_shown(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ("--update", "last:2", "--target", f"sim:{BOARD}", "--profile", "--json")
    found = run("plan", MODEL, *asked).json["profile"]

    assert found.keys() == {"step", "forward"}
    for profile in found.values():
        rows = profile["nodes"]
        of_nodes = sum(row["instructions"] for row in rows)
        assert of_nodes + profile["parts"]["between"] == profile["instructions"]
        assert sum(row["share"] for row in rows) == pytest.approx(
            of_nodes / profile["instructions"]  # sums of floats, in another order
        )
    assert found["step"]["instructions"] > found["forward"]["instructions"]
    profile_table("a training step", found["step"])
    printed = capsys.readouterr().out
    assert f"{found['step']['instructions']:,} instructions: a training step" in printed
    conv = found["forward"]["nodes"][0]
    assert (conv["node"], conv["kind"], conv["macs"]) == ("conv_2d_0", "Conv2DPackedDsp", 7680)


def test_a_profile_needs_a_simulated_board(run: Run) -> None:
    data = WATCH / "demo.npz"
    for ran in (
        run("plan", MODEL, "--profile"),
        run("train", MODEL, *AT_A_RATE, "--data", data, "--profile"),
    ):
        assert ran.status == 1
        assert ran.err.startswith("error: --profile needs a simulated board: --target sim:BOARD")
        assert ran.err.count("\n") == 1


def test_lines_of_a_file_that_is_not_there_are_reported(tmp_path: Path) -> None:
    """Another source, and a file that is no program."""
    with pytest.raises(Error, match=r"no lines of other\.c; compile with -g"):
        line_ranges(compile_plugin(), "other.c")
    (tmp_path / "text").write_text("no ELF")
    with pytest.raises(Error, match="not a readable ELF file"):
        line_ranges(tmp_path / "text", "watch.c")

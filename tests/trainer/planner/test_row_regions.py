# SPDX-License-Identifier: Apache-2.0
"""Regions: runs of nodes that go row by row, in rings, with the bits of whole tensors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mcutrain.host.link.protocol import Status
from mcutrain.trainer.errors import ModelError, SchemeError
from mcutrain.trainer.graph.call import Window
from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.planner.memory import ARENA
from mcutrain.trainer.planner.row_choice import Chooser
from mcutrain.trainer.planner.row_region import RowRegion
from mcutrain.trainer.planner.row_ring import External, Read, RingRun, Stage, rings
from mcutrain.trainer.tflite.reader import parse
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.drawn_regions import drawn_runs
from tests.support.marks import sampled
from tests.support.native import NativeModel, push, status
from tests.support.random_trunks import random_trunk
from tests.support.small_models import residual_model
from tests.support.steps import assert_steps_are_equal


def chain(*windows: tuple[int, int, int], rows: int = 12) -> tuple[Stage, ...]:
    """Stages, each of which reads the one before it, the first an external tensor of ``rows``."""
    stages = []
    for s, (kernel, stride, pad) in enumerate(windows):
        out = (rows + 2 * pad - kernel) // stride + 1
        stages.append(Stage(out, 10, (Read(s - 1, rows, Window(kernel, stride, pad)),)))
        rows = out
    return tuple(stages)


def test_a_ring_holds_a_window_and_no_more() -> None:
    stages = chain((3, 2, 1), (1, 1, 0), (7, 1, 3), (2, 2, 0), rows=40)
    assert rings(stages, (External(4, False),)).kept == (1, 7, 2, 1)
    assert rings(stages, (External(4, True),)).arriving == (3,)


def test_a_skipped_branch_waits_for_the_other() -> None:
    """An addition of a tensor and of two convolutions of it, 3 rows high each."""
    same = Window(3, 1, 1)
    stages = (
        Stage(9, 1, (Read(-1, 9, Window()),)),
        Stage(9, 1, (Read(0, 9, same),)),
        Stage(9, 1, (Read(1, 9, same),)),
        Stage(9, 1, (Read(2, 9, Window()), Read(0, 9, Window()))),
    )
    assert rings(stages, (External(1, False),)).kept == (3, 3, 1, 1)


def random_stages(rng: np.random.Generator) -> tuple[tuple[Stage, ...], int]:
    """Stages with one or two inputs each, and the rows of the external tensor."""
    heights = [int(rng.integers(1, 20))]
    stages: list[Stage] = []
    for s in range(int(rng.integers(1, 7))):
        stride, kernel = int(rng.integers(1, 4)), int(rng.integers(1, 8))
        source = int(rng.integers(max(-1, s - 3), s))
        height = heights[source + 1]
        pad = int(rng.integers(0, kernel))
        rows = max(1, (height + 2 * pad - kernel) // stride + 1)
        reads = [Read(source, height, Window(kernel, stride, pad))]
        reads += [Read(t, h, Window()) for t, h in enumerate(heights, -1) if h == rows][:1]
        stages.append(Stage(rows, int(rng.integers(1, 40)), tuple(reads)))
        heights.append(rows)
    return tuple(stages), heights[0]


@pytest.mark.parametrize("arrives", [False, True])
def test_no_row_is_overwritten_that_is_still_needed(arrives: bool) -> None:
    """Executes random runs over rings that hold the rows' numbers."""
    rng = np.random.default_rng(5)
    for _ in range(300):
        stages, height = random_stages(rng)
        external = External(int(rng.integers(1, 60)), arrives)
        found = rings(stages, (external,))
        held = {-1: [-1] * (found.arriving[0] if arrives else height)}
        held |= {s: [-1] * kept for s, kept in enumerate(found.kept)}
        if not arrives:
            held[-1] = list(range(height))
        run = RingRun(stages, (external,))
        while run.ready or run.arrive():
            for row in range(run.came[0]):
                if row == run.came[0] - 1:
                    held[-1][row % len(held[-1])] = row
            if not run.ready:
                continue
            s = run.ready.bit_length() - 1
            for read in stages[s].reads:
                ring = held[read.source]
                for row in range(read.oldest(run.done[s]), read.needed(run.done[s])):
                    assert ring[row % len(ring)] == row
            held[s][run.done[s] % len(held[s])] = run.done[s]
            run.compute(s)
        assert run.done == [stage.rows for stage in stages]


def test_an_output_may_lie_over_what_has_been_read() -> None:
    """Executes random runs with the last output below the input, by the distance found: no row of
    the input is written over before its last reading; one byte nearer, one is."""
    rng = np.random.default_rng(6)
    for _ in range(300):
        stages, height = random_stages(rng)
        external = External(int(rng.integers(1, 60)), False)
        last, distance = len(stages) - 1, rings(stages, (external,)).distance
        assert not spoils(stages, external, height, distance[last, 0])
        if distance[last, 0] > -height * external.row_bytes + stages[last].row_bytes:
            assert spoils(stages, external, height, distance[last, 0] - 1)


def spoils(stages: tuple[Stage, ...], external: External, height: int, distance: int) -> bool:
    """Whether the last stage's rows, from 0 on, reach rows of the input at ``distance`` that are
    being read or are read later."""
    run = RingRun(stages, (external,))
    while run.ready:
        s = run.ready.bit_length() - 1
        if s == len(stages) - 1:
            end = (run.done[s] + 1) * stages[s].row_bytes
            oldest = run.oldest(-1)
            assert oldest is not None
            if end > distance + oldest * external.row_bytes:
                return True
        run.compute(s)
    return False


def plan_of(seed: int, update: str, arrives: bool, monkeypatch: pytest.MonkeyPatch) -> TrainingPlan:
    rng = np.random.default_rng(seed)
    monkeypatch.setattr(Chooser, "segments", lambda chooser: drawn_runs(chooser, rng))
    return make_plan(parse(random_trunk(seed), "trunk"), PlanOptions(update, stream_input=arrives))


@pytest.mark.parametrize("seed", sampled(range(24), 9))
def test_random_regions_train_bit_exactly(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    update = ["head", "last:2", "bias", "full"][seed % 4]
    try:
        plan = plan_of(seed, update, False, monkeypatch)
    except (ModelError, SchemeError):  # a random layer that cannot learn, or one layer alone
        plan = plan_of(seed, "head", False, monkeypatch)
    assert_steps_are_equal(plan, tmp_path, 7)


@pytest.mark.parametrize("seed", sampled(range(100, 116), 6))
def test_samples_arrive_in_pieces(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of(seed, "head", True, monkeypatch)
    assert plan.arriving is not None
    device, reference = NativeModel(plan, tmp_path), Interpreter(plan)
    rng = np.random.default_rng(seed)
    for label in (0, 2, 1, 1):
        sample = rng.integers(-128, 128, plan.task.input.type.shape).astype(np.int8)
        at = 0
        while at < sample.size:
            count = min(int(rng.integers(1, 40)), sample.size - at)
            assert push(device, at, sample.reshape(-1)[at : at + count]) == Status.OK
            at += count
        assert device.call("step", label) & 0xFF == 0
        reference.step(sample, label)
        assert device.digest() == reference.digest()


def streamed(tmp_path: Path) -> tuple[NativeModel, np.ndarray]:
    plan = make_plan(parse(residual_model(), "small"), PlanOptions("head", stream_input=True))
    return NativeModel(plan, tmp_path), np.zeros(plan.task.input.type.size, np.int8)


def test_a_sample_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    device, sample = streamed(tmp_path)
    assert push(device, 0, sample[:-1]) == Status.OK
    for call in ("step", "begin"):
        assert status(device.call(call, 0)) == Status.SAMPLE
    assert status(device.call("infer")) == Status.SAMPLE
    assert push(device, sample.size - 1, sample[:1]) == Status.OK
    assert device.call("step", 0) & 0xFF == 0
    assert status(device.call("step", 0)) == Status.SAMPLE  # a sample serves once


def test_pieces_come_in_their_order(tmp_path: Path) -> None:
    device, sample = streamed(tmp_path)
    assert push(device, 1, sample[:4]) == Status.RANGE
    assert push(device, 0, sample[:4]) == Status.OK
    assert push(device, 0, sample[:9]) == Status.OK  # begins anew
    assert push(device, 4, sample[:4]) == Status.RANGE
    assert push(device, 9, np.zeros(sample.size, np.int8)) == Status.RANGE  # beyond its end
    assert push(device, 9, sample[9:]) == Status.OK
    assert device.call("infer") & 0xFF == 0


def test_a_refused_label_leaves_the_sample_and_a_step_under_way_is_said_first(
    tmp_path: Path,
) -> None:
    device, sample = streamed(tmp_path)
    assert push(device, 0, sample) == Status.OK
    assert status(device.call("step", 99)) == Status.LABEL
    assert status(device.call("begin", 0)) == Status.OK
    for call in ("step", "begin"):
        assert status(device.call(call, 0)) == Status.BUSY
    assert status(device.call("infer")) == Status.BUSY
    assert push(device, 0, sample) == Status.BUSY


def test_what_is_written_between_two_pieces_harms_nothing_else(tmp_path: Path) -> None:
    """The counts of rows lie outside the arena: a row is never computed out of its place."""
    device, sample = streamed(tmp_path)
    assert push(device, 0, sample[:9]) == Status.OK
    device.regions[ARENA][:] = 0x80
    assert push(device, 9, sample[9:]) == Status.OK
    assert status(device.call("infer")) == Status.OK


def test_a_latent_takes_the_place_of_a_sample(tmp_path: Path) -> None:
    device, sample = streamed(tmp_path)
    latent = device.latent_of(sample).reshape(-1)
    assert push(device, 0, sample[:9]) == Status.OK
    assert status(device.push("push_latent", 0, latent)) == Status.OK
    assert push(device, 9, sample[9:]) == Status.RANGE
    assert status(device.call("step_from_latent", 0)) == Status.OK


def test_an_input_that_is_read_again_cannot_arrive_by_rows() -> None:
    with pytest.raises(ModelError, match=r"cannot arrive row by row: .*_update"):
        make_plan(parse(residual_model(), "small"), PlanOptions("full", stream_input=True))


def test_regions_change_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    model = parse(residual_model(), "small")
    plain = make_plan(model, PlanOptions("last:2"))
    arriving = make_plan(model, PlanOptions("head", stream_input=True))
    assert arriving.numerics_hash == make_plan(model, PlanOptions("head")).numerics_hash
    assert isinstance(arriving.graph.nodes[0].op, RowRegion)
    monkeypatch.setattr(Chooser, "segments", lambda chooser: [(0, 2)])
    assert make_plan(model, PlanOptions("last:2")).numerics_hash == plain.numerics_hash

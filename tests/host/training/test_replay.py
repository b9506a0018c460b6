# SPDX-License-Identifier: Apache-2.0
"""The replay buffer: C decides as Python does, and what it keeps is balanced and fair."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcutrain.host.building.firmware import build
from mcutrain.host.building.target import Target
from mcutrain.host.training.dataset import Dataset, load_dataset
from mcutrain.host.training.latents import DEVICE, HOST, OFF
from mcutrain.host.training.preconditioning import with_input_shifts
from mcutrain.host.training.replay import Visit, stream_of, train_stream
from mcutrain.host.training.result import Result
from mcutrain.host.training.runners import ReferenceRunner, simulated
from mcutrain.host.training.training_options import TrainingOptions
from mcutrain.trainer.errors import DataError
from mcutrain.trainer.interpreter import Interpreter, unpack_state
from mcutrain.trainer.ops.sgd import LearningRate
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.replay import ReplayBuffer
from mcutrain.trainer.tflite.reader import parse
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.latent_slots import with_slots
from tests.support.native import FIRMWARE, compile_shared
from tests.support.small_models import residual_model, write_dataset

NONE = 2**32 - 1


class CClass(ctypes.Structure):
    _fields_ = [("seen", ctypes.c_uint32), ("kept", ctypes.c_uint16), ("is_full", ctypes.c_bool)]


class CReplay(ctypes.Structure):
    _fields_ = [
        ("slots", ctypes.c_uint32),
        ("classes", ctypes.c_uint32),
        ("labels", ctypes.POINTER(ctypes.c_uint16)),
        ("balance", ctypes.POINTER(CClass)),
        *((name, ctypes.c_uint32) for name in ("seed", "offered", "drawn", "filled")),
    ]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    out = tmp_path_factory.mktemp("replay") / "replay.so"
    found = compile_shared([FIRMWARE / "learning" / "replay.c"], [FIRMWARE], out)
    for name in ("mct_replay_offer", "mct_replay_draw"):
        getattr(found, name).restype = ctypes.c_uint32
    return found


class CBuffer:
    """The C twin of ReplayBuffer, with the caller's storage."""

    def __init__(self, library: ctypes.CDLL, slots: int, classes: int, seed: int) -> None:
        self.library = library
        self.labels = (ctypes.c_uint16 * max(slots, 1))()
        self.balance = (CClass * classes)()
        self.replay = CReplay(slots, classes, self.labels, self.balance, seed)

    def offer(self, label: int) -> int | None:
        slot = self.library.mct_replay_offer(ctypes.byref(self.replay), ctypes.c_uint32(label))
        return None if slot == NONE else slot

    def draw(self) -> int | None:
        slot = self.library.mct_replay_draw(ctypes.byref(self.replay))
        return None if slot == NONE else slot


def assert_alike(python: ReplayBuffer, c: CBuffer) -> None:
    assert python.labels == list(c.labels[: c.replay.filled])
    counted = [(b.seen, b.kept, b.is_full) for b in c.balance]
    assert [(b.seen, b.kept, b.is_full) for b in python.balance] == counted


@settings(max_examples=150)
@given(st.data())
def test_c_decides_as_python_does(library: ctypes.CDLL, data: st.DataObject) -> None:
    slots, classes = data.draw(st.integers(0, 12)), data.draw(st.integers(1, 6))
    seed = data.draw(st.integers(0, 2**32 - 1))
    python, c = ReplayBuffer(slots, classes, seed), CBuffer(library, slots, classes, seed)
    for label in data.draw(st.lists(st.integers(0, classes - 1), max_size=80)):
        assert python.offer(label) == c.offer(label)
        assert python.draw() == c.draw()
        assert_alike(python, c)


def test_c_decides_as_python_does_on_a_long_skewed_stream(library: ctypes.CDLL) -> None:
    python, c = ReplayBuffer(50, 10, 7), CBuffer(library, 50, 10, 7)
    labels = np.random.default_rng(3).zipf(1.5, 5000) % 10
    for label in map(int, labels):
        assert python.offer(label) == c.offer(label)

    assert_alike(python, c)
    assert sorted(b.kept for b in python.balance) == [5] * 10


def test_a_slot_that_is_kept_holds_the_class_it_was_offered_for() -> None:
    buffer = ReplayBuffer(8, 3, seed=1)
    held: dict[int, int] = {}
    for label in np.random.default_rng(0).integers(0, 3, 500).tolist():
        if (slot := buffer.offer(label)) is not None:
            held[slot] = label

        assert [held[k] for k in range(len(buffer.labels))] == buffer.labels
        assert sum(b.kept for b in buffer.balance) == len(buffer.labels) <= 8


def test_a_class_that_comes_late_gets_its_share() -> None:
    """A thousand samples of two classes, then a few of a third."""
    buffer = ReplayBuffer(30, 3, seed=2)
    for k in range(1000):
        buffer.offer(k % 2)
    for _ in range(10):
        buffer.offer(2)

    assert [b.kept for b in buffer.balance] == [10, 10, 10]


def test_each_sample_of_a_full_class_is_as_likely_to_be_kept() -> None:
    """One class is a reservoir: of 20 samples, 5 are kept, each in a quarter of the runs.

    The counts are binomial with n = 2000, p = 1/4: standard deviation 19.4, bound 5 of them.
    """
    counts = np.zeros(20)
    for seed in range(2000):
        buffer, held = ReplayBuffer(5, 1, seed), [0] * 5
        for k in range(20):
            if (slot := buffer.offer(0)) is not None:
                held[slot] = k
        counts[held] += 1

    assert np.abs(counts - 500).max() < 97


def test_each_slot_is_as_likely_to_be_replayed() -> None:
    """Binomial with n = 10000, p = 1/8: standard deviation 33, bound 5 of them."""
    buffer = ReplayBuffer(8, 2, seed=9)
    for k in range(40):
        buffer.offer(k % 2)
    counts = np.bincount([buffer.draw() for _ in range(10000)], minlength=8)  # type: ignore[arg-type]

    assert np.abs(counts - 1250).max() < 165


def test_nothing_is_drawn_from_an_empty_buffer(library: ctypes.CDLL) -> None:
    for buffer in (ReplayBuffer(4, 2), CBuffer(library, 4, 2, 0)):
        assert buffer.draw() is None


def test_a_stream_replays_what_it_holds() -> None:
    """Each new sample once and in order, each followed by two that lie in the slot named."""
    labels = np.random.default_rng(4).integers(0, 3, 200)
    stream = stream_of(ReplayBuffer(6, 3, seed=5), labels, 20, ratio=2)
    held: dict[int, int] = {}
    for sample, slot in stream.fills:
        assert sample < 20
        held[slot] = sample
    new = []
    for visit in stream.visits:
        if visit.is_new:
            new.append(visit.sample)
            if visit.slot is not None:
                held[visit.slot] = visit.sample
        else:
            assert visit.slot is not None and held[visit.slot] == visit.sample

    assert new == list(range(20, 200))
    assert [v.is_new for v in stream.visits] == [True, False, False] * 180
    assert Visit(20, None, True) in stream.visits or len(held) == 6


QUIET_RATE = 2.0**-5


def stream_data(folder: Path, plan: TrainingPlan) -> Dataset:
    """Old samples of two classes, then a stream of the other two."""
    path = write_dataset(folder / "whole.npz")
    with np.load(path) as file:
        arrays = dict(file)
    is_old = arrays["y_train"] < 2
    for key in ("x", "y"):
        arrays[f"{key}_old"] = arrays[f"{key}_train"][is_old]
        arrays[f"{key}_train"] = arrays[f"{key}_train"][~is_old]
    np.savez(folder / "stream.npz", **arrays)
    return load_dataset(folder / "stream.npz", plan)


def by_hand(plan: TrainingPlan, data: Dataset, slots: int) -> Interpreter:
    """The stream as its definition has it, on whole samples in the reference."""
    reference, buffer = Interpreter(plan, seed=3), ReplayBuffer(slots, plan.classes, seed=3)
    reference.set_learning_rate(LearningRate.from_real(QUIET_RATE))
    held = {}
    assert data.x_old is not None and data.y_old is not None
    samples = np.concatenate([data.x_old, data.x_train])
    found = with_input_shifts(plan, samples, reference.state_bytes())
    reference.state = unpack_state(plan, found)
    for x, y in zip(data.x_old, data.y_old, strict=True):
        held[buffer.offer(int(y))] = x
    for x, y in zip(data.x_train, data.y_train, strict=True):
        held[buffer.offer(int(y))] = x
        reference.step(x, int(y))
        slot = buffer.draw()
        assert slot is not None
        reference.step(held[slot], buffer.labels[slot])
    return reference


@pytest.mark.slow
@pytest.mark.board
@pytest.mark.parametrize(
    ("update", "place", "target"),
    [
        ("last:2", None, "reference"),
        pytest.param("last:2", OFF, "native", marks=pytest.mark.exhaustive),
        ("last:2", HOST, "native"),
        pytest.param("last:2", DEVICE, "native", marks=pytest.mark.exhaustive),
        ("last:2", DEVICE, "sim:mps2_an386"),
        ("full", None, "native"),
    ],
)
def test_a_stream_trains_as_its_definition_wherever_the_buffer_lies(
    update: str, place: str | None, target: str, tmp_path: Path
) -> None:
    slots = 5
    plan = make_plan(parse(residual_model(), "small"), PlanOptions(update))
    plan = with_slots(plan, slots if place == DEVICE else 0)
    data = stream_data(tmp_path, plan)
    reference = by_hand(plan, data, slots)
    options = TrainingOptions(rate=QUIET_RATE, schedule="constant", seed=3, verify=True)

    def run(runner: object) -> Result:
        result, saving = train_stream(
            plan, data, runner, slots, options, lambda progress: None, place=place
        )  # type: ignore[arg-type]
        assert saving.reused == len(data.x_train)
        return result

    if target == "reference":
        result = run(ReferenceRunner(plan))
    else:
        with simulated(build(plan, Target.parse(target))) as runner:
            result = run(runner)

    assert result.difference is None, result.difference
    assert result.verified_steps == result.steps == 2 * len(data.x_train) == reference.steps
    assert result.state == reference.state_bytes()


def test_replay_keeps_old_classes(tmp_path: Path) -> None:
    """Without it, two new classes push two old ones out of the head."""
    plan = make_plan(parse(residual_model(), "small"), PlanOptions("head", 4))
    data = stream_data(tmp_path, plan)
    options = TrainingOptions(rate=2.0**-4, schedule="constant", seed=1)
    is_old = data.y_test < 2
    old = Dataset(data.x_train, data.y_train, data.x_test[is_old], data.y_test[is_old],
                  x_old=data.x_old, y_old=data.y_old)  # fmt: skip
    found = []
    for ratio in (0, 3):
        result, _ = train_stream(
            plan, old, ReferenceRunner(plan), 12, options, lambda progress: None, ratio
        )
        found.append(result.after)

    assert found[0] == 0.0
    assert found[1] is not None and found[1] >= 0.5


def test_a_stream_needs_labels(tmp_path: Path) -> None:
    plan = make_plan(parse(residual_model(), "small"), PlanOptions("head", loss="mse"))
    x = np.zeros((2, plan.task.input.type.size), np.int8)
    y = np.zeros((2, plan.task.logits.type.size), np.int8)
    with pytest.raises(DataError, match="the loss takes no label"):
        train_stream(
            plan,
            Dataset(x, y, x, y),
            ReferenceRunner(plan),
            2,
            TrainingOptions(),
            lambda progress: None,
        )

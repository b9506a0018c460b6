# SPDX-License-Identifier: Apache-2.0
"""The guard: its rule in Python and in C, and runs that keep, roll back, stop and are stopped."""

from __future__ import annotations

import ctypes
import json
import math
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcutrain.host.building.firmware import build
from mcutrain.host.building.library import CRegion
from mcutrain.host.building.target import Target
from mcutrain.host.cli import app as cli
from mcutrain.host.training.dataset import Dataset, load_dataset
from mcutrain.host.training.guard import Guard, Guarded, ValidationScore, Verdict, chance, is_better
from mcutrain.host.training.loop import Progress, Result, TrainingOptions, train
from mcutrain.host.training.rates import epochs, last_part
from mcutrain.host.training.runners import ReferenceRunner, simulated
from mcutrain.host.training.validation import held_out, judged_output
from mcutrain.trainer.errors import DataError
from mcutrain.trainer.interpreter import Interpreter, unpack_state
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import parse
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.command import AT_A_RATE
from tests.support.native import FIRMWARE, compile_shared, write_sources
from tests.support.small_models import CLASSES, SHAPE, residual_model, write_dataset

TOO_LARGE = 200.0  # a learning rate that breaks what was learned


def small_plan(update: str = "last:2", **options: Any) -> TrainingPlan:
    return make_plan(parse(residual_model(), "small"), PlanOptions(update, **options))


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    """Ten of each class to train with, two of each to validate."""
    loaded = load_dataset(write_dataset(tmp_path / "d.npz", per_class=12), small_plan())
    found, reason = held_out(small_plan(), loaded, 0)
    assert not reason and found.x_val is not None
    return found


def silent(progress: Progress) -> None:
    pass


def run(data: Dataset, state: bytes | None = None, **options: Any) -> Result:
    """In the reference, guarded."""
    plan = small_plan("full")
    chosen = TrainingOptions(**{"epochs": 3, "seed": 1, "guard": True, **options})
    return train(plan, data, ReferenceRunner(plan), chosen, silent, state)


# The rule.


@pytest.mark.parametrize(
    ("score", "best", "better"),
    [
        (ValidationScore(58, 60, 1.0), ValidationScore(58, 60, 1.0), False),
        (ValidationScore(58, 60, 0.9), ValidationScore(58, 60, 1.0), True),
        (
            ValidationScore(59, 60, 1.1),
            ValidationScore(58, 60, 1.0),
            False,
        ),  # one more may be chance
        (ValidationScore(59, 60, 0.9), ValidationScore(58, 60, 1.0), True),
        (ValidationScore(60, 60, 9.0), ValidationScore(58, 60, 1.0), False),
        (ValidationScore(56, 60, 9.0), ValidationScore(50, 60, 1.0), True),  # six more are not
        (
            ValidationScore(57, 60, 0.1),
            ValidationScore(58, 60, 1.0),
            False,
        ),  # never with fewer right
        (ValidationScore(1, 1, 2.0), ValidationScore(0, 1, 1.0), True),
        (ValidationScore(5, 5, math.nan), ValidationScore(5, 5, 1.0), False),
        (ValidationScore(5, 5, 1.0), ValidationScore(5, 5, math.nan), True),
        (ValidationScore(5, 5, math.nan), ValidationScore(5, 5, math.nan), False),
        (ValidationScore(5, 5, math.inf), ValidationScore(5, 5, math.inf), False),
        (
            ValidationScore(0, 9, 0.2),
            ValidationScore(0, 9, 0.3),
            True,
        ),  # values: the loss alone decides
    ],
)
def test_what_is_better(score: ValidationScore, best: ValidationScore, better: bool) -> None:
    assert is_better(score, best) is better
    assert not (better and is_better(best, score))


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_chance_is_the_root_of_the_variance(correct: int, total: int) -> None:
    found, limit = chance(ValidationScore(correct, total)), max(0, 4 * correct * (total - correct))

    assert found**2 * total <= limit
    assert total == 0 or correct > total or (found + 1) ** 2 * total > limit


def test_patience_counts_reports_in_a_row_and_only_those_that_count() -> None:
    guard = Guard(patience=2)
    losses = (1.0, 0.9, 1.0, 0.8, 0.9, 0.9)
    said = [guard.report(ValidationScore(0, 1, loss), bytes) for loss in losses]
    improved, go_on, stop = Verdict.IMPROVED, Verdict.GO_ON, Verdict.STOP

    assert said == [improved, improved, go_on, improved, go_on, stop]
    assert guard.report(ValidationScore(0, 1, 0.9), bytes, counts=False) is go_on
    assert guard.report(ValidationScore(0, 1, 0.9), bytes) is stop
    forever = Guard(patience=0)
    assert all(forever.report(ValidationScore(0, 1, 1.0), bytes) is not stop for _ in range(50))


scores = st.builds(
    ValidationScore, st.integers(0, 9), st.just(9), st.sampled_from([0.0, 0.5, 1.0, math.nan])
)


@given(st.lists(scores, min_size=1, max_size=30), st.integers(0, 4))
def test_the_state_kept_is_the_best_one(seen: list[ValidationScore], patience: int) -> None:
    guard = Guard(patience)
    for k, score in enumerate(seen):
        guard.report(score, lambda k=k: bytes([k]))
    kept = seen[guard.state[0]]

    assert guard.best == kept or math.isnan(kept.loss)
    assert kept.correct >= seen[0].correct
    # Nothing after it is better, and it was better than all kept before it.
    assert not any(is_better(later, kept) for later in seen[guard.state[0] + 1 :])


# The rule in C.


class CGuard(ctypes.Structure):
    _fields_ = [
        ("state", CRegion), ("best", ctypes.c_void_p),
        *((name, ctypes.c_uint32) for name in ("patience", "stale", "correct", "total", "loss")),
        ("has_best", ctypes.c_bool),
    ]  # fmt: skip


@cache
def guard_library(folder: Path) -> ctypes.CDLL:
    return compile_shared([FIRMWARE / "runtime/guard.c"], [FIRMWARE], folder / "guard.so")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    return guard_library(tmp_path_factory.mktemp("guard"))


class InC:
    """A guard of the device over a state of four bytes."""

    def __init__(self, library: ctypes.CDLL, patience: int) -> None:
        self.library, self.guard = library, CGuard()
        self.state, self.best = (ctypes.c_uint8 * 4)(), (ctypes.c_uint8 * 4)(*b"\xee" * 4)
        region = CRegion(ctypes.addressof(self.state), 4)
        library.mct_guard_init(ctypes.byref(self.guard), region, self.best, patience)

    def report(self, score: ValidationScore, number: int, has_loss: bool) -> int:
        self.state[:] = list(number.to_bytes(4, "little"))
        values = [score.correct, score.total, *([int(score.loss)] if has_loss else [])]
        call = self.library.mct_guard_report_loss if has_loss else self.library.mct_guard_report
        return call(ctypes.byref(self.guard), *map(ctypes.c_uint32, values))

    def restored(self) -> int:
        self.library.mct_guard_restore(ctypes.byref(self.guard))
        return int.from_bytes(bytes(self.state), "little")


totals = st.sampled_from([1, 2, 7, 40, 1000, 2**31, 2**32 - 1])


@given(st.data(), totals, st.integers(0, 3), st.booleans())
@settings(max_examples=300)
def test_the_device_decides_as_the_host(
    library: ctypes.CDLL, data: st.DataObject, total: int, patience: int, has_loss: bool
) -> None:
    rights = data.draw(st.lists(st.integers(0, total) | st.integers(0, min(total, 5)), max_size=20))
    losses = [data.draw(st.integers(0, 3) | st.integers(0, 2**32 - 1)) for _ in rights]
    twin, device = Guard(patience), InC(library, patience)
    for k, (right, loss) in enumerate(zip(rights, losses, strict=True)):
        score = ValidationScore(right, total, loss if has_loss else 0)

        assert device.report(score, k, has_loss) == twin.report(score, lambda k=k: bytes([k]))
    expected = twin.state[0] if rights else 0

    assert device.restored() == expected


def test_the_device_restores_nothing_before_a_report(library: ctypes.CDLL) -> None:
    device = InC(library, 1)
    device.state[:] = [1, 2, 3, 4]

    assert device.restored() == 0x04030201
    assert device.report(ValidationScore(0, 0), 5, False) == Verdict.IMPROVED
    assert device.report(ValidationScore(0, 0), 6, False) == Verdict.STOP


@pytest.mark.slow
def test_the_firmware_does_not_hold_a_guard_that_it_does_not_use() -> None:
    built = build(small_plan("head"), Target.parse("native"))
    symbols = subprocess.run(["nm", built.elf], capture_output=True, text=True, check=True).stdout

    assert "mct_session_init" in symbols
    assert "mct_guard" not in symbols


def test_the_header_gives_the_size_of_a_copy(tmp_path: Path) -> None:
    plan = small_plan()
    header = write_sources(plan, tmp_path).with_suffix(".h").read_text()

    assert f"SMALL_STATE_BYTES = {plan.memory.state_bytes}," in header


# Held-out samples.


def test_samples_are_held_out_by_class_and_by_seed(tmp_path: Path) -> None:
    plan = small_plan()
    whole = load_dataset(write_dataset(tmp_path / "d.npz", per_class=12), plan)
    one, other = held_out(plan, whole, 1)[0], held_out(plan, whole, 2)[0]
    assert one.x_val is not None and one.y_val is not None and other.x_val is not None

    assert np.bincount(one.y_val).tolist() == [2] * CLASSES
    assert np.bincount(one.y_train).tolist() == [10] * CLASSES
    both = np.concatenate([one.x_train, one.x_val])
    assert sorted(map(bytes, both)) == sorted(map(bytes, whole.x_train))
    np.testing.assert_array_equal(held_out(plan, whole, 1)[0].x_val, one.x_val)
    assert not np.array_equal(one.x_val, other.x_val)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.5, 2.0, math.nan, math.inf])
def test_a_share_of_nothing_or_all_is_refused(share: float, data: Dataset) -> None:
    with pytest.raises(DataError, match="between 0 and 1"):
        held_out(small_plan(), replace(data, x_val=None, y_val=None), 0, share)


@pytest.mark.parametrize("share", [1e-9, 0.5, np.nextafter(1, 0)])
def test_a_share_that_is_asked_for_leaves_samples_on_both_sides(
    share: float, data: Dataset
) -> None:
    found, reason = held_out(small_plan(), replace(data, x_val=None, y_val=None), 0, share)
    assert not reason and found.y_val is not None

    assert set(found.y_val) == set(found.y_train) == set(range(CLASSES))


def test_too_few_samples_switch_the_guard_off_with_a_reason(data: Dataset) -> None:
    few = replace(data, x_train=data.x_train[:4], y_train=np.arange(4), x_val=None, y_val=None)
    found, reason = held_out(small_plan(), few, 0)

    assert found is few
    assert "1 training samples of a class are too few" in reason
    with pytest.raises(DataError, match="each class has only one"):
        held_out(small_plan(), few, 0, 0.5)


def test_one_class_alone_is_held_out_too(data: Dataset) -> None:
    one = replace(data, y_train=np.zeros_like(data.y_train), x_val=None, y_val=None)
    found, reason = held_out(small_plan(), one, 0)

    assert not reason and found.x_val is not None and len(found.x_val) == 8
    result = run(found, epochs=1)
    assert result.guarded is not None and len(result.guarded.curve) == 2


def test_a_guard_without_samples_is_refused(data: Dataset) -> None:
    with pytest.raises(DataError, match="needs validation samples"):
        run(replace(data, x_val=None, y_val=None))
    with pytest.raises(DataError, match="leave --validation out"):
        held_out(small_plan(), data, 0, 0.2)


# Runs.


@pytest.mark.slow
def test_a_rate_that_breaks_the_model_is_rolled_back(data: Dataset) -> None:
    good = run(data, epochs=6, rate=0.25)
    bad = run(data, epochs=3, state=good.state, rate=TOO_LARGE)
    bare = run(data, epochs=3, state=good.state, rate=TOO_LARGE, guard=False)
    assert bad.guarded is not None and good.guarded is not None

    assert not good.guarded.rolled_back and good.after > good.before
    assert bad.guarded.rolled_back
    assert bad.steps == 120
    assert bad.after == bad.before > bare.after
    assert bad.state == good.state
    assert "rolled back: no epoch was better than the" in bad.guarded.told()


def test_the_best_epoch_is_the_one_that_an_unguarded_run_has_there(data: Dataset) -> None:
    guarded = run(data, epochs=4, rate=0.2, schedule="constant")
    assert guarded.guarded is not None
    step = guarded.guarded.curve[guarded.guarded.best][0]
    bare = run(data, epochs=4, steps=step, rate=0.2, schedule="constant", guard=False)

    assert step > 0
    assert guarded.state == bare.state
    assert guarded.after == bare.after


def test_going_on_from_the_best_epoch_repeats_what_followed_it(data: Dataset) -> None:
    """The step number is kept with the rest: the order and the dither are those of then."""
    plan = small_plan("full")
    first = run(data, epochs=4, rate=0.2, schedule="constant")
    assert first.guarded is not None
    done = first.guarded.curve[first.guarded.best][0]
    assert unpack_state(plan, first.state)[plan.learning.sgd][1] == done
    again = run(data, epochs=4, steps=160 - done, rate=0.2, schedule="constant", state=first.state)
    assert again.guarded is not None

    assert again.losses == first.losses[done:]
    assert again.guarded.curve == first.guarded.curve[first.guarded.best :]
    assert again.state == first.state


def test_the_host_validates_as_the_device_does(data: Dataset) -> None:
    on_device, on_host = run(data), run(data, validate_on="host")

    assert on_host.guarded == on_device.guarded
    assert on_host.state == on_device.state
    with pytest.raises(DataError, match="place to validate on"):
        TrainingOptions(validate_on="cloud")


def test_a_run_stops_when_patience_is_over(data: Dataset) -> None:
    early = run(data, epochs=9, rate=TOO_LARGE, schedule="constant", patience=2)
    assert early.guarded is not None
    assert early.guarded.stopped_early
    assert early.steps == 40 * (len(early.guarded.curve) - 1) < 360
    assert early.guarded.best == len(early.guarded.curve) - 3
    never = run(data, epochs=4, rate=TOO_LARGE, schedule="constant", patience=0)
    assert never.guarded is not None and not never.guarded.stopped_early
    assert never.steps == 160


@pytest.mark.parametrize("schedule", ["step", "cosine"])
def test_patience_waits_for_the_low_rate(schedule: str, data: Dataset) -> None:
    """Nine epochs: the last three count, and the third of them is the last one anyway."""
    result = run(data, epochs=9, rate=TOO_LARGE, schedule=schedule, patience=1)
    assert result.guarded is not None

    assert last_part(360, schedule) == 240
    assert result.steps > 240


def test_epochs_of_a_run_that_goes_on_end_where_they_would_have() -> None:
    assert epochs(0, 40, 0) == []
    assert epochs(80, 40, 0) == [(0, 40), (40, 80)]
    assert epochs(30, 40, 100) == [(0, 20), (20, 30)]
    assert epochs(3, 1, 5) == [(0, 1), (1, 2), (2, 3)]


def test_one_validation_sample_is_enough_to_run(data: Dataset) -> None:
    assert data.x_val is not None and data.y_val is not None
    result = run(replace(data, x_val=data.x_val[:1], y_val=data.y_val[:1]))
    assert result.guarded is not None

    assert all(score.total == 1 for _, score in result.guarded.curve)
    assert (
        result.guarded.curve[result.guarded.best][1].correct >= result.guarded.curve[0][1].correct
    )


def test_no_step_is_nothing_to_roll_back(data: Dataset) -> None:
    result = run(data, epochs=0)
    assert result.guarded is not None

    assert not result.guarded.rolled_back
    assert "no epoch was trained" in result.guarded.told()
    assert result.after == result.before
    assert "before it had measured" in Guarded("accuracy").told()


@pytest.mark.slow
def test_verification_holds_through_a_rollback(data: Dataset) -> None:
    plan = small_plan("full")
    options = TrainingOptions(2, TOO_LARGE, seed=1, verify=True, guard=True)
    with simulated(build(plan, Target.parse("native"))) as runner:
        start = train(plan, data, runner, replace(options, rate=0.25, epochs=4), silent)
        result = train(plan, data, runner, options, silent, start.state)
        kept = runner.state()

    assert start.bit_exact and result.bit_exact
    assert result.verified_steps == result.steps == 80
    assert result.guarded is not None and result.guarded.rolled_back
    assert kept == result.state == start.state
    reference = run(data, epochs=2, rate=TOO_LARGE, state=start.state)
    assert reference.guarded == result.guarded
    assert reference.state == result.state


def test_a_fault_shows_while_the_guard_validates(data: Dataset) -> None:
    """A device whose outputs are not the reference's is found in the first validation."""
    plan = small_plan()
    with simulated(build(plan, Target.parse("native"))) as runner:
        infer = runner.infer
        runner.infer = lambda sample: infer(sample) ^ 1  # type: ignore[method-assign]
        options = TrainingOptions(1, seed=1, verify=True, guard=True)
        result = train(plan, data, runner, options, silent)

    assert result.difference is not None
    assert result.bit_exact is False and result.state == b""


def test_values_are_guarded_by_their_loss() -> None:
    plan = small_plan("head", loss="mse")
    rng = np.random.default_rng(0)
    x = rng.integers(-100, 100, (24, int(np.prod(SHAPE)))).astype(np.int8)
    y = rng.integers(-9, 9, (24, CLASSES)).astype(np.int8)
    data, reason = held_out(plan, Dataset(x, y, x[:5], y[:5]), 0)
    options = TrainingOptions(3, seed=0, guard=True)
    result = train(plan, data, ReferenceRunner(plan), options, silent)
    assert not reason and result.guarded is not None
    curve = [score for _, score in result.guarded.curve]

    assert curve[result.guarded.best].loss == min(score.loss for score in curve)
    assert "mse" in result.guarded.told()
    assert all(score.correct == 0 for score in curve)


def test_an_output_is_judged_as_the_step_judges_it() -> None:
    plan = small_plan("head", classes=4, spare_classes=2)
    reference = Interpreter(plan)
    rng = np.random.default_rng(0)
    for _ in range(20):
        sample = rng.integers(-128, 128, SHAPE).astype(np.int8)
        label = np.int64(rng.integers(4))
        is_right, loss = judged_output(plan, sample, label, reference.infer(sample), 4)
        record = reference.step(sample, label)

        assert is_right == (record.predicted == label)
        assert loss == record.real(plan)


# The command.


@pytest.fixture
def command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Any:
    model, samples = tmp_path / "small.tflite", tmp_path / "d.npz"
    model.write_bytes(residual_model())
    write_dataset(samples, per_class=12)

    def call(*args: object, status: int = 0) -> Any:
        line = ["mcutrain", "train", model, *AT_A_RATE, "--data", samples, *args]
        monkeypatch.setattr(sys, "argv", [str(arg) for arg in line])
        try:
            cli.main()
            ended = 0
        except SystemExit as done:
            ended = int(done.code or 0)
        out, err = capsys.readouterr()
        assert ended == status, err
        return json.loads(out) if "--json" in args else out + err

    return call


@pytest.mark.parametrize("target", ["reference", "native"])
def test_the_command_guards_unless_told_not_to(target: str, command: Any, tmp_path: Path) -> None:
    common = ("--update", "last:2", "--epochs", 2, "--target", target, "--json")
    found, bare = command(*common, "--report", tmp_path / "r.html"), command(*common, "--no-guard")

    assert (found["steps"], bare["steps"]) == (80, 96)
    assert found["guard"]["samples"] == 8
    assert [point["step"] for point in found["guard"]["curve"]] == [0, 40, 80]
    assert set(found["guard"]) == {
        "samples", "curve", "best_epoch", "best_step", "stopped_early", "rolled_back",
    }  # fmt: skip
    assert bare["guard"] is None and bare["unguarded"] is None
    assert isinstance(found["saturation"], list)
    page = (tmp_path / "r.html").read_text()
    assert 'alt="validation by epoch"' in page and "<p>guard: " in page


def test_a_roll_back_is_told_saved_and_gone_on_from(command: Any, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.npz", tmp_path / "bad.npz"
    common = ("--update", "full", "--epochs", 4)
    command(*common, "--lr", 0.25, "--save", good)
    said = command(*common, "--lr", TOO_LARGE, "--state", good, "--save", bad)

    assert "guard: rolled back: no epoch was better than the" in said
    with np.load(good) as one, np.load(bad) as other:
        assert all(np.array_equal(one[key], other[key]) for key in one.files)


def test_requests_that_contradict_each_other_are_refused(command: Any, tmp_path: Path) -> None:
    for args, words in (
        (("--validation", 0.2, "--no-guard"), "not both"),
        (("--validation", 0), "between 0 and 1"),
        (("--validation", 1), "between 0 and 1"),
        (("--validate-on", "moon"), "give device, host"),
    ):
        assert words in command(*args, status=1)
    empty = tmp_path / "e.npz"
    arrays = dict(np.load(tmp_path / "d.npz"))
    np.savez(empty, **arrays, x_val=arrays["x_test"][:0], y_val=arrays["y_test"][:0])
    assert "x_val is empty" in command("--data", empty, status=1)
    np.savez(empty, **arrays, x_val=arrays["x_test"])
    assert "no array y_val" in command("--data", empty, status=1)


def test_samples_of_the_files_own_validate(command: Any, tmp_path: Path) -> None:
    own, arrays = tmp_path / "own.npz", dict(np.load(tmp_path / "d.npz"))
    np.savez(own, **arrays, x_val=arrays["x_test"][:5], y_val=arrays["y_test"][:5])
    found = command("--data", own, "--epochs", 1, "--json")

    assert found["steps"] == 48 and found["guard"]["samples"] == 5


def test_too_few_samples_are_told_in_one_line(command: Any, tmp_path: Path) -> None:
    few = write_dataset(tmp_path / "few.npz", per_class=8)
    said = command("--data", few, "--epochs", 1)

    assert said.count("guard: off: 8 training samples of a class are too few to hold out 2") == 1


@pytest.mark.parametrize("target", ["reference", "native"])
def test_an_interrupted_run_keeps_what_was_best(
    target: str, command: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in the middle of the third epoch."""
    interrupt_at(100, monkeypatch)
    saved, exported = tmp_path / "s.npz", tmp_path / "e.tflite"
    common = ("--update", "last:2", "--epochs", 50, "--target", target, "--schedule", "constant")
    found = command(*common, "--save", saved, "--export", exported, "--json", status=130)

    assert found["interrupted"] is True
    assert found["steps"] == 100 and len(found["guard"]["curve"]) == 3
    assert found["accuracy_after"] is None
    with np.load(saved) as learned:
        assert learned["sgd"][1] == found["guard"]["best_step"] in (0, 40, 80)
    assert exported.is_file()


def test_an_interruption_is_told(command: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt_at(50, monkeypatch)
    said = command("--epochs", 9, status=130)

    assert "interrupted: the best weights so far were kept" in said


def test_without_the_guard_an_interruption_keeps_the_last_weights(
    command: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_at(50, monkeypatch)
    common = ("--epochs", 9, "--no-guard")
    said = command(*common, "--save", tmp_path / "s.npz", status=130)

    assert "interrupted: the last weights were kept" in said
    with np.load(tmp_path / "s.npz") as learned:
        assert learned["sgd"][1] == 50
    assert "no file holds them: next time give --save" in command(*common, status=130)


def test_a_second_interruption_ends_at_once(data: Dataset) -> None:
    def twice(progress: Progress) -> None:
        if progress.phase == "train" and progress.done == 5:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    plan = small_plan()
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(plan, data, ReferenceRunner(plan), TrainingOptions(2, guard=True), twice)

    assert signal.getsignal(signal.SIGINT) is before


def test_a_closed_terminal_or_a_kill_interrupts_between_two_steps(data: Dataset) -> None:
    """A terminal may send its signal twice, and nothing interrupts what keeps."""
    plan, kept = small_plan(), list[bytes]()
    for number in (signal.SIGTERM, signal.SIGHUP):

        def ended(progress: Progress, number: int = number) -> None:
            if progress.phase == "train" and progress.done == 5:
                signal.raise_signal(number)
                signal.raise_signal(number)

        def keep(state: bytes) -> None:
            signal.raise_signal(signal.SIGINT)
            kept.append(state)

        before, runner = signal.getsignal(number), ReferenceRunner(plan)
        result = train(plan, data, runner, TrainingOptions(2), ended, keep=keep)
        assert result.interrupted and (result.signal, result.steps) == (number, 5)
        assert kept.pop() == result.state == runner.state()
        assert signal.getsignal(number) is before


def test_behind_nohup_a_closed_terminal_interrupts_nothing(data: Dataset) -> None:
    former = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        plan = small_plan()
        result = train(
            plan, data, ReferenceRunner(plan), TrainingOptions(1, steps=5),
            lambda progress: signal.raise_signal(signal.SIGHUP), keep=lambda state: None,
        )  # fmt: skip
    finally:
        signal.signal(signal.SIGHUP, former)

    assert result.steps == 5 and not result.interrupted


def test_an_interruption_before_anything_was_measured_keeps_nothing(data: Dataset) -> None:
    def at_once(progress: Progress) -> None:
        signal.raise_signal(signal.SIGINT)

    plan = small_plan()
    with pytest.raises(KeyboardInterrupt):
        train(plan, data, ReferenceRunner(plan), TrainingOptions(2, guard=True), at_once)


@pytest.fixture(autouse=True)
def interruptions_arrive() -> Iterator[None]:
    """A process that a shell starts in the background ignores them otherwise."""
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, former)


def interrupt_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C when the command has done so many steps."""
    from mcutrain.host.training import run as jobs

    def with_interruption(plan: Any, data: Any, runner: Any, options: Any, report: Any, *rest: Any):
        def told(progress: Progress) -> None:
            report(progress)
            if progress.phase == "train" and progress.done == step:
                signal.raise_signal(signal.SIGINT)

        return train(plan, data, runner, options, told, *rest)

    monkeypatch.setattr(jobs, "train", with_interruption)

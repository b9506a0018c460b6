# SPDX-License-Identifier: Apache-2.0
"""Signals to end: they take effect between two steps, and what was learned is kept."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mcutrain.host.training.dataset import Dataset
from mcutrain.host.training.loop import train
from mcutrain.host.training.progress import Progress
from mcutrain.host.training.runners import ReferenceRunner
from mcutrain.host.training.training_options import TrainingOptions
from tests.support.command import AT_A_RATE, Run
from tests.support.guarded import samples, small_plan, with_validation, write
from tests.support.interrupting import interrupt_at
from tests.support.small_models import residual_model


@pytest.fixture(scope="module")
def data() -> Dataset:
    """Ten of each class to train with, two of each to validate."""
    return with_validation(samples())


@pytest.fixture
def inputs(data: Dataset, tmp_path: Path) -> list[object]:
    model = tmp_path / "small.tflite"
    model.write_bytes(residual_model())
    return ["train", model, *AT_A_RATE, "--data", write(tmp_path / "d.npz", data)]


@pytest.mark.parametrize("target", ["reference", "native"])
def test_an_interrupted_run_keeps_what_was_best(
    target: str, inputs: list[object], tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in the middle of the third epoch."""
    interrupt_at(100, monkeypatch)
    saved, exported = tmp_path / "s.npz", tmp_path / "e.tflite"
    common = ("--update", "last:2", "--epochs", 50, "--target", target, "--schedule", "constant")
    ran = run(*inputs, *common, "--save", saved, "--export", exported, "--json")
    found = json.loads(ran.out)

    assert ran.status == 130
    assert found["interrupted"] is True
    assert found["steps"] == 100 and len(found["guard"]["curve"]) == 3
    assert found["accuracy_after"] is None
    with np.load(saved) as learned:
        assert learned["sgd"][1] == found["guard"]["best_step"] in (0, 40, 80)
    assert exported.is_file()


def test_an_interruption_is_told(
    inputs: list[object], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_at(50, monkeypatch)
    ran = run(*inputs, "--epochs", 9)

    assert ran.status == 130
    assert "interrupted: the best weights so far were kept" in ran.out


def test_without_the_guard_an_interruption_keeps_the_last_weights(
    inputs: list[object], tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_at(50, monkeypatch)
    common = (*inputs, "--epochs", 9, "--no-guard")
    ran = run(*common, "--save", tmp_path / "s.npz")

    assert ran.status == 130
    assert "interrupted: the last weights were kept" in ran.out
    with np.load(tmp_path / "s.npz") as learned:
        assert learned["sgd"][1] == 50
    assert "no file holds them: next time give --save" in run(*common).err


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

# SPDX-License-Identifier: Apache-2.0
"""Training by the Python interface: the same as by the command, with callbacks that may end it."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mcutrain
from mcutrain.host.npz import NpzFile
from mcutrain.host.training import loop
from mcutrain.trainer.interpreter import Interpreter
from tests.support.command import AT_A_RATE, Run
from tests.support.guarded import samples, with_validation, write
from tests.support.small_models import CLASSES, SHAPE

RATE = float(AT_A_RATE[1])
QUICK: dict[str, Any] = {"lr": RATE, "guard": False, "epochs": 2}


@pytest.fixture
def plan(model: Path) -> mcutrain.Plan:
    return mcutrain.plan(model, "last:2")


@pytest.fixture
def arrays() -> dict[str, Any]:
    data = samples(4)
    return {
        "x_train": data.x_train.reshape(-1, *SHAPE[1:]), "y_train": data.y_train,
        "x_test": data.x_test.reshape(-1, *SHAPE[1:]), "y_test": data.y_test,
    }  # fmt: skip


class Recorder(mcutrain.Callback):
    """Keeps what it is called with; raises ``error`` at a step."""

    def __init__(self, at: int = 0, error: BaseException | None = None) -> None:
        self.at, self.error = at, error
        self.steps: list[mcutrain.Step] = []
        self.epochs: list[mcutrain.Epoch] = []
        self.calls: list[str] = []

    def on_step(self, step: mcutrain.Step) -> None:
        self.steps.append(step)
        if self.error is not None and step.number == self.at:
            raise self.error

    def on_epoch(self, epoch: mcutrain.Epoch) -> None:
        self.epochs.append(epoch)

    def on_end(self, run: mcutrain.Run) -> None:
        self.calls.append("end")

    def close(self) -> None:
        self.calls.append("close")


def tensors(path: Path) -> dict[str, Any]:
    with NpzFile(path) as file:
        return {name: file[name].read().tolist() for name in file.names}


def test_it_learns_what_the_command_learns(
    plan: mcutrain.Plan, arrays: dict[str, Any], model: Path, tmp_path: Path, run: Run
) -> None:
    """To the last bit, and says the same of it."""
    data = tmp_path / "d.npz"
    np.savez(data, **arrays)
    command = run(
        "train", model, "--data", data, "--update", "last:2", *AT_A_RATE, "--no-guard", "--epochs",
        2, "--save", tmp_path / "command.npz", "--json",
    )  # fmt: skip
    found = mcutrain.Trainer(plan, arrays, **QUICK).fit()
    found.save(tmp_path / "api.npz")

    assert tensors(tmp_path / "api.npz") == tensors(tmp_path / "command.npz")
    told = found.to_json()
    for key in set(told) - {"seconds", "step_seconds", "rate"}:
        assert told[key] == command.json[key], key
    assert (found.before, found.after) == (told["accuracy_before"], told["accuracy_after"])
    assert found.losses == told["losses"] and found.steps == len(found.losses) == 32


def test_callbacks_are_told_of_each_step_and_epoch(
    plan: mcutrain.Plan, arrays: dict[str, Any]
) -> None:
    seen = Recorder()
    found = mcutrain.Trainer(plan, arrays, callbacks=[seen], **QUICK).fit()

    assert [step.number for step in seen.steps] == list(range(1, 33))
    assert [step.loss for step in seen.steps] == found.losses
    assert [step.epoch for step in seen.steps] == [1] * 16 + [2] * 16
    # The second half has a step on each of 16 stairs.
    falling = [RATE * (31 - 2 * stair) / 32 for stair in range(16)]
    assert [step.rate for step in seen.steps] == [RATE] * 16 + falling
    assert [each.step for each in seen.epochs] == [16, 32]
    assert seen.epochs[0].loss == pytest.approx(np.mean(found.losses[:16]), rel=1e-12)
    assert [each.metric for each in seen.epochs] == [None, None]
    assert seen.calls == ["end", "close"]


def test_validation_is_told_by_epoch(plan: mcutrain.Plan, tmp_path: Path) -> None:
    data = write(tmp_path / "v.npz", with_validation(samples(5)))
    seen = Recorder()
    found = mcutrain.Trainer(plan, data, lr=RATE, epochs=2, callbacks=[seen]).fit()
    curve = found.to_json()["guard"]["curve"]

    assert found.accuracies == [point["accuracy"] for point in curve[1:]] != []
    assert [each.metric for each in seen.epochs] == found.accuracies


def test_a_callback_stops_it_between_two_steps(
    plan: mcutrain.Plan, arrays: dict[str, Any], tmp_path: Path
) -> None:
    """What is learned is what so many steps of the same run learn; it is measured, too."""
    seen = Recorder(20, mcutrain.StopTraining())
    options = {**QUICK, "schedule": "constant"}
    stopped = mcutrain.Trainer(plan, arrays, callbacks=[seen], **options).fit()
    whole = mcutrain.Trainer(plan, arrays, steps=20, **options).fit()

    assert stopped.stopped and not whole.stopped and stopped.steps == 20
    assert stopped.outcome.result.state == whole.outcome.result.state
    assert stopped.after == whole.after
    assert seen.calls == ["end", "close"] and len(seen.epochs) == 1


def test_what_a_callback_raises_is_raised_after_all_is_kept(
    plan: mcutrain.Plan, arrays: dict[str, Any], tmp_path: Path
) -> None:
    save = tmp_path / "s.npz"
    seen, other = Recorder(5, ZeroDivisionError("mine")), Recorder()
    trainer = mcutrain.Trainer(plan, arrays, save=save, callbacks=[seen, other], **QUICK)
    with pytest.raises(ZeroDivisionError, match="mine"):
        trainer.fit()

    assert trainer.run is not None and trainer.run.steps == 5 and save.is_file()
    assert seen.calls == other.calls == ["end", "close"]
    again = mcutrain.Trainer(plan, arrays, state=save, **QUICK).fit()
    assert again.steps == 32 - 5 or again.steps == 32


def test_ctrl_c_ends_it_and_keeps_what_was_learned(
    plan: mcutrain.Plan, arrays: dict[str, Any]
) -> None:
    class Impatient(mcutrain.Callback):
        def on_step(self, step: mcutrain.Step) -> None:
            if step.number == 7:
                signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    found = mcutrain.Trainer(plan, arrays, callbacks=[Impatient()], **QUICK).fit()

    assert found.interrupted and found.steps == 7 and found.outcome.result.state
    assert signal.getsignal(signal.SIGINT) is before


def test_callbacks_are_closed_where_it_fails(plan: mcutrain.Plan, arrays: dict[str, Any]) -> None:
    seen = Recorder()
    trainer = mcutrain.Trainer(plan, {**arrays, "y_test": [9] * 12}, callbacks=[seen], **QUICK)
    with pytest.raises(mcutrain.Error, match="the data: y_test holds the label 9"):
        trainer.fit()

    assert seen.calls == ["close"] and trainer.run is None


def test_confusion_counts_what_the_trained_model_says(
    plan: mcutrain.Plan, arrays: dict[str, Any], tmp_path: Path
) -> None:
    found = mcutrain.Trainer(plan, arrays, **QUICK).fit()
    reference = Interpreter(mcutrain.plan(found.export(tmp_path / "e.tflite"), "head").details)
    expected = np.zeros((CLASSES, CLASSES), int)
    for x, y in zip(arrays["x_test"], arrays["y_test"], strict=True):
        expected[y, reference.predict(x)] += 1

    assert found.confusion is not None and found.confusion_before is not None
    np.testing.assert_array_equal(found.confusion, expected)
    assert found.after == np.trace(found.confusion) / len(arrays["y_test"])
    assert found.before == np.trace(found.confusion_before) / len(arrays["y_test"])


def test_a_regression_has_an_error_and_no_confusion(model: Path, arrays: dict[str, Any]) -> None:
    values = {k: np.eye(CLASSES)[v] if k[0] == "y" else v for k, v in arrays.items()}
    plan = mcutrain.plan(model, "head", loss="mse")
    found = mcutrain.Trainer(plan, values, **QUICK).fit()

    assert found.metric == "mse" and found.confusion is None and plan.classes == 0
    assert found.before is not None and "mse before" in found._repr_html_()


@pytest.mark.slow
def test_a_native_device_is_verified(plan: mcutrain.Plan, arrays: dict[str, Any]) -> None:
    reference = mcutrain.Trainer(plan, arrays, **QUICK).fit()
    native = mcutrain.Trainer(plan, arrays, target="native", verify=True, **QUICK).fit()

    assert reference.bit_exact is None and native.bit_exact is True
    assert native.verified_steps == native.steps == 32 and not native.failure
    assert native.losses == reference.losses and native.target == "native"
    assert "32, equal in all bits" in native._repr_html_()


def test_it_says_what_did_not_hold(
    plan: mcutrain.Plan, arrays: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop.Result, "bit_exact", property(lambda self: False))
    with pytest.warns(RuntimeWarning, match="not verified in every step"):
        found = mcutrain.Trainer(plan, arrays, verify=True, **QUICK).fit()

    assert found.bit_exact is False and found.failure in found._repr_html_()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"epochs": "x"}, "epochs is 'x': give a whole number"),
        ({"epochs": -1}, "epochs is -1: give a whole number, 0 or greater"),
        ({"lr": "fast"}, "lr fast is no learning rate"),
        ({"lr": 1000}, "give a number from 2\\^-100 to 255"),
        ({"minutes": 1, "epochs": 2}, "minutes says how long to train: leave epochs"),
        ({"minutes": "x"}, "wrong kind"),
        ({"schedule": "x"}, "unknown schedule 'x': give cooldown"),
        ({"target": "sim:x"}, "unknown target 'sim:x': give reference"),
        ({"target": "native", "port": "/dev/x"}, "give port or target, not both"),
        ({"begin": "x"}, "begin is 'x': give 'fresh' or 'go-on'"),
        ({"callbacks": [print]}, "derive its class from mcutrain.Callback"),
        ({"augment": "x"}, "x"),
    ],
)
def test_bad_options_are_refused_by_their_names(
    plan: mcutrain.Plan, arrays: dict[str, Any], options: dict[str, Any], said: str
) -> None:
    with pytest.raises(mcutrain.Error, match=said):
        mcutrain.Trainer(plan, arrays, **options)


def test_a_run_is_shown_small_and_whole(plan: mcutrain.Plan, arrays: dict[str, Any]) -> None:
    found = mcutrain.Trainer(plan, arrays, **QUICK).fit()
    found.outcome.result.losses *= 1000
    html = found._repr_html_()

    assert len(found.losses) == 32_000 and len(html) < 40_000
    assert "<svg" in html and "http" not in html and "<script" not in html
    assert "accuracy after" in html and repr(found) in f"{found}"


def test_a_signal_to_end_ends_the_program_and_keeps_what_was_learned(
    model: Path, arrays: dict[str, Any]
) -> None:
    """A loop over trainings would go on otherwise, and nobody could stop it."""

    class Stop(mcutrain.Callback):
        def on_step(self, step: mcutrain.Step) -> None:
            if step.number == 3:
                signal.raise_signal(signal.SIGTERM)

    plan = mcutrain.plan(model, "last:2")
    trainer = mcutrain.Trainer(plan, arrays, lr=0.0625, guard=False, callbacks=Stop())
    with pytest.raises(SystemExit) as ended:
        trainer.fit()

    assert ended.value.code == 143
    assert trainer.run is not None and trainer.run.interrupted and trainer.run.steps == 3


def test_samples_on_another_scale_are_warned_of(model: Path, arrays: dict[str, Any]) -> None:
    loud = {**arrays, "x_train": 1000.0 * arrays["x_train"].astype(np.float32)}
    trainer = mcutrain.Trainer(mcutrain.plan(model), loud, lr=0.0625, guard=False, steps=2)

    with pytest.warns(UserWarning, match="clipped"):
        trainer.fit()

# SPDX-License-Identifier: Apache-2.0
"""C, firmware and devices of the Python interface."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mcutrain
from mcutrain.trainer.interpreter import Interpreter
from tests.support.command import Run
from tests.support.guarded import samples
from tests.support.small_models import CLASSES, SHAPE

NATIVE = "native"


@pytest.fixture
def plan(model: Path) -> mcutrain.Plan:
    return mcutrain.plan(model, "last:2", target=NATIVE)


DATA = samples(2)
X, Y = DATA.x_train.reshape(-1, *SHAPE[1:]), DATA.y_train


def test_generate_writes_what_the_command_writes(
    plan: mcutrain.Plan, model: Path, tmp_path: Path, run: Run
) -> None:
    files = mcutrain.generate(plan, tmp_path / "api")
    run("generate", model, "--update", "last:2", "--output", tmp_path / "command")

    assert tmp_path / "api" / "src" / "small.c" in files
    for path in files:
        same = tmp_path / "command" / path.relative_to(tmp_path / "api")
        assert path.read_bytes() == same.read_bytes()


def test_generate_takes_several_plans_and_names(
    plan: mcutrain.Plan, model: Path, tmp_path: Path
) -> None:
    shutil.copy(model, tmp_path / "other.tflite")
    other = mcutrain.plan(tmp_path / "other.tflite", "head", target=NATIVE)
    both = mcutrain.generate([plan, other], tmp_path / "both", runtime=True)
    named = mcutrain.generate(plan, tmp_path / "named", name="Left wrist")

    assert {"small.c", "other.c", "session.c"} < {path.name for path in both}
    assert "left_wrist.c" in {path.name for path in named}
    with pytest.raises(mcutrain.Error, match="two models are called small"):
        mcutrain.generate([plan, plan], tmp_path / "twice")


@pytest.mark.slow
def test_a_firmware_says_what_it_takes_and_runs(
    plan: mcutrain.Plan, model: Path, tmp_path: Path, run: Run
) -> None:
    firmware = mcutrain.build(plan)
    told = run("build", model, "--update", "last:2", "--target", NATIVE, "--json").json
    reference = Interpreter(plan.details)

    assert firmware.to_json() == told and firmware.path == Path(told["elf"])
    assert firmware.ram_bytes == told["sram_bytes"] > plan.ram_bytes
    assert (firmware.flash_bytes, firmware.stack_bytes) == (
        told["flash_bytes"],
        told["stack_bytes"],
    )
    assert "firmware.elf" in [path.name for path in firmware.copy(tmp_path / "out")]
    assert f"{firmware.ram_bytes:,}" in firmware._repr_html_()
    reference.reset(3)
    with mcutrain.Device(firmware, seed=3) as device:
        for x, y in zip(X, Y, strict=True):
            assert device.predict(x) == reference.predict(x.reshape(-1))
            record = reference.step(x.reshape(-1), y)
            assert device.step(x, y) == record.real(plan.details)
        assert device.digest == reference.digest() and device.steps == len(X)
        with pytest.raises(mcutrain.Error, match="give it, Device"):
            device.save(tmp_path / "s.npz")
    for use in (lambda: device.predict(X[0]), lambda: device.digest, lambda: device.state):
        with pytest.raises(mcutrain.Error, match="the device is closed: open it again"):
            use()
    device.close()


def test_the_reference_is_a_device_too(plan: mcutrain.Plan, tmp_path: Path) -> None:
    """In real units or in int8, it is the same sample."""
    source = plan.model.inputs[0]
    real = (X.astype(float) - source.zero_point) * source.scale
    with mcutrain.Device("reference", plan) as one, mcutrain.Device("reference", plan) as other:
        one.set_rate(0.01)
        other.set_rate(0.01)
        for x, r, y in zip(X, real, Y, strict=True):
            assert one.step(x, y) == other.step(r, int(y))
        assert one.digest == other.digest and one.steps == len(X)
        assert {k: v.tolist() for k, v in one.state.items()} == {
            k: v.tolist() for k, v in other.state.items()
        }
        outputs = one.infer(X[0])
        assert outputs.shape == (CLASSES,) and int(outputs.argmax()) == one.predict(X[0])
        state = one.save(tmp_path / "s.npz")
        one.reset()
        assert one.steps == 0
    arrays = {"x_train": X, "y_train": Y, "x_test": X, "y_test": Y}
    run = mcutrain.Trainer(
        plan, arrays, target="reference", state=state, lr=0.01, guard=False, steps=1
    ).fit()
    assert run.steps == 1


@pytest.mark.slow
def test_a_port_is_opened_with_its_plan_or_without(plan: mcutrain.Plan) -> None:
    from mcutrain.host.training.runners import running

    firmware = mcutrain.build(plan)
    with running(firmware.built, ()) as (port, _), mcutrain.Device(port, plan) as device:
        device.reset()
        device.step(X[0], Y[0])
        digest, predicted = device.digest, device.predict(X[1])
    with running(firmware.built, ()) as (port, _), mcutrain.Device(port) as device:
        assert device.steps == 0 and device.digest != digest
        assert device.predict(X[1]) in range(CLASSES)
        for use in (lambda: device.step(X[0], 0), lambda: device.infer(X[0])):
            with pytest.raises(mcutrain.Error, match="this needs a plan: Device"):
                use()
        with pytest.raises(mcutrain.Error, match="without a plan a sample must be int8"):
            device.predict(X[1].astype(float))
    assert predicted in range(CLASSES)


@pytest.mark.parametrize(
    ("x", "y", "said"),
    [
        (X[0][1:], 0, "x has samples of shape"),
        (X[0].astype(int), 0, "x is int64: give int8"),
        (np.full(SHAPE[1:], np.nan), 0, "x holds NaN or infinity"),
        ("x", 0, "x has samples of shape"),
        (X[0], 4, "y holds the label 4"),
        (X[0], -1, "y holds the label -1"),
        (X[0], 0.5, "y is 0.5: give one whole number, the label"),
        (X[0], [1], "give one whole number, the label"),
        (X[0], None, "y is missing: give a label"),
    ],
)
def test_bad_samples_are_refused(plan: mcutrain.Plan, x: Any, y: Any, said: str) -> None:
    with mcutrain.Device("reference", plan) as device:
        with pytest.raises(mcutrain.Error, match=said):
            device.step(x, y)
        assert device.steps == 0


def test_other_losses_take_other_targets(model: Path) -> None:
    with mcutrain.Device("reference", mcutrain.plan(model, "head", loss="mse")) as device:
        assert device.step(X[0], np.zeros(CLASSES)) > 0
        with pytest.raises(mcutrain.Error, match="no class of its own: infer"):
            device.predict(X[0])
        with pytest.raises(mcutrain.Error, match="y has samples of shape"):
            device.step(X[0], [1.0])


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("/dev/none-there", "none-there"),
        ("native", "needs a plan: Device\\('native', plan\\)"),
        ("sim:x", "needs a plan"),
    ],
)
def test_what_is_no_device_is_refused(where: str, said: str) -> None:
    with pytest.raises(mcutrain.Error, match=said):
        mcutrain.Device(where)


def test_the_reference_is_no_firmware(plan: mcutrain.Plan) -> None:
    with pytest.raises(mcutrain.Error, match="give target='native' or 'sim:BOARD'"):
        mcutrain.build(plan, target="reference")


def test_a_folder_that_cannot_be_written_is_told(plan: mcutrain.Plan, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("a file")
    with pytest.raises(mcutrain.Error, match="give a folder, where there is a file"):
        mcutrain.generate(plan, tmp_path / "f")


def test_a_device_takes_what_another_has_learned(
    plan: mcutrain.Plan, model: Path, tmp_path: Path
) -> None:
    with mcutrain.Device("reference", plan) as device:
        device.step(X[0], int(Y[0]))
        path, digest = device.save(tmp_path / "s.npz"), device.digest

    with mcutrain.Device("reference", plan, seed=5) as other:
        other.load(path)
        assert (other.digest, other.steps) == (digest, 1)
        with pytest.raises(mcutrain.Error):
            other.load(tmp_path / "none.npz")
    with (
        mcutrain.Device("reference", mcutrain.plan(model, "full")) as another,
        pytest.raises(mcutrain.Error),
    ):
        another.load(path)

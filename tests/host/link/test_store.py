# SPDX-License-Identifier: Apache-2.0
"""What the native firmware has learned outlives its process, in the image of its flash."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest

from mcutrain.host.building.firmware import build
from mcutrain.host.building.target import Target
from mcutrain.host.errors import DeviceError, TransportError
from mcutrain.host.link.device import Device
from mcutrain.host.link.protocol import Status
from mcutrain.host.link.transport import SerialTransport
from mcutrain.host.simulation.simulator import simulate
from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.guarded import small_plan

SEED = 5


@pytest.fixture(scope="module")
def plan() -> TrainingPlan:
    return small_plan()


@pytest.fixture(scope="module")
def elf(plan: TrainingPlan) -> Path:
    return build(plan, Target.parse("native")).elf


@pytest.fixture
def image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "flash.bin"
    monkeypatch.setenv("MCT_FLASH_IMAGE", str(path))
    return path


@contextmanager
def device(elf: Path) -> Iterator[Device]:
    with simulate("native", elf) as port, SerialTransport(port) as transport:
        yield Device.open(transport, None, None)


def learn(plan: TrainingPlan, on: Device, reference: Interpreter, steps: int) -> int:
    """Steps with samples that follow from their number; the digest, which both have."""
    digest = 0
    for _ in range(steps):
        number = reference.steps
        random = np.random.RandomState(number)
        sample = random.randint(-128, 128, plan.task.input.type.shape).astype(np.int8)
        label = number % plan.classes
        on.write_sample(sample.tobytes())
        digest = on.step(label, wants_digest=True).digest
        reference.step(sample, label)
        assert digest == reference.digest()
    return digest


def test_what_was_saved_is_there_when_it_starts_again(
    plan: TrainingPlan, elf: Path, image: Path
) -> None:
    reference = Interpreter(plan)
    with device(elf) as first:
        first.reset(0)
        learn(plan, first, reference, 3)
        assert first.save().sequence == 1
        saved = learn(plan, first, reference, 2)
        told = first.save()
        assert (told.whole, told.sequence) == (2, 2)
        assert told.slots > 2
    with device(elf) as again:
        assert again.info.steps == 5
        assert again.digest().digest == saved
        learn(plan, again, reference, 2)  # as if it had never been away
        assert again.load().sequence == 2
        assert again.digest().digest == saved
        assert again.forget().whole == 0
        with pytest.raises(DeviceError) as refused:
            again.load()
        assert refused.value.status is Status.NOTHING_SAVED
        assert again.digest().digest == saved
    with device(elf) as empty:
        assert empty.info.steps == 0


@pytest.mark.parametrize("operation", [1, 2, 5, 1000])
def test_a_process_that_ends_in_a_save_has_the_old_state_or_the_new(
    plan: TrainingPlan, elf: Path, image: Path, monkeypatch: pytest.MonkeyPatch, operation: int
) -> None:
    reference = Interpreter(plan)
    with device(elf) as first:
        first.reset(0)
        old = learn(plan, first, reference, 1)
        first.save()
    monkeypatch.setenv("MCT_FLASH_CUT", f"{operation},128")
    with device(elf) as second:
        new = learn(plan, second, reference, 1)
        with suppress(TransportError) if operation == 1000 else pytest.raises(TransportError):
            second.save()
    monkeypatch.delenv("MCT_FLASH_CUT")
    with device(elf) as third:
        assert third.digest().digest == (new if operation == 1000 else old)  # a save has fewer

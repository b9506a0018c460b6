# SPDX-License-Identifier: Apache-2.0
"""How a generated model behaves: sliced steps, inference, refusals, reset, restoring its RAM."""

from __future__ import annotations

import pytest

from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.ops.sgd import LearningRate
from mcutrain.trainer.planner.memory import STATE
from tests.support.native import NativeModel
from tests.support.random_models import samples
from tests.support.small_models import CLASSES
from tests.support.small_plans import partial_plan

OK, BUSY, LABEL = 0, -1, -2


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> NativeModel:
    folder = tmp_path_factory.mktemp("codegen")
    return NativeModel(partial_plan(folder), folder)


def train(device: NativeModel, count: int, slice_calls: int | None = None) -> list[tuple[int, ...]]:
    """Digest and loss after each step; in slices of so many calls, or at once."""
    device.reset(11)
    device.set_learning_rate(LearningRate(200, 12))
    found = []
    for k, sample in enumerate(samples(device.plan.task.input.type.shape, count, seed=4)):
        if slice_calls is None:
            device.step(sample, k % CLASSES)
        else:
            device.write_input(sample)
            assert device.begin(k % CLASSES) == OK
            while not device.run(slice_calls):
                pass
        loss = device.call("loss")
        found.append((device.digest(), loss.sum, loss.distance, device.call("predicted")))
    return found


@pytest.mark.parametrize("calls", [1, 3, 7, 10**9])
def test_a_sliced_step_has_the_bits_of_a_whole_one(device: NativeModel, calls: int) -> None:
    assert train(device, 6, calls) == train(device, 6)


def state_of(device: NativeModel) -> bytes:
    return device.regions[STATE].tobytes()


def random_sample(device: NativeModel, seed: int) -> Array:
    return samples(device.plan.task.input.type.shape, 1, seed)[-1]


def test_inference_never_touches_the_state(device: NativeModel) -> None:
    train(device, 3)
    before = state_of(device)
    for seed in range(5):
        device.infer(random_sample(device, seed))

        assert state_of(device) == before


def test_inference_is_refused_while_a_step_is_under_way(device: NativeModel) -> None:
    expected = train(device, 4)
    device.reset(11)
    device.set_learning_rate(LearningRate(200, 12))
    found = []
    for k, sample in enumerate(samples(device.plan.task.input.type.shape, 4, seed=4)):
        device.write_input(sample)
        assert device.begin(k % CLASSES) == OK
        while not device.run(2):
            assert device.call("busy") & 0xFF == 1
            assert device.call("infer") == BUSY
            assert device.begin(0) == BUSY
            assert device.call("step", 0) == BUSY
        assert device.call("busy") & 0xFF == 0
        loss = device.call("loss")
        found.append((device.digest(), loss.sum, loss.distance, device.call("predicted")))

    assert found == expected


def test_calls_are_counted(device: NativeModel) -> None:
    device.reset(0)
    device.write_input(random_sample(device, 0))
    assert device.call("next_call") == 0
    assert device.run(5)  # nothing is under way: complete
    assert device.begin(0) == OK
    assert device.call("next_call") == 0
    assert not device.run(0)
    assert device.call("next_call") == 0
    assert not device.run(3)
    assert device.call("next_call") == 3
    assert device.run(len(device.image.calls) - 3)
    assert device.call("next_call") == 0
    assert device.call("steps") == 1


@pytest.mark.parametrize("label", [CLASSES, CLASSES + 1, 2**31, 2**32 - 1])
def test_a_label_that_is_no_class_is_refused(device: NativeModel, label: int) -> None:
    device.reset(0)
    device.write_input(random_sample(device, 1))
    before = state_of(device)

    assert device.begin(label) == LABEL
    assert device.call("step", label) == LABEL
    assert device.call("busy") & 0xFF == 0
    assert state_of(device) == before


def test_a_reset_ends_a_step_and_restores_everything(device: NativeModel) -> None:
    device.reset(5)
    before = state_of(device)
    train(device, 4)
    device.write_input(random_sample(device, 1))
    assert device.begin(1) == OK
    device.run(7)
    device.reset(5)

    assert state_of(device) == before
    assert device.call("busy") & 0xFF == 0
    assert device.call("steps") == 0


def test_both_regions_restore_a_device_completely(device: NativeModel) -> None:
    """In the middle of a step even, together with the number of the next call."""
    train(device, 2)
    saved = {name: region.copy() for name, region in device.regions.items()}
    sample = random_sample(device, 3)
    device.step(sample, 2)
    expected = state_of(device)
    train(device, 4)
    for name, region in device.regions.items():
        region[:] = saved[name]
    device.step(sample, 2)

    assert state_of(device) == expected


def test_the_first_greatest_logit_is_predicted(device: NativeModel) -> None:
    for seed in range(20):
        logits = device.infer(random_sample(device, seed))

        assert device.call("predicted") == int(logits.argmax())

# SPDX-License-Identifier: Apache-2.0
"""What a step begins at: a sample, a latent or a kept one, whole, and used once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from mcutrain.host.errors import DeviceError
from mcutrain.host.link.device import Device
from mcutrain.host.link.protocol import Message, RamRegion, Status
from tests.support.sessions import (
    CALLS,
    CLASSES,
    INPUT_BYTES,
    LATENT_BYTES,
    SLOTS,
    TARGET_BYTES,
    latent,
    refused,
    sample,
)


def steps_from(device: Device, *write: Callable[[], object]) -> bytes:
    """The state after a step on what ``write`` wrote, begun and whole."""
    device.reset(7)
    for call in write:
        call()
    device.infer()
    for call in write:
        call()
    device.step(1)
    for call in write:
        call()
    device.begin(2)
    while not device.run(2).is_done:
        pass
    return device.read(RamRegion.STATE)


def test_a_step_begins_at_what_was_written_last(device: Device) -> None:
    def clear() -> None:
        """Leaves a latent that is not the sample's."""
        device.write_latent(bytes(LATENT_BYTES))

    def write_sample() -> None:
        device.write_sample(sample(5))

    def write_latent() -> None:
        device.write_latent(latent(5))

    expected = steps_from(device, write_sample)

    assert steps_from(device, clear, write_sample) == expected
    assert steps_from(device, clear, write_sample, device.run_prefix) == expected
    assert steps_from(device, write_latent) == expected
    assert steps_from(device, clear) != expected
    # The latent counts, not a sample from before it; a reset forgets that there is one.
    device.write_sample(sample(6))
    assert steps_from(device, write_latent) == expected


def test_the_prefix_is_run_alone(device: Device) -> None:
    device.write_sample(sample(3))
    before = device.read(RamRegion.STATE)
    device.run_prefix()

    assert device.read(RamRegion.ARENA, INPUT_BYTES + TARGET_BYTES, LATENT_BYTES) == latent(3)
    assert device.read(RamRegion.STATE) == before


def test_a_refused_latent_leaves_the_sample_in_place(device: Device) -> None:
    device.write_sample(sample(4))
    device.write_sample(sample(5))
    with pytest.raises(DeviceError):
        device._request(Message.LATENT, LATENT_BYTES, data=b"x")
    device.infer()

    assert device.read(RamRegion.ARENA, INPUT_BYTES + TARGET_BYTES, LATENT_BYTES) == latent(5)


def test_kept_latents_come_back(device: Device) -> None:
    for slot in range(SLOTS):
        device.write_sample(sample(slot))
        device.run_prefix()
        device.keep_latent(slot, slot + 1)

    def recall() -> None:
        assert device.recall_latent(0) == 1

    expected = steps_from(device, lambda: device.write_sample(sample(0)))

    assert steps_from(device, recall) == expected
    assert device.recall_latent(1) == 2
    assert device.read(RamRegion.ARENA, INPUT_BYTES + TARGET_BYTES, LATENT_BYTES) == latent(1)


def test_a_latent_is_kept_only_when_one_is_in_place(device: Device) -> None:
    """And in a slot that there is, between steps."""
    refusals: list[tuple[Status, int]] = []
    device.write_latent(latent(1))
    for write in (lambda: None, lambda: device.begin(0), lambda: device.reset(0)):
        write()
        for slot in (SLOTS, 0xFFFFFFFF, 0):
            try:
                device.keep_latent(slot, 0)
                refusals.append((Status.OK, slot))
            except DeviceError as refusal:
                refusals.append((refusal.status, slot))

    assert [status for status, _ in refusals] == [
        *(Status.RANGE, Status.RANGE, Status.OK),
        *(Status.BUSY, Status.BUSY, Status.BUSY),
        *(Status.RANGE, Status.RANGE, Status.SAMPLE),
    ]


def sliced_step(device: Device) -> None:
    device.begin(1)
    device.run(CALLS)


def keep(device: Device) -> None:
    device.keep_latent(0, 1)


USES: tuple[Callable[[Device], object], ...] = (
    lambda device: device.step(1),
    Device.infer,
    sliced_step,
)


def refusals_of(device: Device) -> set[Status]:
    """How all that needs a sample or a latent is refused."""
    return {refused(partial(use, device)) for use in (*USES, Device.run_prefix, keep)}


@pytest.mark.parametrize("use", USES)
def test_a_sample_serves_once(device: Device, use: Callable[[Device], object]) -> None:
    """Whatever used it up, nothing trains on what lies in the arena afterwards."""
    device.write_sample(sample(1))
    use(device)
    before = device.read(RamRegion.STATE)

    assert refusals_of(device) == {Status.SAMPLE}
    assert device.read(RamRegion.STATE) == before


@pytest.mark.parametrize("use", USES)
def test_a_latent_serves_once_and_a_kept_one_at_each_recall(
    device: Device, use: Callable[[Device], object]
) -> None:
    device.write_sample(sample(1))
    device.run_prefix()
    device.keep_latent(0, 1)
    device.keep_latent(1, 2)  # keeping does not use it up
    for _ in range(3):
        use(device)
        assert refusals_of(device) == {Status.SAMPLE}
        device.recall_latent(1)


@pytest.mark.parametrize("message", [Message.SAMPLE, Message.LATENT])
def test_what_a_step_begins_at_must_be_whole(device: Device, message: Message) -> None:
    """Its parts come in their order; a reset drops them."""
    device._request(message, 0, data=sample(1)[:100])
    assert refusals_of(device) == {Status.SAMPLE}
    assert refused(lambda: device._request(message, 200, data=bytes(100))) == Status.RANGE
    device._request(message, 100, data=sample(1)[100:200])
    device._request(message, 200, data=sample(1)[200:])
    device.reset(7)
    assert refused(lambda: device.step(1)) == Status.SAMPLE
    device._request(message, 0, data=sample(1)[:100])
    device._request(message, 0, data=sample(2)[:100])
    device._request(message, 100, data=sample(2)[100:200])
    device._request(message, 200, data=sample(2)[200:])
    assert device.step(1).steps == 1


def test_a_written_state_is_judged_before_it_is_used(device: Device) -> None:
    """The fake's rate: 128 to 255, or 0. It lies behind seed and steps."""
    multiplier = CLASSES * INPUT_BYTES * 2 + 8
    device.write(RamRegion.STATE, b"\x7f", multiplier)
    device.write_sample(sample(1))
    assert refusals_of(device) == {Status.STATE}
    assert device.digest().steps == 0

    device.write(RamRegion.STATE, b"\x80", multiplier)
    assert device.step(1).steps == 1
    device.write(RamRegion.STATE, b"\x01", multiplier)
    device.reset(3)
    device.write_sample(sample(1))
    assert device.step(1).steps == 1

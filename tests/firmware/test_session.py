# SPDX-License-Identifier: Apache-2.0
"""The host against the real firmware on its native port, with a fake model: one session."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mcutrain.host.errors import DeviceError, MismatchError, TransportError
from mcutrain.host.link import protocol
from mcutrain.host.link.device import Device
from mcutrain.host.link.protocol import Message, RamRegion, Status
from mcutrain.host.link.transport import SerialTransport
from mcutrain.host.simulation.simulator import simulate
from mcutrain.trainer.errors import DataError
from tests.support.fake_model.build import (
    BUILD_HASH,
    COUNTING_PORT,
    NUMERICS_HASH,
    build_native,
)
from tests.support.noisy_line import NoisyLine
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


def train(device: Device, steps: int) -> bytes:
    """Whole and sliced steps, from samples and latents, with inferences between; the state."""
    device.reset(7)
    device.set_learning_rate(200, 5)
    for index in range(steps):
        if index % 4 == 3:
            device.write_latent(latent(index))
        else:
            device.write_sample(sample(index))
            if index % 7 == 1:
                device.run_prefix()
        if index % 3 == 0:
            device.begin(index % CLASSES)
            while not device.run(2).is_done:
                pass
        else:
            assert device.step(index % CLASSES, wants_digest=index % 2 == 0).steps == index + 1
        if index % 5 == 0:
            device.write_sample(sample(index + 1000))
            device.infer()
    return device.read(RamRegion.STATE)


def test_hello_tells_what_runs(device: Device) -> None:
    assert device.info.version == protocol.VERSION
    assert (device.info.input_bytes, device.info.classes) == (INPUT_BYTES, CLASSES)
    assert (device.info.calls, device.info.steps) == (CALLS, 0)
    assert device.info.largest_payload_bytes == 128


@pytest.mark.parametrize("seed", [1, 2])
def test_a_bad_link_never_changes_the_training_state(elf: Path, seed: int) -> None:
    with simulate("native", elf) as path, SerialTransport(path) as transport:
        clean = train(Device.open(transport, None, None), steps=40)
    with simulate("native", elf) as path, SerialTransport(path) as transport:
        faulty = NoisyLine(transport, seed, per_block=0.15)
        device = Device.open(faulty, None, None, reply_timeout_s=0.01, step_timeout_s=0.01)

        assert train(device, steps=40) == clean
        assert faulty.faults.total() > 50


def test_the_session_survives_a_host_that_closes_and_opens_again(port: str) -> None:
    with SerialTransport(port) as transport:
        state = train(Device.open(transport, None, None), steps=3)
    with SerialTransport(port) as transport:
        device = Device.open(transport, None, None)

        assert device.info.steps == 3
        assert device.read(RamRegion.STATE) == state


def test_written_regions_restore_a_device(device: Device) -> None:
    state, digest = train(device, steps=4), device.digest()
    arena = device.read(RamRegion.ARENA)
    train(device, steps=9)

    device.write(RamRegion.STATE, state)
    device.write(RamRegion.ARENA, arena)

    assert device.read(RamRegion.STATE) == state
    assert device.read(RamRegion.ARENA, offset=100, nbytes=150) == arena[100:250]
    assert (device.digest().digest, device.digest().steps) == (digest.digest, 4)


def test_a_step_under_way_refuses_what_would_disturb_it(device: Device) -> None:
    device.write_latent(latent(1))
    device.keep_latent(0, 1)
    device.begin(1)
    requests: list[Callable[[], object]] = [
        lambda: device.write_sample(sample(1)),
        lambda: device.write_target(bytes(TARGET_BYTES)),
        lambda: device.write_latent(latent(1)),
        device.run_prefix,
        lambda: device.recall_latent(0),
        lambda: device.set_classes(CLASSES),
        lambda: device.step(1),
        lambda: device.begin(1),
        device.infer,
        lambda: device.set_learning_rate(128, 3),
        lambda: device.write(RamRegion.STATE, b"x"),
    ]
    for request in requests:
        with pytest.raises(DeviceError) as refusal:
            request()
        assert refusal.value.status == Status.BUSY
    assert device.run(1).next_call == 2
    device.reset(0)

    with pytest.raises(DeviceError) as refusal:
        device.run(1)
    assert refusal.value.status == Status.IDLE


def test_a_target_is_written_where_the_model_reads_it(device: Device) -> None:
    """In pieces: a frame of this firmware carries 128 bytes."""
    target = bytes(k * 7 % 256 for k in range(TARGET_BYTES))
    device.write_target(target)

    assert device.read(RamRegion.ARENA, INPUT_BYTES, TARGET_BYTES) == target


def test_classes_are_taken_into_use(device: Device) -> None:
    device.set_classes(CLASSES)
    device.write_sample(sample(1))

    assert device.step(CLASSES - 1).steps == 1


@pytest.mark.rows
@pytest.mark.parametrize(
    ("status", "message", "fields"),
    [
        (Status.LABEL, Message.STEP, (CLASSES, 0)),
        (Status.LABEL, Message.BEGIN, (0xFFFFFFFF,)),
        (Status.RANGE, Message.STEP, (0, 2)),
        (Status.RANGE, Message.LEARNING_RATE, (127, 0)),
        (Status.RANGE, Message.SAMPLE, (INPUT_BYTES + 1,)),
        (Status.RANGE, Message.SAMPLE, (0xFFFFFFFF,)),
        (Status.RANGE, Message.TARGET, (TARGET_BYTES + 1,)),
        (Status.RANGE, Message.TARGET, (0xFFFFFFFF,)),
        (Status.RANGE, Message.CLASSES, (CLASSES + 1,)),
        (Status.RANGE, Message.LATENT, (LATENT_BYTES + 1,)),
        (Status.RANGE, Message.LATENT, (0xFFFFFFFF,)),
        (Status.SAMPLE, Message.KEEP, (0, 0)),  # no latent is in place
        (Status.RANGE, Message.KEEP, (SLOTS, 0)),
        (Status.RANGE, Message.RECALL, (0,)),  # nothing was kept
        (Status.RANGE, Message.RECALL, (SLOTS,)),
        (Status.RANGE, Message.RECALL, (0xFFFFFFFF,)),
        (Status.RANGE, Message.READ, (2, 0, 1)),
        (Status.RANGE, Message.READ, (0, 0xFFFFFFF0, 0x20)),
        (Status.RANGE, Message.WRITE, (255, 0)),
        (Status.RANGE, Message.WRITE, (1, 0xFFFFFFFF)),
    ],
)
def test_values_out_of_range_are_refused(
    device: Device, status: Status, message: Message, fields: tuple[int, ...]
) -> None:
    if status is Status.LABEL:
        device.write_sample(sample(1))  # which is asked for first

    assert refused(lambda: device._request(message, *fields)) == status


def test_another_build_or_model_is_refused(port: str) -> None:
    with pytest.raises(MismatchError, match="runs build b0b1b2b3b4b5b6b7, but this plan is"):
        Device.open(SerialTransport(port), bytes(8), NUMERICS_HASH)
    # The port is free again: a device that was refused is closed.
    with pytest.raises(MismatchError, match="runs model a0a1a2a3a4a5a6a7"):
        Device.open(SerialTransport(port), BUILD_HASH, bytes(8))


def test_another_protocol_is_refused(port: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "VERSION", protocol.VERSION + 1)
    with (
        SerialTransport(port) as transport,
        pytest.raises(MismatchError, match="protocol 3, this program 4"),
    ):
        Device.open(transport, None, None)


def test_a_sample_of_the_wrong_size_is_refused(device: Device) -> None:
    with pytest.raises(DataError, match="299 bytes, the model takes 300"):
        device.write_sample(bytes(299))


def test_a_port_in_use_by_another_process_is_refused(port: str) -> None:
    program = (
        "from mcutrain.host.link.transport import SerialTransport\n"
        f"transport = SerialTransport({port!r})\n"
        "print(1, flush=True); input()"
    )
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"1\n"
        with pytest.raises(TransportError, match="another program"):
            SerialTransport(port)
        other.communicate(b"\n")


def test_a_missing_port_is_an_error() -> None:
    with pytest.raises(TransportError, match="there is no such port"):
        SerialTransport("/dev/mcutrain-none")


def test_a_file_that_is_no_port_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(TransportError, match="cannot be opened as a serial port"):
        SerialTransport(str(tmp_path / "file"))


def test_an_unplugged_device_is_an_error(elf: Path) -> None:
    with simulate("native", elf) as path:
        transport = SerialTransport(path)
        device = Device.open(transport, None, None)

    with pytest.raises(TransportError, match="the port has gone"):
        device.step(0)
    device.close()


def test_a_silent_device_is_an_error(port: str) -> None:
    with SerialTransport(port) as transport:
        deaf = NoisyLine(transport, seed=0)
        device = Device.open(deaf, None, None)
        device._patience_s = 0.3  # behind the hello, which may take its time on a busy machine
        deaf.write = lambda data: None  # type: ignore[method-assign]
        with pytest.raises(TransportError, match=r"no answer to DIGEST in 0\.3 s; nothing arrived"):
            device.digest()


def test_the_firmware_ends_with_its_parent(elf: Path) -> None:
    """Even when the parent is killed: nobody is left to clean up."""
    program = (
        "import os; from pathlib import Path\n"
        "from mcutrain.host.simulation.simulator import simulate\n"
        f"with simulate('native', Path({str(elf)!r})) as port:\n"
        "    print(port, flush=True); os.kill(os.getpid(), 9)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    path = result.stdout.strip()

    assert path.startswith("/dev/")
    with pytest.raises(TransportError), SerialTransport(path) as transport:
        Device.open(transport, None, None, patience_s=2.0)


def test_cycles_are_those_of_the_request_before(tmp_path: Path, device: Device) -> None:
    """A counter that goes on by 1000 with each look: twice for each request that is executed."""
    counting = build_native(tmp_path, port=COUNTING_PORT)
    with simulate("native", counting) as path, SerialTransport(path) as transport:
        counted = Device.open(transport, BUILD_HASH, NUMERICS_HASH)
        counted.reset(1)

        assert [counted.cycles() for _ in range(3)] == [1000, 1000, 1000]
        with pytest.raises(DeviceError):
            counted.step(0)
        assert counted.cycles() == 1000
        counted.write_sample(sample(0))
        counted.begin(0)
        assert counted.cycles() == 1000  # while a step is under way, too
        assert not counted.run(1).is_done
    device.reset(1)

    assert device.cycles() == 0  # this computer's port counts none

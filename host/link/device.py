# SPDX-License-Identifier: Apache-2.0
"""A device on a transport: one method per message."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcutrain.host.errors import DeviceError, MismatchError, ProtocolError, RightError
from mcutrain.host.keys import Keys
from mcutrain.host.link import protocol
from mcutrain.host.link.exchange import Exchange, Timing
from mcutrain.host.link.protocol import (
    Feature,
    Hello,
    Message,
    RamRegion,
    RecordAction,
    Recorded,
    RunResult,
    Saved,
    Status,
    StepResult,
    StoreAction,
)
from mcutrain.host.link.seal import Seal
from mcutrain.host.link.traffic import Traffic
from mcutrain.host.link.transport import Transport
from mcutrain.trainer.errors import DataError

if TYPE_CHECKING:
    from mcutrain.trainer.record_chain import Entry

REPLY_TIMEOUT_S = 0.25
STEP_TIMEOUT_S = 2.0
PATIENCE_S = 60.0
HELLO_PATIENCE_S = 10.0
LEAST_PAYLOAD_BYTES = 96  # that every firmware takes (SPEC 2.1)
RUNS_KERNELS = (
    Message.STEP,
    Message.INFER,
    Message.RUN,
    Message.PREFIX,
    Message.FINISH,
    Message.ENROL,
)


class Device:
    """A session with one device.

    Each request is repeated until its reply arrives or `patience_s` is over, at once if a frame
    came damaged, and else ever more slowly; the device executes it once at most. The first repeat
    comes after `reply_timeout_s`, or `step_timeout_s` for what runs kernels or waits for one; later
    on, if it `adapts`, after what such a request has taken. A slower step just takes some repeats.
    Methods raise TransportError (no answer, port gone), DeviceError (refused) or ProtocolError.
    """

    info: Hello

    def __init__(
        self,
        transport: Transport,
        reply_timeout_s: float = REPLY_TIMEOUT_S,
        step_timeout_s: float = STEP_TIMEOUT_S,
        patience_s: float = PATIENCE_S,
        adapts: bool = True,
    ) -> None:
        """Use `Device.open`, which also says hello."""
        self._transport = transport
        self._patience_s = patience_s
        timing = Timing(reply_timeout_s, step_timeout_s, adapts)
        self._exchange = Exchange(transport, timing)
        self._is_computing = False  # between start and finish: a reply waits for a kernel call

    @property
    def traffic(self) -> Traffic:
        """What the link has carried in this session."""
        return self._exchange.traffic

    @classmethod
    def open(
        cls,
        transport: Transport,
        expected_build_hash: bytes | None,
        expected_numerics_hash: bytes | None,
        reply_timeout_s: float = REPLY_TIMEOUT_S,
        step_timeout_s: float = STEP_TIMEOUT_S,
        patience_s: float = PATIENCE_S,
        hello_patience_s: float = HELLO_PATIENCE_S,
        adapts: bool = True,
        keys: Keys | None = None,
    ) -> Device:
        """Start a session; MismatchError if the device runs another protocol, build or model,
        RightError if it has a key that is not in ``keys``, or has none and ``keys`` are given.

        A hash that is None is not compared.
        """
        device = cls(transport, reply_timeout_s, step_timeout_s, patience_s, adapts)
        try:
            transport.discard()
            device.info = device._hello(min(hello_patience_s, patience_s))
            device._seal(keys)
            device._check_hashes(expected_build_hash, expected_numerics_hash)
        except BaseException:
            device.close()
            raise
        return device

    def _seal(self, keys: Keys | None) -> None:
        """From here on what is said is sealed, if the device has a key; what it has said of itself
        it says again."""
        is_keyed = Feature.KEY in Feature(self.info.features)
        if not is_keyed and keys is not None:
            raise RightError(
                f"{self.name}: the device has no key, and obeys anyone: leave --key out, or flash "
                "a firmware that was built with it"
            )
        if keys is None:
            return
        self._exchange.seal = Seal(keys, self.info.nonce)
        try:
            self.info = self._hello(self._patience_s)
        except DeviceError as err:
            if err.status != Status.KEY:
                raise
            raise RightError(
                f"{self.name}: the device has another key than the file given to --key: give the "
                "file that its firmware was built with, or one derived from it"
            ) from err

    def _check_hashes(
        self, expected_build_hash: bytes | None, expected_numerics_hash: bytes | None
    ) -> None:
        for what, expected, actual in (
            ("model", expected_numerics_hash, self.info.numerics_hash),
            ("build", expected_build_hash, self.info.build_hash),
        ):
            if expected is not None and expected != actual:
                raise MismatchError(
                    f"{self._transport.name}: the device runs {what} {actual.hex()}, but"
                    f" this plan is {what} {expected.hex()}; build and flash it, or use the"
                    " device's own plan"
                )

    @property
    def name(self) -> str:
        """Of its port, for messages."""
        return self._transport.name

    def reset(self, seed: int) -> None:
        """Initial weights and history, step 0; aborts a step under way."""
        self._ask(Message.RESET, seed)
        self._is_computing = False

    def set_learning_rate(self, multiplier: int, shift: int) -> None:
        """multiplier * 2**-shift, with multiplier 128..255, or 0 for no update."""
        self._ask(Message.LEARNING_RATE, multiplier, shift)

    def write_sample(self, sample: bytes) -> None:
        """Write the input tensor. It is used up by the next step or inference."""
        if len(sample) != self.info.input_bytes:
            raise DataError(
                f"a sample has {len(sample)} bytes, the model takes {self.info.input_bytes}"
            )
        self._fill(Message.SAMPLE, sample)

    def write_target(self, target: bytes) -> None:
        """Write the wanted output. It is used up by the next step."""
        self._fill(Message.TARGET, target)

    def write_latent(self, latent: bytes) -> None:
        """Write the latent, in place of a sample, for the next step or inference."""
        self._fill(Message.LATENT, latent)

    def run_prefix(self) -> None:
        """Compute the latent of the sample written before; a step may go on from it."""
        self._ask(Message.PREFIX)

    def keep_latent(self, slot: int, label: int) -> None:
        """Store the latent that is in place, with its label, in a slot of the device's RAM."""
        self._ask(Message.KEEP, slot, label)

    def recall_latent(self, slot: int) -> int:
        """Put a kept latent in place for the next step or inference; its label."""
        (label,) = self._ask(Message.RECALL, slot)
        return label

    def _fill(self, message: Message, data: bytes) -> None:
        self._send(message, (), 0, data)

    def _send(self, message: Message, fields: tuple[int, ...], begin: int, data: bytes) -> None:
        """Write data at an offset, in pieces of whatever size comes through."""
        done = 0
        while done < len(data):
            most = min(len(data) - done, self.info.largest_payload_bytes)
            (end,) = self._ask(message, *fields, begin + done, data=data[done : done + most])
            if not 0 < end - begin - done <= most:
                raise ProtocolError(
                    f"{self._transport.name}: {message.name} of {most} bytes at"
                    f" {begin + done} ended at {end}; flash the firmware of this version"
                )
            done = end - begin

    def set_classes(self, classes: int) -> None:
        """Take spare classes into use, or out of it; refused beyond the head's outputs."""
        self._ask(Message.CLASSES, classes)

    def step(self, label: int, wants_digest: bool = False) -> StepResult:
        """Train on the sample written before."""
        flags = protocol.STEP_DIGEST if wants_digest else 0
        return StepResult(*self._ask(Message.STEP, label, flags))

    def start(self, label: int) -> None:
        """Begin a step that runs by itself while the next sample and target are written; only a
        build that receives ahead does. `finish` ends it."""
        self._ask(Message.START, label)
        self._is_computing = True

    def finish(self, wants_digest: bool = False) -> StepResult:
        """Run what is left of a step that was started."""
        self._is_computing = False
        flags = protocol.STEP_DIGEST if wants_digest else 0
        return StepResult(*self._ask(Message.FINISH, flags))

    def infer(self) -> int:
        """Class predicted for the sample written before; the training state stays as it is."""
        (predicted,) = self._ask(Message.INFER)
        return predicted

    def begin(self, label: int) -> None:
        """Start a step that `run` executes in slices."""
        self._ask(Message.BEGIN, label)

    def run(self, max_calls: int) -> RunResult:
        """Execute at most `max_calls` kernel calls of the step under way."""
        is_done, next_call = self._ask(Message.RUN, max_calls)
        return RunResult(bool(is_done), next_call)

    def digest(self) -> StepResult:
        """Result of the last complete step, with the digest of the learned state now."""
        return StepResult(*self._ask(Message.DIGEST))

    def cycles(self) -> int:
        """Cycles of its core that the request before took, modulo 2**32; 0 if it counts none."""
        (cycles,) = self._ask(Message.CYCLES)
        return cycles

    def read(self, region: int, offset: int = 0, nbytes: int | None = None) -> bytes:
        """Bytes of a region, to its end if `nbytes` is None: only of those that `Region` names."""
        end = self.info.region_bytes(RamRegion(region)) if nbytes is None else offset + nbytes
        largest = self.info.largest_payload_bytes - 1  # beside the status
        data = bytearray()
        while offset < end:
            wanted = min(largest, end - offset)
            chunk = self._request(Message.READ, region, offset, wanted)
            if not 0 < len(chunk) <= wanted:
                raise ProtocolError(
                    f"{self._transport.name}: READ gave {len(chunk)} bytes instead of {wanted};"
                    " flash the firmware of this version"
                )
            data += chunk
            offset += len(chunk)
        return bytes(data)

    def write(self, region: int, data: bytes, offset: int = 0) -> None:
        """Overwrite bytes of a region; refused while a step is under way."""
        self._send(Message.WRITE, (region,), offset, data)

    def collect(self) -> tuple[bytes, int | None] | None:
        """The next sample of its sensor, with the label that the device knows or None; None if no
        sample is ready. It waits for a step then, as after `write_sample`. DeviceError MESSAGE if
        the firmware has no sensor."""
        sample, label = bytearray(), protocol.NO_LABEL
        fixed = protocol.REPLIES[Message.COLLECT].size
        while len(sample) < self.info.input_bytes:
            wanted = min(self.info.input_bytes - len(sample), self.info.largest_payload_bytes)
            try:
                body = self._request(Message.COLLECT, len(sample), wanted)
            except DeviceError as err:
                if err.status == Status.COLLECT:
                    return None
                raise
            (label,) = protocol.unpack(Message.COLLECT, body[:fixed])  # type: ignore[assignment]
            if not 0 < len(body) - fixed <= wanted:
                raise ProtocolError(
                    f"{self._transport.name}: COLLECT gave {len(body) - fixed} bytes instead of "
                    f"{wanted}; flash the firmware of this version"
                )
            sample += body[fixed:]
        return bytes(sample), None if label == protocol.NO_LABEL else label

    def enrol(self, label: int = protocol.ALL_CLASSES) -> None:
        """Write the head's row of a class, or of all, from the latents in the device's slots.
        DeviceError MESSAGE if the build cannot, SAMPLE if it lacks latents."""
        self._ask(Message.ENROL, label)

    def saved(self) -> Saved:
        """What its flash holds. DeviceError MESSAGE if the firmware has no flash for it."""
        return self._store(StoreAction.LOOK)

    def save(self) -> Saved:
        """Save what was learned in its flash; refused while a step is under way."""
        return self._store(StoreAction.SAVE)

    def load(self) -> Saved:
        """Put back what was saved last. Refused, it leaves the state as it was if nothing is saved
        or a step is under way, and else resets it."""
        return self._store(StoreAction.LOAD)

    def forget(self) -> Saved:
        """Erase what was saved; the state stays."""
        return self._store(StoreAction.FORGET)

    def _store(self, action: StoreAction) -> Saved:
        return Saved(*self._ask(Message.STORE, action))

    def recorded(self) -> Recorded:
        """What it says of its chain. DeviceError MESSAGE if its build has none."""
        body = self._record(RecordAction.LOOK, 0)
        return Recorded(*protocol.unpack(Message.RECORD, body))  # type: ignore[arg-type]

    def entry(self, number: int) -> Entry:
        """The entry of the step that entered as this number since power-up. DeviceError RANGE if
        it is not kept."""
        from mcutrain.trainer.record_chain import Entry  # which loads NumPy

        return Entry.unpack(self._record(RecordAction.ENTRY, number))

    def _record(self, action: RecordAction, number: int) -> bytes:
        body = self._request(Message.RECORD, action, number)
        protocol.unpack(Message.RECORD, body)
        return body

    def close(self) -> None:
        """End the session and give the port back."""
        self._transport.close()

    def _hello(self, patience_s: float) -> Hello:
        body = self._request(Message.HELLO, patience_s=patience_s)
        # The version comes first in every version of the protocol; what follows it may differ.
        version = int.from_bytes(body[:2], "little")
        if len(body) >= 2 and version != protocol.VERSION:
            raise MismatchError(
                f"{self._transport.name}: the device speaks protocol {version}, this program"
                f" {protocol.VERSION}; build and flash the firmware of this version"
            )
        info = Hello(*protocol.unpack(Message.HELLO, body))  # type: ignore[arg-type]
        if info.largest_payload_bytes < LEAST_PAYLOAD_BYTES:
            raise ProtocolError(
                f"{self._transport.name}: the device says that it takes payloads of"
                f" {info.largest_payload_bytes} bytes, and every firmware takes"
                f" {LEAST_PAYLOAD_BYTES}; flash the firmware of this version"
            )
        self._exchange.size.begin(info.largest_payload_bytes)
        return info

    def _ask(self, message: Message, *fields: int, data: bytes = b"") -> tuple[int, ...]:
        """Fields of the reply, all integers."""
        body = self._request(message, *fields, data=data)
        return protocol.unpack(message, body)  # type: ignore[return-value]

    def _request(
        self,
        message: Message,
        *fields: int,
        data: bytes = b"",
        patience_s: float | None = None,
    ) -> bytes:
        """What follows MCT_OK in the reply; DeviceError for another status. Of the data, or of what
        is to be read, as much as the line takes: the reply tells how much."""
        is_slow = self._is_computing or message in RUNS_KERNELS
        patience_s = self._patience_s if patience_s is None else patience_s
        payload = self._exchange.request(message, fields, data, is_slow, patience_s)
        status, body = protocol.split_reply(payload)
        if status is Status.KEY and self._exchange.seal is None:
            raise RightError(
                f"{self._transport.name}: the device obeys only who has its key: give the file to "
                "--key"
            )
        if status is Status.RIGHT and message is Message.READ:
            raise RightError(
                f"{self._transport.name}: a device with a key shows its state and the outputs of "
                "an inference only: the rest of its RAM holds samples"
            )
        if status is not Status.OK:
            raise DeviceError(
                f"{self._transport.name}: the device refused {message.name}: {status.meaning}",
                status,
            )
        return body

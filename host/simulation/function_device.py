# SPDX-License-Identifier: Apache-2.0
"""A device without a link: the functions of a generated model, called in this process.

It answers as the firmware's session does (SPEC 2.3), so that training, checking and finding a
difference are the same for both.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from mcutrain.host.errors import DeviceError, EmulationError
from mcutrain.host.link.protocol import (
    VERSION,
    Hello,
    Message,
    Recorded,
    RunResult,
    Status,
    StepResult,
)
from mcutrain.host.link.traffic import Traffic
from mcutrain.trainer.graph.tensor import Array, Tensor
from mcutrain.trainer.interpreter import state_digest, unpack_state
from mcutrain.trainer.planner.memory import ARENA, STATE
from mcutrain.trainer.record_chain import Entry, short_hash
from mcutrain.trainer.training_plan import TrainingPlan

BYTE = 0xFF  # a status is an int8, in the low byte of what a function returns


class Functions(Protocol):
    """The functions and the RAM of a generated model, by their names without the model's.

    ``call`` gives the whole first register; what a function returns in fewer bits is in the low
    ones. Raises EmulationError.
    """

    @property
    def name(self) -> str:
        """Of the program, for messages."""
        ...

    @property
    def model(self) -> str: ...

    def has(self, function: str) -> bool: ...

    def call(self, function: str, *arguments: int) -> int: ...

    def push(self, function: str, data: bytes) -> int: ...

    def count(self, function: str, *arguments: int) -> tuple[int, int]:
        """What ``call`` gives, and the instructions that it took. Calls after it may take longer,
        until ``stop_counting``."""
        ...

    def stop_counting(self) -> None: ...

    def loss(self) -> tuple[int, int]: ...

    def recall_latent(self, slot: int) -> tuple[int, int]:
        """The status, and the label."""
        ...

    def read(self, region: str, offset: int, nbytes: int) -> bytes: ...

    def write(self, region: str, offset: int, data: bytes) -> None: ...


class FunctionDevice:
    """A ModelDevice (host/link/model_device.py) over functions. The program is of ``plan``.

    What a linker may have dropped, because the firmware does not call it, is read from the model's
    memory instead: the plan says where it lies. ``counts`` gets the instructions of each step and
    inference by the name of its function, if it is a dictionary.
    """

    traffic: Traffic | None = None

    def __init__(
        self,
        functions: Functions,
        plan: TrainingPlan,
        calls: int,
        build_hash: bytes = bytes(8),
        counts: dict[str, list[int]] | None = None,
    ) -> None:
        self.functions, self.plan, self.counts = functions, plan, counts
        self._is_at_latent = False
        regions = plan.memory.regions
        self._regions = list(regions)
        self.info = Hello(
            VERSION, 0, build_hash, plan.numerics_hash, plan.task.input.type.nbytes,
            plan.classes, regions[ARENA], regions[STATE], 0, calls,
        )  # fmt: skip

    @property
    def name(self) -> str:
        return self.functions.name

    def reset(self, seed: int) -> None:
        self.functions.call("reset", seed)

    def set_learning_rate(self, multiplier: int, shift: int) -> None:
        if self.functions.has("set_learning_rate"):
            self.functions.call("set_learning_rate", multiplier, shift)
            return
        sgd = np.frombuffer(self._tensor_bytes(self.plan.learning.sgd), "<u4").copy()
        sgd[2:4] = multiplier, shift
        self._write_tensor(self.plan.learning.sgd, sgd.tobytes())

    def set_classes(self, classes: int) -> None:
        self._checked(Message.CLASSES, self.functions.call("set_classes", classes))

    def write_sample(self, sample: bytes) -> None:
        self._push(Message.SAMPLE, "push", sample)
        self._is_at_latent = False

    def write_target(self, target: bytes) -> None:
        self._push(Message.TARGET, "push_target", target)

    def write_latent(self, latent: bytes) -> None:
        self._push(Message.LATENT, "push_latent", latent)
        self._is_at_latent = True

    def run_prefix(self) -> None:
        self._run(Message.PREFIX, "prefix")
        self._is_at_latent = True

    def keep_latent(self, slot: int, label: int) -> None:
        self._checked(Message.KEEP, self.functions.call("keep_latent", slot, label))

    def recall_latent(self, slot: int) -> int:
        status, label = self.functions.recall_latent(slot)
        self._checked(Message.RECALL, status)
        self._is_at_latent = True
        return label

    def step(self, label: int, wants_digest: bool = False) -> StepResult:
        self._run(Message.STEP, "step_from_latent" if self._is_at_latent else "step", label)
        return self._result(wants_digest)

    def start(self, label: int) -> None:
        """Here nothing runs by itself: what comes meanwhile comes before the first call."""
        self.begin(label)

    def finish(self, wants_digest: bool = False) -> StepResult:
        self.run(self.info.calls)
        return self._result(wants_digest)

    def infer(self) -> int:
        self._run(Message.INFER, "infer_from_latent" if self._is_at_latent else "infer")
        return self._predicted()

    def begin(self, label: int) -> None:
        function = "begin_from_latent" if self._is_at_latent else "begin"
        self._checked(Message.BEGIN, self.functions.call(function, label))

    def run(self, max_calls: int) -> RunResult:
        is_done = bool(self.functions.call("run", max_calls) & BYTE)
        knows = not is_done and self.functions.has("next_call")
        return RunResult(is_done, self.functions.call("next_call") if knows else 0)

    def digest(self) -> StepResult:
        return self._result(wants_digest=True)

    def read(self, region: int, offset: int = 0, nbytes: int | None = None) -> bytes:
        name = self._regions[region]
        rest = self.plan.memory.regions[name] - offset
        return self.functions.read(name, offset, rest if nbytes is None else nbytes)

    def write(self, region: int, data: bytes, offset: int = 0) -> None:
        self.functions.write(self._regions[region], offset, data)

    def recorded(self) -> Recorded:
        """Its memory says it; of entries none are told."""
        chain = self.plan.learning.chain
        if chain is None:
            raise self._refused(Message.RECORD, Status.MESSAGE)
        state, active = self.read(self._regions.index(STATE)), self.plan.task.active
        tensors = unpack_state(self.plan, state)
        steps = int(tensors[self.plan.learning.sgd][1])
        classes = self.plan.classes if active is None else int(tensors[active][0])
        entered = self.functions.call("entered") if self.functions.has("entered") else 0
        return Recorded(tensors[chain].tobytes(), short_hash(state), 0, steps, entered, classes)

    def entry(self, number: int) -> Entry:
        raise self._refused(Message.RECORD, Status.RANGE)

    def close(self) -> None:
        """There is nothing to give back."""

    def _push(self, message: Message, function: str, data: bytes) -> None:
        self._checked(message, self.functions.push(function, data))

    def _run(self, message: Message, function: str, *arguments: int) -> None:
        if self.counts is None:
            self._checked(message, self.functions.call(function, *arguments))
            return
        status, count = self.functions.count(function, *arguments)
        self._checked(message, status)
        self.counts.setdefault(function, []).append(count)

    def _checked(self, message: Message, returned: int) -> None:
        """Raises DeviceError for another status than MCT_OK, EmulationError for what is none."""
        code = (returned & BYTE ^ 0x80) - 0x80
        if code not in list(Status):
            raise EmulationError(
                f"{self.name}: {message.name} gave the status {code}, which there is not; is the "
                "program damaged, or for another core?"
            )
        if (status := Status(code)) is not Status.OK:
            raise self._refused(message, status)

    def _refused(self, message: Message, status: Status) -> DeviceError:
        return DeviceError(
            f"{self.name}: the model refused {message.name}: {status.meaning}", status
        )

    def _result(self, wants_digest: bool) -> StepResult:
        steps = int(np.frombuffer(self._tensor_bytes(self.plan.learning.sgd), "<u4")[1])
        digest = self._digest() if wants_digest else 0
        return StepResult(*self._loss(), self._predicted(), steps, digest)

    def _loss(self) -> tuple[int, int]:
        if self.functions.has("loss"):
            return self.functions.loss()
        parts = np.frombuffer(self._tensor_bytes(self.plan.record), "<u4")
        return int(parts[0]), int(parts[1])

    def _predicted(self) -> int:
        tensor = self.plan.task.predicted
        if tensor is None:
            return 0
        if self.functions.has("predicted"):
            return self.functions.call("predicted")
        return int(np.frombuffer(self._tensor_bytes(tensor), "<u4")[0])

    def _digest(self) -> int:
        if self.functions.has("digest"):
            return self.functions.call("digest") & 0xFFFFFFFF
        return state_digest(self.plan, self._state())

    def _state(self) -> dict[Tensor, Array]:
        region = self._regions.index(STATE)
        return unpack_state(self.plan, self.read(region))

    def _tensor_bytes(self, tensor: Tensor) -> bytes:
        region, offset = self._place(tensor)
        return self.functions.read(region, offset, tensor.type.nbytes)

    def _write_tensor(self, tensor: Tensor, data: bytes) -> None:
        region, offset = self._place(tensor)
        self.functions.write(region, offset, data)

    def _place(self, tensor: Tensor) -> tuple[str, int]:
        where = self.plan.memory.place(tensor)
        assert where is not None
        return where

# SPDX-License-Identifier: Apache-2.0
"""Replays a device's training in the reference, and finds where the two part."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from mcutrain.host.link.model_device import ModelDevice
from mcutrain.host.link.protocol import RamRegion
from mcutrain.host.training.runner import Answer
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.graph.tensor import Array, Tensor
from mcutrain.trainer.interpreter import Interpreter, StepRecord, pack_state, unpack_state
from mcutrain.trainer.ops.sgd import LearningRate
from mcutrain.trainer.record_chain import AT_LATENT, short_hash
from mcutrain.trainer.training_plan import TrainingPlan

Expected = TypeVar("Expected")


@dataclass(frozen=True)
class Difference:
    """The first element in which device and reference differ."""

    step: int
    node: str
    operation: str
    operator: int
    tensor: str
    element: tuple[int, ...]
    device: int
    reference: int
    elements: int  # of the tensor that differ
    reproduced: bool

    def __str__(self) -> str:
        where = f"{self.tensor}[{', '.join(map(str, self.element))}]"
        again = "" if self.reproduced else "; a replay from the step before did not show it again"
        return (
            f"step {self.step}: the device differs from the reference first at node {self.node} "
            f"({self.operation}, operator {self.operator}), tensor {where}: device {self.device}, "
            f"reference {self.reference}; {self.elements} elements differ{again}"
        )


class Verifier:
    """The reference beside a device: the same steps, compared after each. ``plan`` is the one that
    the device's build has (Build.plan).

    The reference computes in a thread of its own while this one waits for the device: the link
    and NumPy's arrays leave each other the interpreter. It is never more than the device's step
    ahead or behind, so that ``locate`` finds the device right after the step that differs.
    """

    def __init__(self, plan: TrainingPlan, seed: int) -> None:
        self.plan = plan
        self.reference = Interpreter(plan, seed)
        self.verified_steps = 0
        self._latents: dict[bytes, Array] = {}  # its own, not the device's
        self._before = dict(self.reference.state)
        self._thread: ThreadPoolExecutor | None = None

    def load(self, state: bytes) -> None:
        """Begin with the state that the device was given."""
        self.reference.state = unpack_state(self.plan, state)

    def set_classes(self, classes: int) -> None:
        self.reference.set_classes(classes)

    def set_learning_rate(self, rate: LearningRate) -> None:
        self.reference.set_learning_rate(rate)

    def expect(self, compute: Callable[[], Expected]) -> Callable[[], Expected]:
        """Begin to compute what the device computes meanwhile; returns what waits for the result.

        Nothing else may be asked of the reference before.
        """
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "reference")
        return self._thread.submit(compute).result

    def close(self) -> None:
        """Wait for what is computed still, though nobody asks for it any more."""
        if self._thread is not None:
            self._thread.shutdown(cancel_futures=True)

    def replay(self, sample: Array, target: Array) -> tuple[StepRecord, int]:
        """(loss, digest of all that learns) of a step of the reference."""
        self._before = dict(self.reference.state)
        if self.plan.latents.tensor is None:
            loss = self.reference.step(sample, target)
        else:
            loss = self.reference.step_from_latent(self._latent(sample), target, sample)
        return loss, self.reference.digest()

    def compare_step(
        self,
        expected: tuple[StepRecord, int],
        found: tuple[StepRecord, int],
        at_latent: tuple[Array, Array] | None = None,
    ) -> bool:
        """Whether a step of the device is the one that was replayed. ``at_latent``, its sample and
        target, of one that began at the latent: the chain says so."""
        if at_latent is not None:
            self._enter_latent(*at_latent)
        self.verified_steps += expected == found
        return expected == found

    def _enter_latent(self, sample: Array, target: Array) -> None:
        """The chain value of the step just replayed, had it begun at the latent."""
        entry = self.reference.entry_from(self._before, self._latent(sample), target, AT_LATENT)
        if entry is not None and self.plan.learning.chain is not None:
            value = np.frombuffer(entry.after, np.uint8).copy()
            self.reference.state = {**self.reference.state, self.plan.learning.chain: value}

    def compare_chain(self, device: ModelDevice) -> Difference | None:
        """Where the device's chain value, or its state's hash, is not that of the reference; for a
        plan with a chain."""
        state, recorded = self.reference.state_bytes(), device.recorded()
        chain = self.plan.learning.chain
        assert chain is not None
        expected = self.reference.state[chain].tobytes(), short_hash(state)
        if (recorded.chain, recorded.state_hash) == expected:
            return None
        return self._state_difference(self.reference.steps - 1, device.read(RamRegion.STATE))

    def step(self, sample: Array, target: Array, loss: StepRecord, digest: int) -> bool:
        """Replay a step that the device has taken; whether loss and digest are equal."""
        return self.compare_step(self.replay(sample, target), (loss, digest))

    def answer(self, sample: Array) -> Answer:
        """What the reference makes of a sample."""
        outputs, task = self.reference.outputs(sample), self.plan.task
        predicted = 0 if task.predicted is None else int(outputs[task.predicted][0])
        return Answer(predicted, outputs[task.logits].reshape(-1))

    def _latent(self, sample: Array) -> Array:
        key = sample.tobytes()
        if key not in self._latents:
            self._latents[key] = self.reference.latent_of(sample)
        return self._latents[key]

    def locate(self, device: ModelDevice, sample: Array, target: Array) -> Difference:
        """The first node, tensor and element that differ in the step just replayed.

        The device takes up the state before the step and runs it call by call; what each
        call wrote is read back.
        """
        after = device.read(RamRegion.STATE)
        step = self.reference.steps - 1
        found = self.locate_step(device, self._before, sample, target)
        return found or self._state_difference(step, after)

    def locate_step(
        self, device: ModelDevice, state: dict[Tensor, Array], sample: Array, target: Array
    ) -> Difference | None:
        """The first node, tensor and element that differ in a step from ``state``, which the device
        takes up; None if it does what the reference does."""
        device.reset(0)
        device.write(RamRegion.STATE, pack_state(self.plan, state))
        step = int(state[self.plan.learning.sgd][1])
        return self._first_difference(device, step, state, sample, target)

    def locate_prediction(self, device: ModelDevice, sample: Array) -> Difference:
        """The first difference of a forward pass that predicted otherwise; leaves a step begun."""
        step, state = self.reference.steps, self.reference.state
        found = self._first_difference(device, step, state, sample, np.array(0))
        return found or self._unexplained(step, self.plan.task.logits)

    def _first_difference(
        self,
        device: ModelDevice,
        step: int,
        state: dict[Tensor, Array],
        sample: Array,
        target: Array,
    ) -> Difference | None:
        """Run a step call by call from ``state``, which the device has, and compare each output.
        None too for a device that does not show them."""
        if not device.info.shows_arena:
            return None
        replay = Interpreter(self.plan)
        replay.state = dict(state)
        device.begin(write_step(device, self.plan, sample, target))
        for node, values in replay.trace(sample, target):
            if node.op.alias:
                continue
            if node is not self.plan.arriving:  # which ran when the sample came
                device.run(1)
            for tensor in node.outputs:
                actual = read_tensor(device, self.plan, tensor)
                found = compare(step, node, tensor, actual, values[tensor], True)
                if found is not None:
                    return found
        return None

    def _state_difference(self, step: int, after: bytes) -> Difference:
        """Where the state read after the step differs, if running it again did not show it."""
        for tensor, actual in unpack_state(self.plan, after).items():
            writer = (
                self.plan.graph.producer(tensor) or self.plan.task.loss
            )  # no node counts classes
            expected = self.reference.state[tensor]
            found = compare(step, writer, tensor, actual, expected, False)
            if found is not None:
                return found
        return self._unexplained(step, self.plan.record)

    def _unexplained(self, step: int, tensor: Tensor) -> Difference:
        """A difference that was reported, but shows in nothing that can be read."""
        node = self.plan.graph.producer(tensor)
        assert node is not None
        return Difference(
            step, node.name, type(node.op).__name__, node.index, tensor.name, (0,), 0, 0, 0, False
        )


def read_tensor(device: ModelDevice, plan: TrainingPlan, tensor: Tensor) -> Array:
    """What a tensor of the device's plan holds now."""
    where = plan.memory.place(tensor)
    assert where is not None
    region, offset = where
    number = list(plan.memory.regions).index(region)
    raw = device.read(number, offset, tensor.type.nbytes)
    return np.frombuffer(raw, tensor.type.dtype.np.newbyteorder("<")).reshape(tensor.type.shape)


def write_step(device: ModelDevice, plan: TrainingPlan, sample: Array, target: Array) -> int:
    """Write what a step takes; the label to give it, 0 if its target is something else."""
    label = write_target(device, plan, target)
    device.write_sample(sample.tobytes())
    return label


def write_target(device: ModelDevice, plan: TrainingPlan, target: Array) -> int:
    """Write a target that is no label; the label to give a step."""
    if plan.takes_label:
        return int(target)
    if plan.task.target is not None:
        device.write_target(
            np.resize(target, plan.task.target.type.shape).astype(np.int8).tobytes()
        )
    return 0


class Differs(Exception):
    """Device and reference have parted."""

    def __init__(self, difference: Difference) -> None:
        super().__init__(str(difference))
        self.difference = difference


def compare(
    step: int, node: Node, tensor: Tensor, actual: Array, expected: Array, reproduced: bool
) -> Difference | None:
    differs = np.argwhere(actual != expected)
    if not len(differs):
        return None
    first = tuple(int(k) for k in differs[0])
    return Difference(
        step, node.name, type(node.op).__name__, node.index, tensor.name, first,
        int(actual[first]), int(expected[first]), len(differs), reproduced,
    )  # fmt: skip

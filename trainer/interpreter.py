# SPDX-License-Identifier: Apache-2.0
"""Runs a TrainingPlan in NumPy, in the order and with the bits of the device."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.graph.tensor import Array, Tensor
from mcutrain.trainer.ops.sgd import LearningRate
from mcutrain.trainer.planner.row_region import Composite
from mcutrain.trainer.record_chain import AT_LATENT, Entry, chain_at_reset, sample_hash
from mcutrain.trainer.training_plan import TrainingPlan


@dataclass(frozen=True)
class StepRecord:
    """What a step reports: the loss's record (SPEC 1.2), and the predicted class or 0."""

    sum: int
    distance: int
    predicted: int

    def real(self, plan: TrainingPlan) -> float:
        """The loss in real units."""
        return plan.real_loss(np.array([self.sum, self.distance]))


class Interpreter:
    """The reference trainer: the plan's nodes over arrays, and the state they leave.

    ``state`` maps each PARAM and STATE tensor to its value. ``entry`` is what the last step since
    the reset added to the chain, if the plan has one.
    """

    def __init__(self, plan: TrainingPlan, seed: int = 0) -> None:
        self.plan = plan
        self.entry: Entry | None = None
        self.state: dict[Tensor, Array] = {}
        self.constants: dict[Tensor, Array] = {}
        self.reset(seed)

    def reset(self, seed: int) -> None:
        """Initial weights and histories, step number 0, the default learning rate."""
        self.state = {t: t.data.copy() for t in self.plan.learning.state if t.data is not None}
        self.state[self.plan.learning.sgd][0] = seed & 0xFFFFFFFF
        if (chain := self.plan.learning.chain) is not None:
            self.state[chain] = chain_at_reset(chain, self.plan.numerics_hash, seed)
        self.entry = None
        self.constants = {t: t.data for t in self.plan.graph.tensors if t.data is not None}

    def set_learning_rate(self, rate: LearningRate) -> None:
        self.state[self.plan.learning.sgd] = np.array(
            [*self.state[self.plan.learning.sgd][:2], rate.multiplier, rate.shift], np.uint32
        )

    @property
    def steps(self) -> int:
        return int(self.state[self.plan.learning.sgd][1])

    @property
    def classes(self) -> int:
        """How many labels are in use; 0 if the target is not a label."""
        active = self.plan.task.active
        return self.plan.classes if active is None else int(self.state[active][0])

    def set_classes(self, classes: int) -> None:
        """Take spare classes into use, or out of it. Raises ValueError beyond what there are."""
        active = self.plan.task.active
        if active is None or not 2 <= classes <= self.plan.classes:
            raise ValueError(f"{classes} classes: the head has {self.plan.classes} outputs")
        self.state[active] = np.array([classes], np.uint32)

    def step(self, sample: Array, target: int | Array = 0) -> StepRecord:
        """One training step on ``sample`` (the input's shape, int8).

        ``target`` is a label, or values (the logits' size, int8), or nothing, as the plan says.
        """
        return self._record(self.trace(sample, target))

    def step_from_latent(
        self, latent: Array, target: int | Array = 0, sample: Array | None = None
    ) -> StepRecord:
        """``step`` on the sample of ``latent``: the same bits without the frozen prefix.

        The chain says that the step began at the latent, unless ``sample`` is given, the latent's.
        """
        values = self._latent_values(latent) | self._target(target)
        flags = AT_LATENT if sample is None else 0
        values |= self._entered(latent if sample is None else sample, values, flags)
        return self._record(self._trace(len(self.plan.latents.prefix), values))

    def latent_of(self, sample: Array) -> Array:
        """The latent of a sample, in its own shape, int8; touches no state.

        Raises ValueError if the plan has none.
        """
        values = self._values() | self._input(sample)
        for node in self.plan.latents.prefix:
            self._run(node, values)
        return values[self._latent()]

    def entry_from(
        self, state: Mapping[Tensor, Array], data: Array, target: int | Array, flags: int = 0
    ) -> Entry | None:
        """What a step from ``state`` on ``data``, a sample or a latent, adds to the chain."""
        return entry_of(self.plan, {**state, **self._target(target)}, data, flags)

    def _entered(
        self, data: Array, values: Mapping[Tensor, Array], flags: int = 0
    ) -> dict[Tensor, Array]:
        """The chain value behind the step that begins, if there is one."""
        self.entry = entry_of(self.plan, values, data, flags)
        chain = self.plan.learning.chain
        if self.entry is None or chain is None:
            return {}
        return {chain: np.frombuffer(self.entry.after, np.uint8).copy()}

    def _record(self, trace: Iterator[tuple[Node, Mapping[Tensor, Array]]]) -> StepRecord:
        *_, (_, values) = trace
        total, distance = (int(v) for v in values[self.plan.record])
        predicted = self.plan.task.predicted
        return StepRecord(total, distance, int(values[predicted][0]) if predicted else 0)

    def infer(self, sample: Array) -> Array:
        """The logits (classes,) int8 of the forward pass; touches no state."""
        return self.outputs(sample)[self.plan.task.logits].reshape(-1)

    def predict(self, sample: Array) -> int:
        """The class of the forward pass. The plan must have classes."""
        assert self.plan.task.predicted is not None
        return int(self.outputs(sample)[self.plan.task.predicted][0])

    def infer_from_latent(self, latent: Array) -> Array:
        """``infer`` on the sample of ``latent``."""
        return self.outputs_from_latent(latent)[self.plan.task.logits].reshape(-1)

    def predict_from_latent(self, latent: Array) -> int:
        """``predict`` on the sample of ``latent``."""
        assert self.plan.task.predicted is not None
        return int(self.outputs_from_latent(latent)[self.plan.task.predicted][0])

    def outputs(self, sample: Array) -> Mapping[Tensor, Array]:
        """Every tensor of the forward pass; touches no state."""
        values = self._values() | self._input(sample)
        for node in self.plan.inference:
            self._run(node, values)
        return values

    def outputs_from_latent(self, latent: Array) -> Mapping[Tensor, Array]:
        """``outputs`` of the sample of ``latent``, without the frozen prefix."""
        values = self._latent_values(latent)
        for node in self.plan.inference[len(self.plan.latents.prefix) :]:
            self._run(node, values)
        return values

    def trace(
        self, sample: Array, target: int | Array = 0
    ) -> Iterator[tuple[Node, Mapping[Tensor, Array]]]:
        """Execute one step; yields each node after it ran, and all values so far."""
        values = self._values() | self._input(sample) | self._target(target)
        yield from self._trace(0, values | self._entered(sample, values))

    def _trace(
        self, first: int, values: dict[Tensor, Array]
    ) -> Iterator[tuple[Node, Mapping[Tensor, Array]]]:
        """A step from node ``first`` on, with what it needs in ``values``."""
        for node in self.plan.graph.nodes[first:]:
            self._run(node, values)
            yield node, values
        self.state = {t: values[t] for t in self.state}

    def digest(self) -> int:
        """CRC-32 of all that is learned, as the device computes it (SPEC 1.5)."""
        return state_digest(self.plan, self.state)

    def state_bytes(self) -> bytes:
        """The state region as the device holds it (SPEC section 4)."""
        return pack_state(self.plan, self.state)

    def _values(self) -> dict[Tensor, Array]:
        """Constants and state."""
        return self.constants | self.state

    def _input(self, sample: Array) -> dict[Tensor, Array]:
        return {self.plan.task.input: sample.reshape(self.plan.task.input.type.shape)}

    def _latent(self) -> Tensor:
        if self.plan.latents.tensor is None:
            raise ValueError(f"the scheme '{self.plan.scheme.name}' leaves no layers to skip")
        return self.plan.latents.tensor

    def _latent_values(self, latent: Array) -> dict[Tensor, Array]:
        tensor = self._latent()
        return self._values() | {tensor: latent.reshape(tensor.type.shape)}

    def _target(self, target: int | Array) -> dict[Tensor, Array]:
        """What a step takes beside its input. Raises ValueError for a label not in use."""
        if self.plan.takes_label and not 0 <= int(target) < self.classes:
            raise ValueError(f"label {target} is not one of {self.classes} classes")
        if self.plan.task.target is None:
            return {}
        type_ = self.plan.task.target.type
        return {self.plan.task.target: np.resize(np.asarray(target, type_.dtype.np), type_.shape)}

    def _run(self, node: Node, values: dict[Tensor, Array]) -> None:
        if isinstance(node.op, Composite):
            node.op.run(values)
            return
        outputs = node.op.reference(node, *(values[t] for t in node.inputs))
        for tensor, value in zip(node.outputs, outputs, strict=True):
            type_ = tensor.type
            assert value.dtype == type_.dtype.np, f"{node}: {tensor} is {value.dtype}"
            assert value.shape == type_.shape, f"{node}: {tensor} is {value.shape}"
            values[tensor] = value


def entry_of(
    plan: TrainingPlan, values: Mapping[Tensor, Array], data: Array, flags: int
) -> Entry | None:
    """The chain's entry of a step on ``data``, from the state and target in ``values``; None of a
    plan without a chain."""
    if plan.learning.chain is None:
        return None
    task, hashed, label = plan.task, data.astype(np.int8).tobytes(), 0
    if plan.takes_label and task.target is not None:
        label = int(values[task.target][0])
    elif plan.target_bytes and task.target is not None:
        hashed += values[task.target].tobytes()
    before = values[plan.learning.chain].tobytes()
    _, step, multiplier, shift = (int(v) for v in values[plan.learning.sgd])
    classes = 0 if task.active is None else int(values[task.active][0])
    return Entry(before, sample_hash(hashed), label, step, multiplier, shift, flags, classes)


def target_of_input(plan: TrainingPlan, sample: Array) -> Array:
    """The target that a plan without one of its own makes of the input (SPEC 1.2)."""
    values = {plan.task.input: sample.reshape(plan.task.input.type.shape)}

    def value(tensor: Tensor) -> Array:
        if tensor not in values:
            node = plan.graph.producer(tensor)
            assert node is not None
            (values[tensor],) = node.op.reference(node, *map(value, node.inputs))
        return values[tensor]

    return value(plan.task.loss.inputs[1])


def state_digest(plan: TrainingPlan, state: Mapping[Tensor, Array]) -> int:
    """CRC-32 over the weights, with fractions as int16, the biases, and so on (SPEC 1.5)."""
    crc = 0
    for tensor in plan.digested:
        crc = zlib.crc32(tensor_bytes(plan, state, tensor), crc)
    return crc


def tensor_bytes(plan: TrainingPlan, state: Mapping[Tensor, Array], tensor: Tensor) -> bytes:
    """The digested bytes of a tensor, little-endian: a weight as M = 256 w + frac in int16."""
    value = state[tensor]
    if (low := plan.learning.companions.joined(tensor)) is not None:
        value = (value.astype(np.int32) * 256 + state[low]).astype(np.int16)
    return value.astype(value.dtype.newbyteorder("<")).tobytes()


def pack_state(plan: TrainingPlan, state: Mapping[Tensor, Array]) -> bytes:
    """The state region, little-endian, with zeros where tensors are padded."""
    region = bytearray(plan.memory.state_bytes)
    for tensor, offset in plan.memory.state.items():
        value = state[tensor]
        raw = value.astype(value.dtype.newbyteorder("<")).tobytes()
        region[offset : offset + len(raw)] = raw
    return bytes(region)


def unpack_state(plan: TrainingPlan, region: bytes) -> dict[Tensor, Array]:
    """The tensors of a state region: the inverse of ``pack_state``."""
    state: dict[Tensor, Array] = {}
    for tensor, offset in plan.memory.state.items():
        raw = region[offset : offset + tensor.type.nbytes]
        value = np.frombuffer(raw, tensor.type.dtype.np.newbyteorder("<"))
        state[tensor] = value.astype(tensor.type.dtype.np).reshape(tensor.type.shape)
    return state

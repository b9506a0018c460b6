# SPDX-License-Identifier: Apache-2.0
"""What integer training is measured against: a plan's training in PyTorch, by three methods.

Each trains exactly the tensors and channels that learn in the plan, by plain SGD at batch 1 in
real units: w -= rate dL/dw. Quantisation-aware scaling makes the integer update this one.
Samples, order and rates are the caller's; so is ``torch.set_num_threads(1)``, which at batch 1
is faster than two threads, and repeats to the bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.scores import input_targets
from benchmarks.torch_ops import Plain, TorchLayer, centred, plain, wants_gradient
from benchmarks.torch_parameters import Method, Parameter, parameters
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.graph.tensor import Tensor as PlanTensor
from mcutrain.trainer.ops.gather_channels import GatherChannels
from mcutrain.trainer.ops.weighted import Weighted
from mcutrain.trainer.training_plan import TrainingPlan

BATCH = 8  # samples whose activations are in memory at once, where nothing learns
Given = Mapping[Parameter, Tensor]  # values in place of the parameters' own
OWN: Given = {}


def straight_through(before: Tensor, out: Tensor, lo: float, hi: float) -> Tensor:
    """``out``, with the gradient of what it was before it was rounded; none where it is at a
    limit. The difference that carries the gradient is 0 to the bit."""
    passed = torch.where((out > lo) & (out < hi), before, before.detach()).to(out.dtype)
    return out + (passed - passed.detach())


@dataclass(frozen=True)
class FloatStep:
    """One operator of the forward pass. ``lo`` and ``hi`` limit its output, in its own units;
    they are infinite for the logits, whose error has no mask (SPEC 1.2)."""

    node: Node
    op: TorchLayer | Plain
    params: tuple[Parameter | None, ...]
    lo: float
    hi: float

    def real(self, inputs: list[Tensor], given: Given) -> Tensor:
        out = self.op.real(*inputs, *self.values(given))
        if self.lo == -torch.inf:
            return out
        return F.hardtanh(out, self.lo, self.hi)  # no gradient at the limits either

    def int8(self, inputs: list[Tensor], given: Given) -> Tensor:
        before, out = self.op.int8(*inputs, *self.values(given))
        return straight_through(before, out, self.lo, self.hi) if wants_gradient(before) else out

    def values(self, given: Given) -> list[Any]:
        """The parameters as the operator takes them."""
        return [None if p is None else given.get(p, p.value) for p in self.params]


class FloatTrainer:
    """A plan, trained by a Method. Made by ``of``."""

    def __init__(self, plan: TrainingPlan, method: Method, steps: list[FloatStep]) -> None:
        self.plan, self.method, self.steps = plan, method, steps
        self.constants = {
            t: self.values_of(t, t.data)
            for step in steps
            for t in activations(step.node)
            if t.data is not None
        }

    @classmethod
    def of(cls, plan: TrainingPlan, method: Method) -> FloatTrainer:
        """At the plan's initial weights. Raises NotImplementedError for spare classes, and for
        operators that are not in ``torch_ops``."""
        if plan.task.active is not None:
            raise NotImplementedError(f"{plan.name}: PyTorch training takes labels of all classes")
        nodes = [n for n in plan.forward if not isinstance(n.op, GatherChannels)]
        outputs = [n.output for n in nodes]
        nodes = nodes[: outputs.index(plan.task.logits) + 1]
        if any(t.type.shape[0] != 1 for t in (plan.task.input, *(n.output for n in nodes))):
            raise NotImplementedError(f"{plan.name}: a tensor whose first axis is not the batch")
        return cls(plan, method, [step_of(n, method, plan.task.logits) for n in nodes])

    def step(self, sample: Array, target: int | Array, rate: float) -> float:
        """One step of SGD on ``sample`` (the input's shape, int8) and its label or int8 values;
        the loss before it, in nats or squared real units."""
        loss = self.backward(sample, target)
        for param in self.learned_parameters():
            param.update(rate)
        return loss

    def backward(self, sample: Array, target: int | Array) -> float:
        """Add the gradient of a sample's loss to that of each parameter's ``value``; the loss.

        No gradient is computed before the first operator that learns.
        """
        samples, targets = sample[None], np.asarray(target)[None]
        loss = self.losses(self.forward(self.inputs(samples)), self.targets(samples, targets)).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.item()

    def losses(self, logits: Tensor, targets: Tensor) -> Tensor:
        """(N,) of outputs of ``forward`` and ``targets``."""
        real = self.real_outputs(logits)
        if not self.plan.takes_label:
            return (real - targets).square().mean(1)
        rows = real if real.shape[1] > 1 else F.pad(real, (1, 0))  # class 1 against a constant 0
        return F.cross_entropy(rows, targets, reduction="none")

    def targets(self, samples: Array, targets: Array) -> Tensor:
        """What ``losses`` takes of samples and targets as a data set has them."""
        if self.plan.takes_label:
            return torch.from_numpy(targets.astype(np.int64))
        if self.plan.task.target is None:
            targets = input_targets(self.plan, samples)
        out = self.plan.task.logits.type
        return centred(out, targets.reshape(len(samples), -1)) * out.scale

    def real_outputs(self, logits: Tensor) -> Tensor:
        """(N, outputs) of outputs of ``forward``, in reals."""
        rows = logits.reshape(len(logits), -1)
        return rows * self.plan.task.logits.type.scale if self.method.is_int8 else rows

    def logits(self, samples: Array) -> Array:
        """(N, outputs) of samples (N, ...): int8 as the device has them, or float32 reals."""
        batch = self.inputs(samples)
        with torch.no_grad():
            parts = [self.forward(batch[k : k + BATCH]) for k in range(0, len(batch), BATCH)]
        found = torch.cat(parts).reshape(len(batch), -1).numpy()
        if not self.method.is_int8:
            return found
        return (found + self.plan.task.logits.type.zero_point).astype(np.int8)

    def predict(self, samples: Array) -> Array:
        """(N,) classes of samples (N, ...): the first greatest logit. One alone is against 0."""
        found = self.logits(samples)
        if found.shape[1] > 1:
            return np.asarray(found.argmax(axis=1))
        zero = self.plan.task.logits.type.zero_point if self.method.is_int8 else 0
        return np.asarray(found[:, 0] > zero).astype(np.int64)

    def accuracy(self, samples: Array, labels: Array) -> float:
        """Of samples (N, ...) and labels (N,), from 0 to 1."""
        return float(np.mean(self.predict(samples) == labels))

    def take(self, other: FloatTrainer) -> None:
        """The learned values of a trainer of the same plan by another method."""
        pairs = zip(self.learned_parameters(), other.learned_parameters(), strict=True)
        for mine, theirs in pairs:
            mine.take(theirs)

    def learned(self) -> dict[PlanTensor, Array]:
        """What the forward pass reads of each tensor of ``plan.learned``.

        int8 weights and int32 biases, as ``Interpreter.state`` has them; or real values.
        """
        return {param.tensor: param.learned() for param in self.learned_parameters()}

    def learned_parameters(self) -> list[Parameter]:
        """By operator: weights, then bias."""
        params = (param for step in self.steps for param in step.params)
        return [param for param in params if param is not None and param.gain is not None]

    def values_of(self, tensor: PlanTensor, q: Array) -> Tensor:
        """int8 values of a tensor in the units of the method: quanta less zero point, or reals."""
        quanta = centred(tensor.type, q)
        return quanta if self.method.is_int8 else quanta * tensor.type.scale

    def inputs(self, samples: Array) -> Tensor:
        """What ``forward`` takes of samples (N, ...), int8."""
        source = self.plan.task.input
        return self.values_of(source, samples.reshape(-1, *source.type.shape[1:]))

    def forward(self, x: Tensor, given: Given = OWN) -> Tensor:
        """The logits of inputs, in the units of the method."""
        values = {**self.constants, self.plan.task.input: x}
        for step in self.steps:
            inputs = [values[t] for t in activations(step.node)]
            run = step.int8 if self.method.is_int8 else step.real
            values[step.node.output] = run(inputs, given)
        return values[self.plan.task.logits]


def activations(node: Node) -> tuple[PlanTensor, ...]:
    """The inputs that are no weights."""
    return node.inputs[:1] if isinstance(node.op, Weighted) else node.inputs


def step_of(node: Node, method: Method, logits: PlanTensor) -> FloatStep:
    lo, hi = -torch.inf, torch.inf
    if node.output is not logits:
        out = node.output.type
        unit = 1.0 if method.is_int8 else out.scale
        lo, hi = (unit * (limit - out.zero_point) for limit in node.output.limits)
    if isinstance(node.op, Weighted):
        return FloatStep(node, TorchLayer(node), parameters(node, method), lo, hi)
    return FloatStep(node, plain(node), (), lo, hi)

# SPDX-License-Identifier: Apache-2.0
"""What integer training is measured against: a plan's training in PyTorch, by three methods.

Each trains exactly the tensors and channels that learn in the plan, by plain SGD at batch 1 in
real units: w -= rate dL/dw. Quantisation-aware scaling makes the integer update this one.
Samples, order and rates are the caller's; so is ``torch.set_num_threads(1)``, which at batch 1
is faster than two threads, and repeats to the bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.torch_ops import Plain, TorchLayer, centred, plain
from benchmarks.torch_parameters import Method, Parameter, parameters
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.graph.tensor import Tensor as PlanTensor
from mcutrain.trainer.ops.gather_channels import GatherChannels
from mcutrain.trainer.ops.weighted import Weighted
from mcutrain.trainer.training_plan import TrainingPlan

BATCH = 8  # samples whose activations are in memory at once, where nothing learns


class StraightThrough(torch.autograd.Function):
    """(before rounding, int8 output, lo, hi) -> the output; no gradient where it is at a limit."""

    @staticmethod
    def forward(ctx: Any, before: Tensor, out: Tensor, lo: float, hi: float) -> Tensor:
        ctx.save_for_backward(out)
        ctx.limits, ctx.dtype = (lo, hi), before.dtype
        return out.view_as(out)

    @staticmethod
    def backward(ctx: Any, *errors: Tensor) -> tuple[Tensor | None, ...]:
        masked = torch.ops.aten.hardtanh_backward(errors[0], *ctx.saved_tensors, *ctx.limits)
        return masked.to(ctx.dtype), None, None, None


@dataclass(frozen=True)
class FloatStep:
    """One operator of the forward pass. ``lo`` and ``hi`` limit its output, in its own units;
    they are infinite for the logits, whose error has no mask (SPEC 1.2)."""

    node: Node
    op: TorchLayer | Plain
    params: tuple[Parameter | None, ...]
    lo: float
    hi: float

    def real(self, inputs: list[Tensor]) -> Tensor:
        out = self.op.real(*inputs, *self.values())
        if self.lo == -torch.inf:
            return out
        return F.hardtanh(out, self.lo, self.hi)  # no gradient at the limits either

    def int8(self, inputs: list[Tensor]) -> Tensor:
        before, out = self.op.int8(*inputs, *self.values())
        if not before.requires_grad:
            return out
        result: Tensor = StraightThrough.apply(before, out, self.lo, self.hi)  # type: ignore[no-untyped-call]
        return result

    def values(self) -> list[Any]:
        """The parameters as the operator takes them."""
        return [None if p is None else p.value for p in self.params]


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
        """At the plan's initial weights. Raises NotImplementedError for losses other than
        cross-entropy without spare classes, and for operators that are not in ``torch_ops``."""
        if not plan.takes_label or plan.task.active is not None:
            raise NotImplementedError(f"{plan.name}: PyTorch training takes labels of all classes")
        nodes = [n for n in plan.forward if not isinstance(n.op, GatherChannels)]
        outputs = [n.output for n in nodes]
        nodes = nodes[: outputs.index(plan.task.logits) + 1]
        if any(t.type.shape[0] != 1 for t in (plan.task.input, *(n.output for n in nodes))):
            raise NotImplementedError(f"{plan.name}: a tensor whose first axis is not the batch")
        return cls(plan, method, [step_of(n, method, plan.task.logits) for n in nodes])

    def step(self, sample: Array, label: int, rate: float) -> float:
        """One step of SGD on ``sample`` (the input's shape, int8); the loss before it, in nats."""
        loss = self.backward(sample, label)
        for param in self.learned_parameters():
            param.update(rate)
        return loss

    def backward(self, sample: Array, label: int) -> float:
        """Add the gradient of a sample's loss to that of each parameter's ``value``; the loss.

        No gradient is computed before the first operator that learns.
        """
        loss = F.cross_entropy(self._class_logits(self._forward(sample)), torch.tensor([label]))
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.item()

    def logits(self, samples: Array) -> Array:
        """(N, outputs) of samples (N, ...): int8 as the device has them, or float32 reals."""
        shape = self.plan.task.input.type.shape
        batch = samples.reshape(-1, *shape[1:])
        with torch.no_grad():
            parts = [self._forward(batch[k : k + BATCH]) for k in range(0, len(batch), BATCH)]
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

    def _forward(self, samples: Array) -> Tensor:
        """The logits of samples, in the units of the method."""
        source = self.plan.task.input
        values = dict(self.constants)
        values[source] = self.values_of(source, samples.reshape(-1, *source.type.shape[1:]))
        for step in self.steps:
            inputs = [values[t] for t in activations(step.node)]
            run = step.int8 if self.method.is_int8 else step.real
            values[step.node.output] = run(inputs)
        return values[self.plan.task.logits]

    def _class_logits(self, logits: Tensor) -> Tensor:
        """(N, classes) in reals; one logit alone is class 1 against a constant 0."""
        rows = logits.reshape(len(logits), -1)
        if self.method.is_int8:
            rows = rows * self.plan.task.logits.type.scale
        return rows if rows.shape[1] > 1 else F.pad(rows, (1, 0))


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

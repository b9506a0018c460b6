# SPDX-License-Identifier: Apache-2.0
"""Runs of one plan side by side in PyTorch: what a step costs beside its arithmetic is paid once.

Each run has weights, samples and a rate of its own; sums are those of the run alone, up to the
order in which PyTorch adds them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from benchmarks.float_trainer import FloatTrainer
from benchmarks.optimisers import OPTIMISERS, SGD
from benchmarks.torch_parameters import Method
from mcutrain.host.training.dataset import Dataset
from mcutrain.host.training.rates import rates
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.training_plan import TrainingPlan

MOST = 128  # runs of a stack
STACK_BYTES = 2**29  # about what the activations of a step of a stack may take
OF_ACTIVATION = 16  # bytes: its float32, the integers it comes from, its error
TESTED = 64  # samples of all runs together that are tested at once: as many as caches hold


@dataclass(frozen=True)
class StackedRun:
    """What one run of a stack trains on, step by step, at which rate and by which optimiser."""

    data: Dataset
    order: Array
    rate: float
    optimiser: str = SGD


class StackedOptimisers:
    """Of the runs of a stack, by name."""

    def __init__(self, names: Sequence[str]) -> None:
        of_runs = np.array(names)
        self.parts = [
            (torch.from_numpy(np.flatnonzero(of_runs == name)), OPTIMISERS[name]())
            for name in dict.fromkeys(names)
        ]

    def directions(self, gradients: list[Tensor]) -> list[Tensor]:
        """What a step at rate 1 takes from each parameter of each run (runs, ...)."""
        found = [torch.empty_like(gradient) for gradient in gradients]
        for at, optimiser in self.parts:
            moved = optimiser.directions([gradient[at] for gradient in gradients])
            for into, part in zip(found, moved, strict=True):
                into[at] = part
        return found


class StackedTrainer:
    """Copies of a plan at its initial weights, each trained by one of ``optimisers``."""

    def __init__(self, plan: TrainingPlan, method: Method, optimisers: Sequence[str]) -> None:
        self.trainer = FloatTrainer.of(plan, method)
        self.params = self.trainer.learned_parameters()
        runs = len(optimisers)
        self.masters = [p.master.expand(runs, *p.master.shape).clone() for p in self.params]
        self.optimisers = StackedOptimisers(optimisers)
        self._forward = torch.func.vmap(self._forward_of_one)

    def step(self, samples: Array, targets: Array, at: Tensor) -> Tensor:
        """One step of each run on its samples (runs, N, ...) int8 at its rate of ``at`` (runs,);
        the losses before it (runs,). A run whose loss is not finite stays as it is."""
        values = [p.read(m) for p, m in zip(self.params, self.masters, strict=True)]
        logits = self._forward(values, self._inputs(samples)).flatten(0, 1)
        flat = (np.concatenate(part) for part in (samples, targets))
        losses = self.trainer.losses(logits, self.trainer.targets(*flat))
        mean = losses.reshape(len(samples), -1).mean(1)
        gradients = torch.autograd.grad(mean.sum(), values)
        alive = mean.detach().isfinite()
        moved = self.optimisers.directions(
            [g * p.gain for g, p in zip(gradients, self.params, strict=True)]
        )
        for k, (param, direction) in enumerate(zip(self.params, moved, strict=True)):
            rate = beside(at, direction).to(direction.dtype)
            new = param.moved(self.masters[k], direction * rate)
            self.masters[k] = torch.where(beside(alive, new), new, self.masters[k])
        return mean.detach()

    def outputs(self, samples: Array) -> Array:
        """(runs, N, outputs) in reals, of the samples (runs, N, ...) of each run."""
        values = [p.read(m).detach() for p, m in zip(self.params, self.masters, strict=True)]
        some = max(1, TESTED // len(samples))
        parts = []
        with torch.no_grad():
            for k in range(0, samples.shape[1], some):
                logits = self._forward(values, self._inputs(samples[:, k : k + some]))
                real = self.trainer.real_outputs(logits.flatten(0, 1))
                parts.append(real.reshape(len(samples), -1, real.shape[1]))
        return torch.cat(parts, 1).numpy()

    def _inputs(self, samples: Array) -> Tensor:
        flat = self.trainer.inputs(np.concatenate(samples))
        return flat.reshape(len(samples), -1, *flat.shape[1:])

    def _forward_of_one(self, values: list[Tensor], x: Tensor) -> Tensor:
        return self.trainer.forward(x, dict(zip(self.params, values, strict=True)))


def beside(of_runs: Tensor, values: Tensor) -> Tensor:
    """(runs,) that broadcasts to (runs, ...)."""
    return of_runs.reshape(-1, *[1] * (values.dim() - 1))


def train_stack(
    plan: TrainingPlan,
    method: Method,
    runs: Sequence[StackedRun],
    schedule: str,
    batch: int,
) -> list[Array]:
    """The outputs (N, outputs) in reals of each run's test samples after training.

    All runs have as many steps; a batch takes the next ``batch`` samples of the order, the last
    one what is left, and its gradient is their mean.
    """
    trainer = StackedTrainer(plan, method, [run.optimiser for run in runs])
    total = -(-len(runs[0].order) // batch)
    schedules = [dict(rates(total, run.rate, schedule)) for run in runs]
    now = torch.zeros(len(runs), dtype=torch.float64)
    for k in range(total):
        for r, changes in enumerate(schedules):
            if k in changes:
                now[r] = changes[k].real
        taken = [run.order[k * batch : (k + 1) * batch] for run in runs]
        pairs = list(zip(runs, taken, strict=True))
        samples = np.stack([run.data.x_train[part] for run, part in pairs])
        targets = np.stack([run.data.y_train[part] for run, part in pairs])
        if not trainer.step(samples, targets, now).isfinite().any():
            break
    return tested(trainer, [run.data.x_test for run in runs])


def tested(trainer: StackedTrainer, tests: list[Array]) -> list[Array]:
    """The outputs of each run's test samples, of which there may be more in one than another."""
    most = max(map(len, tests))
    padded = np.stack([x[np.arange(most) % len(x)] for x in tests])
    return [out[: len(x)] for out, x in zip(trainer.outputs(padded), tests, strict=True)]


def untrained(plan: TrainingPlan, method: Method, data: Dataset) -> Array:
    """The outputs (N, outputs) in reals of the test samples at the plan's initial weights."""
    return tested(StackedTrainer(plan, method, [SGD]), [data.x_test])[0]


def runs_of_stack(plan: TrainingPlan, batch: int) -> int:
    """How many runs a stack may have for its memory."""
    activations = sum(node.output.type.size for node in plan.forward)
    return int(np.clip(STACK_BYTES // (activations * batch * OF_ACTIVATION), 1, MOST))

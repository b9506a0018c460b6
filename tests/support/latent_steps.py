# SPDX-License-Identifier: Apache-2.0
"""Steps from latents, in generated C and in the reference, compared with whole steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mcutrain.host.link.protocol import Status
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.interpreter import Interpreter, StepRecord
from mcutrain.trainer.planner.memory import ARENA
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.native import NativeModel
from tests.support.random_models import samples
from tests.support.steps import rate_at, target_at


class FromLatent:
    """A generated model that gets latents only, in an arena that holds nothing else."""

    def __init__(self, device: NativeModel) -> None:
        self.device, self.plan = device, device.plan

    def latent_of(self, sample: Array) -> Array:
        assert self.plan.latents.tensor is not None
        self._clear()
        self.device.write_input(sample)
        assert self.device.call("prefix") == Status.OK
        return self.device[self.plan.latents.tensor].copy()

    def step(self, latent: Array, target: int | Array, slice_calls: int | None) -> StepRecord:
        self._write(latent)
        label = int(target) if self.plan.takes_label else 0
        if not self.plan.takes_label and self.plan.task.target is not None:
            self.device.write_target(target)
        if slice_calls is None:
            assert self.device.call("step_from_latent", label) == Status.OK
        else:
            assert self.device.call("begin_from_latent", label) == Status.OK
            assert self.device.call("next_call") == self.device.image.prefix_calls
            assert self.device.call("prefix") == Status.BUSY
            while not self.device.run(slice_calls):
                assert self.device.call("infer_from_latent") == Status.BUSY
        loss = self.device.call("loss")
        return StepRecord(loss.sum, loss.distance, self.device.call("predicted"))

    def infer(self, latent: Array) -> Array:
        self._write(latent)
        assert self.device.call("infer_from_latent") == Status.OK
        return self.device[self.plan.task.logits].reshape(-1).copy()

    def _clear(self) -> None:
        self.device.regions[ARENA][:] = 0xA5

    def _write(self, latent: Array) -> None:
        assert self.plan.latents.tensor is not None
        self._clear()
        self.device[self.plan.latents.tensor][...] = latent
        self.device.announce(self.plan.latents.tensor, "push_latent")


def assert_latents_train_alike(plan: TrainingPlan, folder: Path, steps: int) -> None:
    """Reference on samples, reference and C on latents: one state after every step."""
    whole, cut = Interpreter(plan, seed=5), Interpreter(plan, seed=5)
    device = NativeModel(plan, folder)
    device.reset(5)
    tail = FromLatent(device)
    drawn = samples(plan.task.input.type.shape, max(steps - 3, 0), seed=steps)[:steps]
    for step, sample in enumerate(drawn):
        for trained in (whole, cut, device):
            trained.set_learning_rate(rate_at(step))
        target, latent = target_at(plan, whole, step), cut.latent_of(sample)
        np.testing.assert_array_equal(tail.latent_of(sample), latent)
        logits = whole.infer(sample)
        np.testing.assert_array_equal(cut.infer_from_latent(latent), logits)
        np.testing.assert_array_equal(tail.infer(latent), logits)
        if plan.task.predicted is not None:
            assert cut.predict_from_latent(latent) == whole.predict(sample)

        expected = whole.step(sample, target)
        assert cut.step_from_latent(latent, target) == expected
        assert tail.step(latent, target, step % 3 + 1 if step % 2 else None) == expected
        assert device.digest() == cut.digest() == whole.digest()
        for tensor in plan.learning.state:
            np.testing.assert_array_equal(cut.state[tensor], whole.state[tensor])
            np.testing.assert_array_equal(device[tensor], whole.state[tensor])

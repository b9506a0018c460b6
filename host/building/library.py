# SPDX-License-Identifier: Apache-2.0
"""The generated C in this process: a plan as a shared library, the fastest way to train it here.

No link and no firmware around it, but the same source, and so the same bits.
"""

from __future__ import annotations

import ctypes
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from mcutrain.host.building.linkless import shared_library
from mcutrain.host.building.source import generate
from mcutrain.host.building.target import NATIVE
from mcutrain.trainer.chip import GENERIC
from mcutrain.trainer.graph.tensor import Array, Tensor
from mcutrain.trainer.interpreter import StepRecord
from mcutrain.trainer.ops.sgd import LearningRate
from mcutrain.trainer.planner.memory import STATE
from mcutrain.trainer.training_plan import TrainingPlan


class CLoss(ctypes.Structure):
    _fields_ = [(field, ctypes.c_uint32) for field in ("sum", "distance")]


class CRegion(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("nbytes", ctypes.c_uint32)]


class LibraryModel:
    """A generated model in a shared library; its tensors are NumPy views of its RAM.

    A library that is loaded twice is one model: give each its own file.
    """

    def __init__(self, plan: TrainingPlan, shared_object: Path) -> None:
        self.plan = plan
        self.lib = ctypes.CDLL(str(shared_object))
        self._function("loss").restype = CLoss
        self._function("digest").restype = ctypes.c_uint32
        self._function("target").restype = ctypes.c_void_p
        for name in ("push", "push_target", "push_latent"):
            self._function(name).argtypes = (ctypes.c_uint32, ctypes.c_void_p, ctypes.c_uint32)
        names = list(plan.memory.regions)
        regions = (CRegion * len(names)).in_dll(self.lib, f"{plan.name}_regions")
        views = [self._view(r.data, r.nbytes) for r in regions]
        self.regions = dict(zip(names, views, strict=True))
        self.reset(0)

    def _function(self, name: str) -> Any:
        return getattr(self.lib, f"{self.plan.name}_{name}")

    @staticmethod
    def _view(address: int, nbytes: int) -> Array:
        return np.ctypeslib.as_array((ctypes.c_uint8 * nbytes).from_address(address))

    def __getitem__(self, tensor: Tensor) -> Array:
        where = self.plan.memory.place(tensor)
        assert where is not None
        region, offset = where
        raw = self.regions[region][offset : offset + tensor.type.nbytes]
        return raw.view(tensor.type.dtype.np).reshape(tensor.type.shape)

    def call(self, name: str, *args: int) -> Any:
        """The result of ``<model>_<name>`` with uint32 arguments."""
        return self._function(name)(*map(ctypes.c_uint32, args))

    def reset(self, seed: int) -> None:
        self.call("reset", seed)

    def set_learning_rate(self, rate: LearningRate) -> None:
        self._function("set_learning_rate")(rate.multiplier, rate.shift)

    def set_classes(self, classes: int) -> None:
        if self.call("set_classes", classes) & 0xFF:
            raise ValueError(f"{classes} classes: the head has {self.plan.classes} outputs")

    def write_input(self, sample: Array) -> None:
        sample = np.ascontiguousarray(sample, np.int8)
        if self.push("push", 0, sample):
            raise ValueError(f"{sample.size} bytes are no sample of {self.plan.name}")

    def write_latent(self, latent: Array) -> None:
        latent = np.ascontiguousarray(latent, np.int8)
        if self.push("push_latent", 0, latent):
            raise ValueError(f"{latent.size} bytes are no latent of {self.plan.name}")

    def push(self, function: str, offset: int, part: Array) -> int:
        """The low byte of the status of ``<model>_<function>``, which hands over a part."""
        return int(self._function(function)(offset, part.ctypes.data, part.nbytes)) & 0xFF

    def write_target(self, target: int | Array) -> None:
        """Write a target that is no label."""
        if self.plan.target_bytes:
            values = np.ascontiguousarray(target, np.int8)
            if self.push("push_target", 0, values):
                raise ValueError(f"{values.nbytes} bytes are no target of {self.plan.name}")

    def step(self, sample: Array, target: int | Array = 0) -> StepRecord:
        """One training step; arguments as of ``Interpreter.step``."""
        self.write_input(sample)
        return self._step("step", target)

    def step_from_latent(self, latent: Array, target: int | Array = 0) -> StepRecord:
        """``step`` on the sample of ``latent``."""
        self.write_latent(latent)
        return self._step("step_from_latent", target)

    def _step(self, name: str, target: int | Array) -> StepRecord:
        label = int(target) if self.plan.takes_label else 0
        self.write_target(target)
        if self.call(name, label) & 0xFF:
            raise ValueError(f"label {label} is not one of the classes in use")
        loss = self.loss()
        return StepRecord(loss.sum, loss.distance, self.predicted)

    def loss(self) -> CLoss:
        """Of the last step."""
        found: CLoss = self._function("loss")()
        return found

    def recall_latent(self, slot: int, label: ctypes.c_uint32) -> int:
        """The status; ``label`` becomes that of the slot."""
        return int(self._function("recall_latent")(ctypes.c_uint32(slot), ctypes.byref(label)))

    def infer(self, sample: Array) -> Array:
        """The logits, int8."""
        self.write_input(sample)
        return self._infer("infer")

    def infer_from_latent(self, latent: Array) -> Array:
        """``infer`` on the sample of ``latent``."""
        self.write_latent(latent)
        return self._infer("infer_from_latent")

    def _infer(self, name: str) -> Array:
        assert self.call(name) & 0xFF == 0
        return self.logits()

    def logits(self) -> Array:
        """The logits (output size,) int8 of the last inference."""
        return self[self.plan.task.logits].reshape(-1).copy()

    def latent_of(self, sample: Array) -> Array:
        """The latent of the sample, in its own shape. The plan must have one."""
        assert self.plan.latents.tensor is not None
        self.write_input(sample)
        assert self.call("prefix") & 0xFF == 0
        return self[self.plan.latents.tensor].copy()

    def predict(self, sample: Array) -> int:
        """The class."""
        self.infer(sample)
        return self.predicted

    @property
    def predicted(self) -> int:
        """The class that the last step or inference gave."""
        return int(self.call("predicted"))

    def digest(self) -> int:
        return int(self._function("digest")())

    def state(self) -> dict[Tensor, Array]:
        return {t: self[t].copy() for t in self.plan.learning.state}


class LibraryRunner:
    """A LatentRunner (host/training/runner.py) over a model in this process."""

    def __init__(self, model: LibraryModel) -> None:
        self.model, self.plan = model, model.plan

    def reset(self, seed: int) -> None:
        self.model.reset(seed)

    def set_learning_rate(self, rate: LearningRate) -> None:
        self.model.set_learning_rate(rate)

    def set_classes(self, classes: int) -> None:
        self.model.set_classes(classes)

    def step(self, sample: Array, target: Array, wants_digest: bool) -> tuple[StepRecord, int]:
        record = self.model.step(sample, target)
        return record, self.model.digest() if wants_digest else 0

    def announce(self, sample: Array, target: Array) -> None:
        """Nothing has to be sent."""

    def predict(self, sample: Array) -> int:
        return self.model.predict(sample)

    def infer(self, sample: Array) -> Array:
        return self.model.infer(sample)

    def latent_of(self, sample: Array) -> Array:
        return self.model.latent_of(sample)

    def step_from_latent(
        self, latent: Array, target: Array, wants_digest: bool
    ) -> tuple[StepRecord, int]:
        record = self.model.step_from_latent(latent, target)
        return record, self.model.digest() if wants_digest else 0

    def predict_from_latent(self, latent: Array) -> int:
        self.model.infer_from_latent(latent)
        return self.model.predicted

    def infer_from_latent(self, latent: Array) -> Array:
        return self.model.infer_from_latent(latent)

    def logits(self) -> Array:
        return self.model.logits()

    def digest(self) -> int:
        return self.model.digest()

    def state(self) -> bytes:
        return self.model.regions[STATE].tobytes()

    def load(self, state: bytes) -> None:
        self.model.reset(0)  # no step may be under way
        self.model.regions[STATE][:] = np.frombuffer(state, np.uint8)


@contextmanager
def in_process(plan: TrainingPlan) -> Iterator[LibraryRunner]:
    """A runner over the generated C of ``plan``, compiled now. Raises BuildError."""
    plan = plan.on(GENERIC)
    # A library that is loaded cannot be removed on Windows: the system does so later.
    with tempfile.TemporaryDirectory(prefix="mcutrain-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        generate(plan, folder, NATIVE)
        output = folder / f"{plan.name}.so"
        shared_library(plan.name, folder, output)
        yield LibraryRunner(LibraryModel(plan, output))

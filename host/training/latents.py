# SPDX-License-Identifier: Apache-2.0
"""Latent replay (Pellegrini et al. 2020): the frozen prefix runs once for each sample."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np

from mcutrain.host.training.runner import LatentRunner, Runner, SlotRunner
from mcutrain.host.training.stored_values import count
from mcutrain.trainer.errors import Error
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.interpreter import StepRecord
from mcutrain.trainer.ops.sgd import LearningRate
from mcutrain.trainer.training_plan import TrainingPlan

OFF, HOST, DEVICE = "off", "host", "device"
PLACES = (OFF, HOST, DEVICE)


@dataclass(frozen=True)
class Saving:
    """What a run from latents left out: the prefix, wherever a kept latent was ``reused``."""

    place: str
    computed: int  # latents kept, each by one pass of the prefix
    reused: int  # steps and inferences that began at one from before
    kept_bytes: int
    prefix_macs: int

    @property
    def saved_macs(self) -> int:
        return self.reused * self.prefix_macs

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "saved_macs": self.saved_macs}


class LatentStore(Protocol):
    """Where kept latents lie, by slot. Slots are filled from 0 on, and may be filled again."""

    place: str

    def keep(self, slot: int, sample: Array, label: Array) -> bool:
        """Store a sample's latent; whether it had to be computed."""
        ...

    def step(self, slot: int, target: Array, wants_digest: bool) -> tuple[StepRecord, int]: ...

    def predict(self, slot: int) -> int: ...

    def infer(self, slot: int) -> Array: ...


class HostLatents:
    """The host keeps them, and sends one in place of a sample."""

    place = HOST

    def __init__(self, runner: LatentRunner) -> None:
        self.runner = runner
        self._latents: dict[int, Array] = {}

    def keep(self, slot: int, sample: Array, label: Array) -> bool:
        self._latents[slot] = self.runner.latent_of(sample)
        return True

    def step(self, slot: int, target: Array, wants_digest: bool) -> tuple[StepRecord, int]:
        return self.runner.step_from_latent(self._latents[slot], target, wants_digest)

    def predict(self, slot: int) -> int:
        return self.runner.predict_from_latent(self._latents[slot])

    def infer(self, slot: int) -> Array:
        return self.runner.infer_from_latent(self._latents[slot])


class DeviceLatents:
    """The device's RAM keeps them, in the slots of its build: only their numbers are sent.

    A sample whose latent the build has in flash takes that, and leaves its slot in RAM as it is.
    """

    place = DEVICE

    def __init__(self, runner: SlotRunner) -> None:
        self.runner = runner
        self._in_flash = flash_slots(runner.plan)
        self._instead: dict[int, int] = {}  # the slot in flash, by the one in RAM

    def keep(self, slot: int, sample: Array, label: Array) -> bool:
        if (fixed := self._in_flash.get(sample.tobytes())) is not None:
            self._instead[slot] = fixed
            return False
        self._instead.pop(slot, None)
        self.runner.keep(slot, sample, int(label) if self.runner.plan.takes_label else 0)
        return True

    def step(self, slot: int, target: Array, wants_digest: bool) -> tuple[StepRecord, int]:
        return self.runner.step_from_slot(self._instead.get(slot, slot), target, wants_digest)

    def predict(self, slot: int) -> int:
        return self.runner.predict_from_slot(self._instead.get(slot, slot))

    def infer(self, slot: int) -> Array:
        return self.runner.infer_from_slot(self._instead.get(slot, slot))


def flash_slots(plan: TrainingPlan) -> dict[bytes, int]:
    """The slot of each sample whose latent is in flash, by the bytes of the sample."""
    if plan.latents.flash is None:
        return {}
    numbered = enumerate(plan.latents.flash.samples, plan.options.latent_slots)
    return {sample.tobytes(): slot for slot, sample in numbered}


class WrappedRunner:
    """A runner that does all but step, announce, predict and infer as ``inner`` does."""

    def __init__(self, inner: Runner) -> None:
        self.inner = inner

    def reset(self, seed: int) -> None:
        self.inner.reset(seed)

    def set_learning_rate(self, rate: LearningRate) -> None:
        self.inner.set_learning_rate(rate)

    def set_classes(self, classes: int) -> None:
        self.inner.set_classes(classes)

    def announce(self, sample: Array, target: Array) -> None:
        """Not sent ahead: the step may begin at what is kept."""

    def logits(self) -> Array:
        return self.inner.logits()

    def digest(self) -> int:
        return self.inner.digest()

    def state(self) -> bytes:
        return self.inner.state()

    def load(self, state: bytes) -> None:
        self.inner.load(state)

    def position(self) -> dict[str, Any]:
        """What a checkpoint has to say of it, beside the number of steps."""
        return {}

    def resume(self, steps: int, position: Mapping[str, Any]) -> None:
        """Go on behind so many steps of the run, with what ``position`` gave."""


class CachedRunner(WrappedRunner):
    """A runner whose steps and inferences begin at the latent, which is kept in ``store``.

    The bits are those of ``inner`` alone: latents never go stale, since nothing before them
    learns. With ``slots`` only so many training samples have a latent; the others are whole.
    ``fixed`` are slots that the store has filled for good.
    """

    def __init__(
        self,
        plan: TrainingPlan,
        inner: Runner,
        store: LatentStore,
        slots: int | None = None,
        fixed: Mapping[bytes, int] = MappingProxyType({}),
    ) -> None:
        super().__init__(inner)
        self.plan, self.store, self.slots, self._fixed = plan, store, slots, fixed
        self._slot_of = dict(fixed)
        self._used = 0  # slots that have a sample
        self._numbered: dict[str, int] = {}  # them by the hash of their sample, where they are few
        self._before = self._reused = 0  # computed by an earlier part of the run

    def position(self) -> dict[str, Any]:
        """Which samples have the slots, too: whether a step begins at a latent is in a chain."""
        return {
            "computed": self.saving.computed,
            "reused": self._reused,
            "slots": sorted(self._numbered, key=self._numbered.__getitem__),
        }

    def resume(self, steps: int, position: Mapping[str, Any]) -> None:
        """What was kept is computed again when it is met, and comes into the slot that it had."""
        self._before, self._reused = count(position["computed"]), count(position["reused"])
        if self.slots is not None:
            hashes = [str(each) for each in position["slots"]][: self.slots]
            self._numbered = {each: slot for slot, each in enumerate(hashes)}
            self._used = len(hashes)

    @property
    def saving(self) -> Saving:
        assert self.plan.latents.tensor is not None
        nbytes = self._used * self.plan.latents.tensor.type.nbytes
        computed = len(self._slot_of) - len(self._fixed) + self._before
        return Saving(self.store.place, computed, self._reused, nbytes, self.plan.prefix_macs)

    def step(self, sample: Array, target: Array, wants_digest: bool) -> tuple[StepRecord, int]:
        slot = self._find(sample, target)
        if slot is None:
            return self.inner.step(sample, target, wants_digest)
        return self.store.step(slot, target, wants_digest)

    def predict(self, sample: Array) -> int:
        slot = self._find(sample)
        return self.inner.predict(sample) if slot is None else self.store.predict(slot)

    def infer(self, sample: Array) -> Array:
        slot = self._find(sample)
        return self.inner.infer(sample) if slot is None else self.store.infer(slot)

    def _find(self, sample: Array, label: Array | None = None) -> int | None:
        """The slot of a sample, filled now if there is room; None if there is not.

        A sample without a label, which is none to train on, gets only room without end.
        """
        key = sample.tobytes()
        if key in self._slot_of:
            self._reused += 1
            return self._slot_of[key]
        slot = self._slot_for(key, label is not None)
        if slot is None:
            return None
        self.store.keep(slot, sample, np.array(0) if label is None else label)
        self._slot_of[key] = slot
        return slot

    def _slot_for(self, key: bytes, is_trained: bool) -> int | None:
        """The slot that a sample had in an earlier part of the run, or else the next one."""
        slot = self._used
        if self.slots is not None:
            name = hashlib.sha256(key).hexdigest() if is_trained else ""
            if name in self._numbered:
                return self._numbered[name]
            if not is_trained or slot >= self.slots:
                return None
            self._numbered[name] = slot
        self._used += 1
        return slot


def place_of(asked: str | None, plan: TrainingPlan, pays: bool) -> str:
    """Where latents are kept: as ``asked``, or by default on the host if that ``pays``.

    Raises Error for an unknown place, a plan without a latent, a device without slots.
    """
    if asked is None:
        return HOST if pays and plan.latents.tensor is not None else OFF
    if asked not in PLACES:
        raise Error(f"unknown place '{asked}' for latents: give {', '.join(PLACES)}")
    if asked != OFF and plan.latents.tensor is None:
        raise Error(
            f"--latents {asked}: with the scheme '{plan.scheme.name}' nothing is frozen that a "
            "step could leave out; give off"
        )
    if asked == DEVICE and plan.options.latent_slots + plan.flash_latents == 0:
        raise Error(
            "--latents device needs room in the device's RAM: give --latent-slots N; or latents "
            "in its flash: --flash-latents FILE"
        )
    return asked


def innermost(runner: Runner) -> Runner:
    """The runner itself, without what is wrapped around it."""
    while isinstance(runner, WrappedRunner):
        runner = runner.inner
    return runner

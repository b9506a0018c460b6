# SPDX-License-Identifier: Apache-2.0
"""The chain in generated C: after whatever was asked of both, that of the reference."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.interpreter import Interpreter, pack_state
from mcutrain.trainer.ops.sgd import LearningRate
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.planner.memory import STATE
from mcutrain.trainer.record_chain import ENTRY_BYTES, HASH_BYTES, Entry, short_hash
from mcutrain.trainer.tflite.reader import parse
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.autoencoder import autoencoder
from tests.support.generated import small, with_flash, with_slots
from tests.support.marks import exhaustive
from tests.support.native import NativeModel, status

LABEL, BUSY, RANGE, SAMPLE = -2, -1, -4, -7  # SPEC 2.4
KEPT = 4

PLANS: dict[str, Callable[[], TrainingPlan]] = {
    "whole": lambda: small("full", chain=True, record_entries=KEPT),
    "latents": lambda: with_slots(small("last:2", chain=True, record_entries=KEPT), 2),
    "flash": lambda: with_flash(small("head", chain=True, accumulate=3)),
    "rows": lambda: small("head", chain=True, record_entries=KEPT, stream_input=True),
    "rows, latents": lambda: with_slots(small("last:2", chain=True, stream_input=True), 2),
    "rows, mse": lambda: small("last:2", chain=True, stream_input=True, loss="mse"),
    "ahead": lambda: with_slots(small("last:2", chain=True, receive_ahead=True), 2),
    "ahead, mse": lambda: small("head", chain=True, receive_ahead=True, loss="mse"),
    "values": lambda: with_slots(small("head", chain=True, loss="mse"), 2),
    "itself": lambda: make_plan(
        parse(autoencoder(), "auto"), PlanOptions("full", chain=True, loss="reconstruction")
    ),
    "spare": lambda: small("head", classes=3, spare_classes=2, chain=True),
    "absent": lambda: small("head", absent="keep", chain=True),
}

LONG = {
    "latents",
    "rows",
    "rows, mse",
    "ahead",
    "flash",
    "absent",
}  # others have each of their parts


class Pair:
    """A device and its reference, of which the same is asked; ``moves`` are what can be."""

    def __init__(self, plan: TrainingPlan, folder: Path, seed: int) -> None:
        self.plan, self.device = plan, NativeModel(plan, folder)
        self.device._function("chain").restype = ctypes.c_void_p
        self.device._function("entry").restype = ctypes.c_void_p
        self.reference, self.random = Interpreter(plan, seed), np.random.default_rng(seed)
        self.device.reset(seed)
        self.entries: list[Entry] = []
        self.latents: dict[int, Array] = {}

    def drawn(self, shape: tuple[int, ...]) -> Array:
        return self.random.integers(-128, 128, shape).astype(np.int8)

    def target(self) -> int | Array:
        if self.plan.takes_label:
            return int(self.random.integers(self.reference.classes))
        return self.drawn(self.plan.task.logits.type.shape) if self.plan.target_bytes else 0

    def hand_over(self, sample: Array) -> None:
        """In pieces of any size."""
        flat, at = sample.reshape(-1), 0
        while at < flat.size:
            nbytes = int(self.random.integers(1, flat.size - at + 1))
            assert self.device.push("push", at, np.ascontiguousarray(flat[at : at + nbytes])) == 0
            at += nbytes

    def step(self, function: str = "step") -> None:
        sample, target = self.drawn(self.plan.task.input.type.shape), self.target()
        self.hand_over(sample)
        self.take(function, target)
        self.reference.step(sample, target)
        self.noted()

    def slices(self) -> None:
        """A step in slices; what is refused meanwhile leaves the chain as it is."""
        self.step("begin")
        while not self.device.run(int(self.random.integers(1, 4))):
            assert status(self.device.call("step", 0)) == BUSY
        assert self.device.run(1)

    def take(self, function: str, target: int | Array) -> None:
        self.device.write_target(target)
        label = int(target) if self.plan.takes_label else 77
        assert status(self.device.call(function, label)) == 0

    def noted(self) -> None:
        assert self.reference.entry is not None
        self.entries.append(self.reference.entry)

    def rate(self) -> None:
        multiplier, shift = int(self.random.integers(128, 256)), int(self.random.integers(4, 12))
        for each in (self.device, self.reference):
            each.set_learning_rate(LearningRate(multiplier, shift))

    def infer(self) -> None:
        sample = self.drawn(self.plan.task.input.type.shape)
        np.testing.assert_array_equal(self.device.infer(sample), self.reference.infer(sample))

    def refused(self) -> None:
        """Steps that are refused: for a sample, for a label, for a target."""
        self.infer()
        assert status(self.device.call("step", 0)) == SAMPLE
        self.hand_over(self.drawn(self.plan.task.input.type.shape))
        if self.plan.takes_label:
            assert status(self.device.call("step", self.reference.classes)) == LABEL
        elif self.plan.target_bytes:
            assert status(self.device.call("step", 0)) == SAMPLE

    def replay(self) -> None:
        """A step from a latent: handed over, or from a slot where it is kept, or in flash."""
        if self.plan.latents.tensor is None:
            return
        sample, target = self.drawn(self.plan.task.input.type.shape), self.target()
        latent, slots = self.reference.latent_of(sample), self.plan.options.latent_slots
        if slots and self.random.integers(2):
            slot = int(self.random.integers(slots))
            self.hand_over(sample)
            assert status(self.device.call("prefix")) == 0
            label = int(target) if self.plan.takes_label else 0
            assert status(self.device.call("keep_latent", slot, label)) == 0
            self.latents[slot] = latent
        if self.plan.latents.flash is not None:
            for k, kept in enumerate(self.plan.latents.flash.latents):
                self.latents[slots + k] = kept
        if self.latents and self.random.integers(2):
            slot = int(self.random.choice(list(self.latents)))
            assert status(self.device.recall_latent(slot, ctypes.c_uint32())) == 0
            latent = self.latents[slot]
        else:
            self.device.write_latent(latent)
        self.take("step_from_latent", target)
        self.reference.step_from_latent(latent, target)
        self.noted()

    def classes(self) -> None:
        if self.plan.task.active is not None:
            count = int(self.random.integers(2, self.plan.classes + 1))
            self.device.set_classes(count)
            self.reference.set_classes(count)

    def go_back(self) -> None:
        """A state of before is written: its chain value comes back with it."""
        state = self.device.state()
        self.step()
        for tensor, value in state.items():
            self.device[tensor][...] = value
        self.reference.state = state

    @property
    def moves(self) -> tuple[Callable[[], None], ...]:
        return (
            self.step, self.slices, self.rate, self.infer, self.refused, self.replay,
            self.classes, self.go_back,
        )  # fmt: skip

    def agrees(self) -> bool:
        """Whether chain value, state hash and the entries that are kept are the reference's."""
        assert self.plan.learning.chain is not None
        chain = self.reference.state[self.plan.learning.chain].tobytes()
        at = self.device._function("chain")()
        hashed = (ctypes.c_uint8 * HASH_BYTES)()
        assert self.device._function("state_hash")(hashed)
        assert bytes(hashed) == short_hash(self.device.regions[STATE].tobytes())
        return (
            ctypes.string_at(at, HASH_BYTES) == chain
            and bytes(hashed) == short_hash(pack_state(self.plan, self.reference.state))
            and self.kept() == [entry.pack() for entry in self.entries[-self.room :]]
        )

    @property
    def room(self) -> int:
        return self.plan.options.record_entries or len(self.entries) + 1

    def kept(self) -> list[bytes]:
        """The entries that the device keeps; without room for any those of the reference."""
        entered = int(self.device.call("entered"))
        assert entered == len(self.entries)
        if not self.plan.options.record_entries:
            assert not self.device.call("entry", max(entered - 1, 0))
            return [entry.pack() for entry in self.entries]
        found = [self.device.call("entry", k) for k in range(entered + 1)]
        assert found[-1] is None
        return [ctypes.string_at(at, ENTRY_BYTES) for at in found if at]


@pytest.mark.parametrize("name", [exhaustive(name, LONG) for name in PLANS])
def test_the_chain_is_that_of_the_reference_whatever_comes(name: str, tmp_path: Path) -> None:
    pair = Pair(PLANS[name](), tmp_path, seed=len(name))
    assert pair.agrees()

    for k in range(48):
        pair.moves[k % len(pair.moves) if k < 16 else int(pair.random.integers(8))]()

        assert pair.agrees(), f"after move {k}"

    assert len(pair.entries) > 12
    pair.device.reset(7)
    pair.reference.reset(7)
    assert pair.agrees()

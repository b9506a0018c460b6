# SPDX-License-Identifier: Apache-2.0
"""Takes the steps of a record again, in the reference."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mcutrain.host.record.errors import DisprovedError, RecordError
from mcutrain.host.record.header import Header
from mcutrain.host.record.lines import End, Event, Step
from mcutrain.host.record.samples import Begun, Samples, check_label
from mcutrain.host.record.states import region_of, state_hash
from mcutrain.host.record.walk import Walk
from mcutrain.host.training.absent import new_classes, present_classes, with_seen
from mcutrain.host.training.loop import with_seed
from mcutrain.host.training.preconditioning import with_input_shifts
from mcutrain.host.training.steps import with_next_step
from mcutrain.trainer.graph.tensor import Array, Tensor
from mcutrain.trainer.interpreter import (
    Interpreter,
    StepRecord,
    unpack_state,
)
from mcutrain.trainer.ops.sgd import LearningRate
from mcutrain.trainer.training_plan import TrainingPlan


@dataclass(frozen=True)
class Taken:
    """A step that was taken again: its line, what it began at, and what came of it."""

    line: Step
    begun: Begun
    loss: StepRecord


@dataclass(frozen=True)
class Parted:
    """The step after which reference and record differ: the state before it, and its sample."""

    before: dict[Tensor, Array]
    sample: Array
    target: Array


class Replay:
    """The reference, led by a record. ``parted`` is the step, if one is known, at which what the
    record says happened is not what happens."""

    def __init__(self, walk: Walk, plan: TrainingPlan, samples: Samples) -> None:
        """Raises RecordError for a state that is not the plan's."""
        self.walk, self.plan, self.samples = walk, plan, samples
        self.reference = Interpreter(plan, walk.header.seed)
        self.parted: Parted | None = None
        self._best = b""
        begin_at(self.reference, plan, walk.header, walk.where())
        self._check_begin()

    @property
    def state(self) -> bytes:
        return self.reference.state_bytes()

    def run(self) -> Iterator[Taken]:
        """Each step, taken. Raises RecordError and DisprovedError where the record and what happens
        part."""
        for _, line in self.walk:
            if isinstance(line, Step):
                yield self._step(line)
            elif isinstance(line, Event):
                self._event(line)
            else:
                self._ended(line)

    def _check_begin(self) -> None:
        header, where = self.walk.header, self.walk.where()
        classes = 0 if self.plan.task.active is None else self.reference.classes
        if (self.reference.steps, classes) != (header.first_step, header.classes):
            raise DisprovedError(
                f"{where}: the run began behind {header.first_step} steps with {header.classes} "
                f"classes in use, it says; its state has {self.reference.steps} and {classes}"
            )
        self._check_head(where, header.head)

    def _check_head(self, where: str, head: bytes) -> None:
        """The chain value that the state has, where the plan has one."""
        chain = self.plan.learning.chain
        if chain is not None and self.reference.state[chain].tobytes() != head:
            raise DisprovedError(
                f"{where}: the chain value is {self.reference.state[chain].tobytes().hex()} in the "
                f"reference, and {head.hex()} on the record"
            )

    def _step(self, line: Step) -> Taken:
        where = self.walk.where(line.step)
        begun = self.samples.of(line, where)
        check_label(self.plan, line.label, self.reference.classes, where)
        if not 128 <= line.rate[0] <= 255 and line.rate != (0, 0):
            raise DisprovedError(f"{where}: the rate {list(line.rate)} is none (SPEC 1.5)")
        self.reference.set_learning_rate(LearningRate(*line.rate))
        before = dict(self.reference.state)
        step = self.reference.step_from_latent if begun.at_latent else self.reference.step
        loss = step(begun.data, begun.target)
        if line.digest is not None and (found := self.reference.digest()) != line.digest:
            self.parted = Parted(before, begun.sample, begun.target)
            raise DisprovedError(
                f"{where}: the digest behind it is {found:08x} in the reference, and "
                f"{line.digest:08x} on the record: the first step that differs"
            )
        self._check_head(where, line.head)
        return Taken(line, begun, loss)

    def _event(self, line: Event) -> None:
        where, facts = self.walk.where(), line.facts
        if line.name in ("classes", "seen", "input shifts"):
            self._fit(line.name, facts, where)
        elif line.name == "left out":
            self._load(with_next_step(self.plan, self.state))
        elif line.name == "validation" and facts.text("verdict") == "improved":
            self._best = self.state
        elif line.name == "restored":
            self._load(self._best)
            self._check_state(where, facts.hex("state", 32))

    def _fit(self, name: str, facts: Any, where: str) -> None:
        """What the run changed in its state before the first step, as the data ask for it."""
        data = self.samples.data
        if name == "input shifts":
            self._load(with_input_shifts(self.plan, data.x_train, self.state))
            return self._check_state(where, facts.hex("state", 32))
        if name == "seen":
            said, wanted = set(facts.integers("classes")), present_classes(data, False)
            if said != wanted or self.plan.task.seen is None:
                raise DisprovedError(f"{where}: the classes that have samples are {sorted(wanted)}")
            return self._load(with_seen(self.plan, self.state, said))
        count = facts.integer("classes")
        if count != new_classes(self.plan, data, self.state):
            raise DisprovedError(f"{where}: the data do not ask for {count} classes")
        return self.reference.set_classes(count)

    def _ended(self, line: End) -> None:
        where = self.walk.where()
        if (steps := self.reference.steps) != line.kept:
            raise DisprovedError(f"{where}: the state has {steps} steps, it says {line.kept}")
        self._check_state(where, line.state)
        if (found := self.reference.digest()) != line.digest:
            raise DisprovedError(
                f"{where}: the digest of the end is {found:08x} in the reference, and "
                f"{line.digest:08x} on the record"
            )

    def _check_state(self, where: str, said: bytes) -> None:
        if (found := state_hash(self.plan, self.state)) != said:
            raise DisprovedError(
                f"{where}: the SHA-256 of the state is {found.hex()[:16]}... in the reference, and "
                f"{said.hex()[:16]}... on the record"
            )

    def _load(self, state: bytes) -> None:
        self.reference.state = unpack_state(self.plan, state)


def begin_at(reference: Interpreter, plan: TrainingPlan, header: Header, where: str) -> None:
    """Bring the reference to the state in which a run began. Raises RecordError."""
    if header.begin is None:
        return
    try:
        state = region_of(plan, header.begin)
    except ValueError as err:
        raise RecordError(f"{where}: the state is not one of this plan: {err}") from err
    reference.state = unpack_state(plan, with_seed(plan, state, header.seed))

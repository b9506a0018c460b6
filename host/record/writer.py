# SPDX-License-Identifier: Apache-2.0
"""Writes a record while a run goes on, line by line: what there is of it is whole lines."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from mcutrain.host.building.target import Target, TargetKind
from mcutrain.host.failure import reason
from mcutrain.host.files import sync_folder
from mcutrain.host.record.errors import RecordError
from mcutrain.host.record.fields import Fields
from mcutrain.host.record.header import begin_json, described
from mcutrain.host.record.lines import LINE_MOST, SHA_BYTES, End, Step, dumped
from mcutrain.host.record.states import state_bytes, state_hash
from mcutrain.host.request import Request
from mcutrain.host.training.dataset import Dataset
from mcutrain.host.training.job import TrainingJob
from mcutrain.host.training.recording import Taken
from mcutrain.trainer.errors import Error
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.interpreter import Interpreter, state_digest, unpack_state
from mcutrain.trainer.record_chain import AT_LATENT, HASH_BYTES, advance, begin, sample_hash
from mcutrain.trainer.training_plan import TrainingPlan

HOST, DEVICE = "host", "device"  # who kept the chain
PIECE = 1 << 20  # bytes of a record that are hashed at a time
MOST_BYTES = 2**62  # of a record


def chained(request: Request, port: str | None, state: Path | None) -> Request:
    """The request with the plan option ``chain``, where the command makes the build and begins
    anew: a firmware that is there already, and a state that was saved, are as they are."""
    found = request.resolved()
    return request if port or state or found.resumes else request.but(chain=True)


def hashed(plan: TrainingPlan, data: Array, target: Array) -> bytes:
    """The hash of what a step began at, a sample or a latent, with its target if that is no
    label."""
    raw = data.astype(np.int8).tobytes()
    if not plan.takes_label and plan.task.target is not None:
        raw += np.resize(target, plan.task.target.type.shape).astype(np.int8).tobytes()
    return sample_hash(raw)


def label_of(plan: TrainingPlan, target: Array) -> int:
    return int(target) if plan.takes_label else 0


def classes_of(plan: TrainingPlan, state: bytes) -> int:
    """The classes in use as an entry of the chain has them: 0 unless there are spare ones."""
    return 0 if plan.task.active is None else int(unpack_state(plan, state)[plan.task.active][0])


class RecordWriter:
    """A Recorder (host/training/recording.py) that writes ``path``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.asked: TrainingJob | None = None
        self.plan: TrainingPlan | None = None
        self.described: dict[str, Any] = {}
        self.head, self.classes, self.steps, self.number = b"", 0, 0, 0
        self.heads: dict[int, bytes] = {}  # where the guard may go back to
        self.seen: set[tuple[str, int]] = set()
        self._is_stream = False
        self._latents: dict[tuple[str, int], Array] = {}
        self._file: IO[bytes] | None = None
        self._written = hashlib.sha256()  # all that the file holds

    def ask(self, job: TrainingJob) -> None:
        self.asked = job

    def prepare(self, job: TrainingJob, plan: TrainingPlan, data: Dataset) -> None:
        is_device = (
            job.port is not None or Target.parse(job.target).kind is not TargetKind.REFERENCE
        )
        kept_by = DEVICE if plan.learning.chain is not None and is_device else HOST
        self.plan, self._is_stream = plan, job.replay is not None
        self.described = described(self.asked or job, job, plan, data, kept_by)

    def begin(self, plan: TrainingPlan, seed: int, state: bytes, is_reset: bool) -> None:
        values = unpack_state(plan, state)
        self.head = self.head_in(state) or begin(plan.numerics_hash, seed)
        self.classes, self.number = classes_of(plan, state), int(values[plan.learning.sgd][1])
        raw = None if is_reset else state_bytes(plan, state)
        found = begin_json(raw, self.number, self.classes)
        self.described |= {"seed": seed, "begin": found, "head": self.head.hex()}
        self._open(is_new=True)
        self._write(self.described)

    def event(self, name: str, facts: Mapping[str, Any]) -> None:
        told = dict(facts)
        if (state := told.pop("state", None)) is not None:
            told |= self._of_state(state)
        if name == "classes":
            self.classes = told["classes"]
        if name == "left out":
            self.number += 1
        if name == "validation" and told["verdict"] == "improved":
            self.heads = {told["step"]: self.head}
        if name == "restored":
            self.number, self.head = told["step"], self._head_behind(told["step"])
        self._write({"event": name, **told})

    def step(self, taken: Taken) -> None:
        assert self.plan is not None
        target, flags = taken.target, AT_LATENT if taken.at_latent else 0
        found = hashed(self.plan, self._begun_at(taken), target)
        label, rate = label_of(self.plan, target), (taken.rate.multiplier, taken.rate.shift)
        self.head = advance(self.head, found, label, taken.step, *rate, flags, self.classes)
        split, number = taken.source
        recalled = self._is_stream and (split == "old" or taken.source in self.seen)
        self.seen |= {taken.source} if self._is_stream else set()
        self.steps, self.number = self.steps + 1, taken.step + 1
        step = Step(
            taken.step, number, split, found, label, rate, flags, self.head, taken.digest, recalled
        )
        self._write(step.to_json())

    def end(self, state: bytes) -> None:
        """Raises RecordError if the device chained something else. A record that has its end gets
        no second one: whoever stops a run behind its last step asks for it again."""
        if self._file is None:
            return
        assert self.plan is not None
        values = unpack_state(self.plan, state)
        kept, held = int(values[self.plan.learning.sgd][1]), self.head_in(state)
        if held not in (None, self.head):
            raise RecordError(
                f"{self.path}: the device's chain value is {held.hex()}, and the steps that this "
                f"host has seen come to {self.head.hex()}: the device learned from something else"
            )
        digest, found = state_digest(self.plan, values), state_hash(self.plan, state)
        self._write(End(self.steps, kept, self.head, found, digest).to_json())
        self.close()

    def position(self) -> dict[str, Any]:
        """What there is of the record is then on the disk, as the checkpoint will be."""
        file = self._opened()
        try:
            os.fsync(file.fileno())
            size = file.tell()
        except OSError as err:
            raise Error(f"cannot write {self.path}: {reason(err)}") from err
        return {
            "bytes": size,
            "sha256": self._written.hexdigest(),
            "head": self.head.hex(),
            "steps": self.steps,
            "number": self.number,
            "classes": self.classes,
            "heads": {str(step): head.hex() for step, head in self.heads.items()},
            "seen": sorted(self.seen),
        }

    def resume(self, position: Mapping[str, Any]) -> None:
        """Raises RecordError where the file does not begin with what the record was, which leaves
        it as it is; and ValueError for what is no position."""
        try:
            self._take(Fields(position, "position"))
        except RecordError as err:
            raise ValueError(str(err)) from err
        size = position["bytes"]
        self._open(is_new=False)
        file = self._opened()
        try:
            self._compare(file, size, position["sha256"])
            file.truncate(size)
            file.seek(size)
        except OSError as err:
            raise Error(f"cannot go on in {self.path}: {reason(err)}") from err

    def _take(self, position: Fields) -> None:
        """Raises RecordError for what is no position."""
        position.integer("bytes", MOST_BYTES)
        position.hex("sha256", SHA_BYTES)
        self.head = position.hex("head", HASH_BYTES)
        self.steps, self.number = position.integer("steps"), position.integer("number")
        self.classes = position.integer("classes")
        heads, seen = position.object("heads"), position.values.get("seen")
        self.heads = {int(step): heads.hex(step, HASH_BYTES) for step in heads.values}
        if not isinstance(seen, list | tuple):
            raise position.wrong("seen", "a list")
        self.seen = {(str(split), int(number)) for split, number in seen}

    def _compare(self, file: IO[bytes], size: int, digest: str) -> None:
        """Raises RecordError where the file does not begin with these bytes."""
        there = os.fstat(file.fileno()).st_size
        if there < size:
            raise RecordError(
                f"{self.path} has {there:,} bytes, and {size:,} when the run was stopped: give "
                "that record again, or begin anew"
            )
        self._written, left = hashlib.sha256(), size
        while left and (piece := file.read(min(left, PIECE))):
            self._written.update(piece)
            left -= len(piece)
        if self._written.hexdigest() != digest.lower():
            raise RecordError(
                f"{self.path} is not the record of the run: its first {size:,} bytes are others; "
                "give that record again, or begin anew with --fresh and another file"
            )

    def close(self) -> None:
        """Leave the record as it is; a run that has not ended leaves its beginning."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _head_behind(self, step: int) -> bytes:
        """The chain value behind the guard's best step. Raises RecordError where the checkpoint of
        an earlier part did not tell it."""
        if step not in self.heads:
            raise RecordError(
                f"{self.path}: the run's checkpoint did not say which chain value it had behind "
                f"{step:,} steps: begin anew with --fresh"
            )
        return self.heads[step]

    def head_in(self, state: bytes) -> bytes | None:
        """The chain value that a state has, if its plan has one."""
        assert self.plan is not None
        chain = self.plan.learning.chain
        return None if chain is None else unpack_state(self.plan, state)[chain].tobytes()

    def _of_state(self, state: bytes) -> dict[str, Any]:
        assert self.plan is not None
        values = unpack_state(self.plan, state)
        digest = hashlib.sha256(state_bytes(self.plan, state)).hexdigest()
        return {"step": int(values[self.plan.learning.sgd][1]), "state": digest}

    def _begun_at(self, taken: Taken) -> Array:
        """The sample of a step, or its latent."""
        assert self.plan is not None
        if not taken.at_latent:
            return taken.sample
        if taken.source not in self._latents:
            self._latents[taken.source] = Interpreter(self.plan).latent_of(taken.sample)
        return self._latents[taken.source]

    def _open(self, *, is_new: bool) -> None:
        try:
            self._file = self.path.open("wb") if is_new else self.path.open("r+b")
        except OSError as err:
            raise Error(f"cannot write {self.path}: {reason(err)}") from err
        if is_new:
            self._written = hashlib.sha256()
            sync_folder(self.path.parent)

    def _opened(self) -> IO[bytes]:
        assert self._file is not None, "the record has not begun"
        return self._file

    def _write(self, value: Mapping[str, Any]) -> None:
        file, line = self._opened(), dumped(value)
        assert "format" in value or len(line) <= LINE_MOST
        try:
            file.write(line)
            file.flush()
            self._written.update(line)
        except OSError as err:
            raise Error(f"cannot write {self.path}: {reason(err)}") from err

# SPDX-License-Identifier: Apache-2.0
"""The record that a device keeps of its own steps, as lines: SPEC 4.2 says what they mean."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcutrain.host.files import write_whole
from mcutrain.host.link.protocol import Recorded
from mcutrain.host.record.lines import Step, dumped
from mcutrain.host.training.runners import DeviceRunner
from mcutrain.trainer.errors import Error
from mcutrain.trainer.interpreter import unpack_state
from mcutrain.trainer.record_chain import Entry, chain_at_reset

FORMAT = 1


@dataclass(frozen=True)
class DeviceRecord:
    """The entries that a device keeps, the oldest first; ``beginning`` is the chain value of a
    reset of its plan with its seed."""

    numerics_hash: bytes
    build_hash: bytes
    device_id: bytes
    recorded: Recorded
    beginning: bytes
    entries: tuple[Entry, ...]

    def events(self) -> Iterator[Entry | Mapping[str, Any]]:
        """The entries, and before each that does not follow on the one before it, what was between
        them: a reset; a state of before, of which the entry is here; or a gap, of which nobody
        knows. Last of all the same for the chain value of now."""
        chain, known = self.beginning, {self.beginning: 0}
        for entry in self.entries:
            if entry.before != chain:
                yield between(chain, entry.before, entry.step, known)
            yield entry
            chain = entry.after
            known[chain] = entry.step + 1
        if self.recorded.chain != chain:
            yield between(chain, self.recorded.chain, self.recorded.steps, known)

    @property
    def gaps(self) -> int:
        """How often it is not known what was learned in between."""
        return sum(not isinstance(e, Entry) and e["event"] == "gap" for e in self.events())

    def lines(self) -> bytes:
        """As a file has it."""
        found = self.recorded
        first = {
            "device_record": FORMAT,
            "numerics_hash": self.numerics_hash.hex(),
            "build_hash": self.build_hash.hex(),
            "device_id": self.device_id.hex(),
            "steps": found.steps,
            "entered": found.entered,
            "head": found.chain.hex(),
            "state": found.state_hash.hex(),
        }
        told = (
            step_of(event).to_json() if isinstance(event, Entry) else event
            for event in self.events()
        )
        return b"".join(map(dumped, (first, *told)))


def between(chain: bytes, before: bytes, step: int, known: Mapping[bytes, int]) -> dict[str, Any]:
    """What happened before a step whose chain value before it is not that of the step before."""
    told = {"behind": chain.hex(), "before": before.hex(), "step": step}
    if before in known:
        return {"event": "reset" if step == 0 else "went back", **told}
    return {"event": "reset" if step == 0 else "gap", **told}


def step_of(entry: Entry) -> Step:
    """The line of a record that an entry is: which sample it was, nobody on the device knows."""
    rate = entry.multiplier, entry.shift
    return Step(
        entry.step, None, "train", entry.sample_hash, entry.label, rate, entry.flags, entry.after
    )  # fmt: skip


def device_record(runner: DeviceRunner, state: bytes) -> DeviceRecord:
    """What the device of a runner keeps, whose state this is. Raises Error if its plan has no
    chain."""
    plan, device, info = runner.plan, runner.device, runner.device.info
    if plan.learning.chain is None:
        raise Error(
            f"{device.name}: the device keeps no record of what it learned from: build its "
            "firmware with --chain, and --record-entries N for the entries of N steps"
        )
    seed = int(unpack_state(plan, state)[plan.learning.sgd][0])
    beginning = chain_at_reset(plan.learning.chain, plan.numerics_hash, seed).tobytes()
    recorded = device.recorded()
    entries = tuple(device.entry(number) for number in recorded.kept)
    return DeviceRecord(
        info.numerics_hash, info.build_hash, info.device_id, recorded, beginning, entries
    )


def write_kept(path: Path, runner: DeviceRunner, state: bytes) -> dict[str, Any]:
    """Write the record that a device keeps; what was written, for people. Raises Error."""
    found = device_record(runner, state)
    write_whole(path, found.lines())
    kept = {"entries": len(found.entries), "entered": found.recorded.entered, "gaps": found.gaps}
    return {"record": str(path), **kept}

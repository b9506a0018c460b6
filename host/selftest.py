# SPDX-License-Identifier: Apache-2.0
"""`mcutrain selftest`: what a board computes on random samples, compared with the reference in
every bit, as a document that its owner can send in."""

from __future__ import annotations

import json
import platform
import time
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median_low
from typing import Any

import numpy as np

from mcutrain.host.building.firmware import built_before, read_record
from mcutrain.host.building.target import Target
from mcutrain.host.defaults import BAUD
from mcutrain.host.errors import DeviceError
from mcutrain.host.keys import Keys
from mcutrain.host.link import health
from mcutrain.host.link.device import Device
from mcutrain.host.link.model_device import ModelDevice
from mcutrain.host.link.protocol import Status
from mcutrain.host.places import EXAMPLES
from mcutrain.host.prediction.samples import SEED, random_samples
from mcutrain.host.request import Request
from mcutrain.host.training.learned import learned_state, planned_on, settle
from mcutrain.host.training.reporter import Reporter
from mcutrain.host.training.runners import PortRunner, connected
from mcutrain.host.training.verify import Verifier, write_step
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.interpreter import StepRecord, unpack_state

FORMAT = 1
STEPS = 10
# The model that `pio run` and `mcutrain flash` put onto a board when none is named.
EXAMPLE, EXAMPLE_UPDATE = EXAMPLES / "watch" / "watch.tflite", "last:2"


def example_request() -> Request:
    """The plan of the firmware that a board runs if no model was named."""
    return Request.of(EXAMPLE, update=EXAMPLE_UPDATE)


@dataclass(frozen=True)
class SelftestJob:
    """What `mcutrain selftest` is asked to do. ``board`` and ``chip`` are what the owner says of
    them, for people who read the document."""

    request: Request
    port: str
    baud: int = BAUD
    steps: int = STEPS
    flash_latents: Path | None = None
    board: str | None = None
    chip: str | None = None
    keys: Keys | None = None


@dataclass(frozen=True)
class Selftest:
    """The document, and what differs; "" if every bit is the reference's."""

    document: dict[str, Any]
    failure: str

    def lines(self) -> list[str]:
        """For people."""
        found = self.document
        firmware, verified = found["firmware"], found["verified_steps"]
        first = f"{found['port']}: {firmware['model']}, {firmware['update']}, {firmware['target']}"
        said = [f"{first}, build {firmware['build_hash']}", device_told(found["device"])]
        if not self.failure:
            said.append(
                f"equal to the reference in every bit: {verified} steps, an inference, a step in "
                "slices, and the state"
            )
        cycles = found["cycles"]
        if cycles is None:
            said.append(
                "no cycle counter: the chip has none that counts, or the port does not read it"
            )
        else:
            said.append(f"cycles: {cycles['step']:,} a step, {cycles['inference']:,} an inference")
        return said


def run_selftest(job: SelftestJob, reporter: Reporter) -> Selftest:
    """Run it; what the board has learned is put back. Raises Error where the board cannot be
    asked."""
    request = job.request.resolved()
    plans = partial(planned_on, request, job.flash_latents)
    with connected(job.port, plans, job.baud, job.keys) as runner:
        learned = learned_state(runner) if settle(runner) else None
        try:
            with reporter.working(f"{runner.device.name}: comparing {job.steps} steps"):
                found = compared(runner, job.steps)
        finally:
            put_back(runner, learned)
        traffic = runner.device.traffic
        document = {
            "format": FORMAT,
            "mcutrain": own_version(),
            "host": {"python": platform.python_version(), "system": platform.platform()},
            "port": runner.device.name,
            "board": {"board": job.board, "chip": job.chip},
            "device": health.to_json(runner.device.info),
            "firmware": firmware_of(runner),
            **found.to_json(),
            "link": None if traffic is None else traffic.to_json(),
        }
    return Selftest(document, found.failure)


def device_told(device: dict[str, Any]) -> str:
    """Which device it is, and what became of it."""
    name = device["device_id"] or "without an id"
    return f"device {name}; {device['told']}"


def put_back(runner: PortRunner, learned: bytes | None) -> None:
    runner.reset(0)
    if learned is not None:
        runner.load(learned)


def own_version() -> str:
    try:
        return version("mcutrain")
    except PackageNotFoundError:
        return "a checkout"


def firmware_of(runner: PortRunner) -> dict[str, Any]:
    """What runs on the board: by its HELLO, and by this computer's build if there is one."""
    info, plan = runner.device.info, runner.plan
    target = Target.of_board(runner.board)
    built = built_before(plan, target, is_keyed=not info.shows_arena)
    record = None if built is None else read_record(built.folder)
    return {
        "model": plan.name,
        "update": plan.scheme.name,
        "options": plan.options.arguments(),
        "target": target.name,
        "chip": plan.chip.name,
        "features": sorted(plan.chip.features),
        "build_hash": info.build_hash.hex(),
        "numerics_hash": info.numerics_hash.hex(),
        "protocol": info.version,
        "payload_bytes": info.largest_payload_bytes,
        "compiler": None if record is None else record["compiler"],
        "footprint": footprint_of(built.footprint) if built is not None else None,
    }


def footprint_of(found: dict[str, Any] | None) -> dict[str, int] | None:
    keys = ("sram_bytes", "flash_bytes", "stack_bytes")
    return None if found is None else {key: int(found[key]) for key in keys}


@dataclass
class Compared:
    """What device and reference gave for each step, and what differs first."""

    steps: list[dict[str, Any]]
    verified: int = 0
    inference: dict[str, Any] | None = None
    sliced: dict[str, Any] | None = None
    failure: str = ""

    def to_json(self) -> dict[str, Any]:
        counted = [step["cycles"] for step in self.steps if step["cycles"]]
        inference = (self.inference or {}).get("cycles")
        cycles = {"step": median_low(counted), "inference": inference} if counted else None
        return {
            "samples": {"seed": SEED, "drawn_by": "numpy.random.RandomState(seed).randint"},
            "steps": self.steps,
            "verified_steps": self.verified,
            "inference": self.inference,
            "sliced_step": self.sliced,
            "cycles": cycles,
            "cycle_counter": "counts" if counted else "no cycle counter",
            "result": self.failure or "equal",
        }


def compared(runner: PortRunner, steps: int) -> Compared:
    """Steps, an inference, a step in slices and the state, until something differs."""
    plan, device, found = runner.plan, runner.device, Compared([])
    *taught, sliced, (asked, _) = random_samples(plan, steps + 2)
    verifier = Verifier(plan, SEED)
    runner.reset(SEED)
    for number, (sample, target) in enumerate(taught):
        begun = time.perf_counter()
        loss, _ = runner.step(sample, target, False)
        seconds = time.perf_counter() - begun
        cycles, digest = cycles_of(device), runner.digest()
        is_equal = verifier.step(sample, target, loss, digest)
        expected = verifier.reference.digest()
        found.steps.append(of_step(number, loss, digest, expected, cycles, seconds))
        if not is_equal:
            found.failure = str(verifier.locate(device, sample, target))
            return found
        found.verified += 1
    found.inference = inference(runner, verifier, asked)
    found.sliced = in_slices(runner, verifier, *sliced)
    for name, part in (("inference", found.inference), ("step in slices", found.sliced)):
        if not part["is_equal"] and not found.failure:
            found.failure = f"the {name} after step {steps} differs: {part}"
    own, expected_state = unpack_state(plan, runner.state()), verifier.reference.state
    for tensor, values in own.items():
        if not np.array_equal(values, expected_state[tensor]) and not found.failure:
            found.failure = f"{tensor.name} differs after step {steps + 1}"
    return found


def of_step(
    number: int, loss: StepRecord, digest: int, expected: int, cycles: int | None, seconds: float
) -> dict[str, Any]:
    return {
        "step": number,
        "sum": int(loss.sum),
        "distance": int(loss.distance),
        "predicted": int(loss.predicted),
        "digest": f"{digest:08x}",
        "reference": f"{expected:08x}",
        "cycles": cycles,
        "seconds": round(seconds, 4),  # with the link, for a counter that has begun anew
    }


def inference(runner: PortRunner, verifier: Verifier, sample: Array) -> dict[str, Any]:
    predicted = runner.predict(sample)
    cycles = cycles_of(runner.device)
    logits, expected = runner.logits(), verifier.answer(sample)
    is_equal = np.array_equal(logits, expected.output) and predicted == expected.predicted
    return {"predicted": predicted, "logits": logits.tolist(), "cycles": cycles,
            "is_equal": bool(is_equal)}  # fmt: skip


def in_slices(
    runner: PortRunner, verifier: Verifier, sample: Array, target: Array
) -> dict[str, Any]:
    """A step one call at a time, as a firmware with other work has it."""
    device = runner.device
    device.begin(write_step(device, runner.plan, sample, target))
    slices = 1
    while not device.run(1).is_done:
        slices += 1
    found = device.digest()
    _, expected = verifier.replay(sample, target)
    return {"slices": slices, "digest": f"{found.digest:08x}", "reference": f"{expected:08x}",
            "is_equal": found.digest == expected}  # fmt: skip


def cycles_of(device: ModelDevice) -> int | None:
    """Cycles of the request before; None if there is no link to ask by, the port counts none, or
    the firmware is older than the message."""
    if not isinstance(device, Device):
        return None
    try:
        return device.cycles() or None
    except DeviceError as error:
        if error.status != Status.MESSAGE:
            raise
        return None


def written(selftest: Selftest) -> str:
    """The document as a file has it."""
    return json.dumps(selftest.document, indent=1) + "\n"

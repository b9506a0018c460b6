# SPDX-License-Identifier: Apache-2.0
"""`mcutrain verify`: whether a user's own linked program trains as the reference does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from statistics import median_low
from typing import Any

from mcutrain.host.building.source import step_calls
from mcutrain.host.data.options import DEFAULT_DATA_OPTIONS, DataOptions
from mcutrain.host.errors import EmulationError, MismatchError
from mcutrain.host.extras import require_extra
from mcutrain.host.link.protocol import RamRegion
from mcutrain.host.request import Request
from mcutrain.host.simulation.function_device import FunctionDevice
from mcutrain.host.simulation.unicorn.functions import ProgramFunctions
from mcutrain.host.simulation.unicorn.matching import ADVICE, ModelBytes, model_bytes, plan_of
from mcutrain.host.simulation.unicorn.program import Program, load_program
from mcutrain.host.training.class_names import named
from mcutrain.host.training.dataset import Dataset, load_dataset
from mcutrain.host.training.progress import Progress, Report
from mcutrain.host.training.reporter import Reporter
from mcutrain.host.training.runner import Answer, answer
from mcutrain.host.training.runners import DeviceRunner
from mcutrain.host.training.verify import Difference, Verifier
from mcutrain.trainer.errors import Error
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.interpreter import pack_state
from mcutrain.trainer.training_plan import TrainingPlan

COUNTED_STEPS = 3  # of which instructions are counted: counting takes many times as long


@dataclass(frozen=True)
class VerifyJob:
    """What `mcutrain verify` was asked to do. ``core`` executes the program, by default the one
    that it was linked for; ``steps`` is as many as there are samples; a call that takes more than
    ``limit`` instructions never ends."""

    request: Request
    elf: Path
    data: Path
    steps: int | None = None
    seed: int = 0
    core: str | None = None
    limit: int | None = None
    reading: DataOptions = DEFAULT_DATA_OPTIONS


@dataclass
class Verified:
    """What came of it: steps and inferences that were equal, and the first that was not.

    ``instructions`` are those of counted steps and of an inference, by function; ``dropped`` names
    what was not tested, since the program has no function for it."""

    job: VerifyJob
    program: Program
    plan: TrainingPlan
    memory: ModelBytes
    steps: int = 0
    inferences: int = 0
    failure: str = ""
    instructions: dict[str, list[int]] = field(default_factory=dict)
    stack_used_bytes: int = 0
    dropped: tuple[str, ...] = ()

    def median(self, function: str) -> int | None:
        """Instructions of a function; of a step the first left out if there is another, for it
        takes less."""
        counts = self.instructions.get(function)
        if not counts:
            return None
        return median_low(counts[1:] if function == "step" and len(counts) > 1 else counts)

    def to_json(self) -> dict[str, Any]:
        return {
            "elf": str(self.job.elf),
            "core": self.program.core.name,
            "model": self.program.model,
            "update": self.plan.scheme.name,
            "numerics_hash": self.plan.numerics_hash.hex(),
            "seed": self.job.seed,
            "verified_steps": self.steps,
            "verified_inferences": self.inferences,
            "bit_exact": not self.failure,
            "failure": self.failure or None,
            "not_tested": list(self.dropped),
            "instructions_per_step": self.median("step"),
            "forward_instructions": self.median("infer"),
            "stack_used_bytes": self.stack_used_bytes,
            "memory": self.memory.to_json(),
            "notes": [asdict(note) for note in self.plan.notes],
        }


def run_verify(job: VerifyJob, reporter: Reporter) -> Verified:
    """Train in the program and in the reference side by side. Raises Error for what is no program
    of this plan, and where it does what cannot be executed."""
    require_extra("unicorn")
    if job.steps is not None and job.steps < 1:
        raise Error(f"--steps is {job.steps}: give 1 or more")
    request = named(job.request.resolved(), job.data, job.reading)
    with reporter.working(f"reading {job.elf}"):
        program = load_program(job.elf, request.plan().name, job.core)
        plan = plan_of(request, program)
    reporter.tell(plan.notes)
    data = load_dataset(job.data, plan, job.reading)
    functions = ProgramFunctions(program, plan, job.limit)
    device = FunctionDevice(functions, plan, step_calls(plan))
    found = Verified(job, program, plan, model_bytes(program))
    verifier = Verifier(plan, job.seed)
    try:
        begin(device, verifier, job)
        with reporter.training(plan) as report:
            if take_steps(found, device, verifier, data, report):
                infer(found, device, verifier, data)
    finally:
        verifier.close()
    found.stack_used_bytes = functions.machine.stack.used_bytes()
    return found


def begin(device: FunctionDevice, verifier: Verifier, job: VerifyJob) -> None:
    """Reset both. Raises MismatchError if the program does not begin where the plan does: a hash
    that the linker dropped could not say so."""
    device.reset(job.seed)
    if device.read(RamRegion.STATE) != pack_state(verifier.plan, verifier.reference.state):
        raise MismatchError(
            f"{device.name}: after {device.functions.model}_reset its state is not the one that "
            f"this plan begins with: {ADVICE}"
        )


def take_steps(
    found: Verified, device: FunctionDevice, verifier: Verifier, data: Dataset, report: Report
) -> bool:
    """Compare each step; whether all are equal."""
    runner = DeviceRunner(device, found.plan)
    count = len(data.x_train) if found.job.steps is None else found.job.steps
    for k in range(count):
        sample, target = data.x_train[k % len(data.x_train)], data.y_train[k % len(data.y_train)]
        count_into(device, found.instructions if k < COUNTED_STEPS else None)
        expected = verifier.replay(sample, target)
        if not verifier.compare_step(expected, runner.step(sample, target, True)):
            found.failure = where(device, partial(verifier.locate, device, sample, target), k)
            break
        found.steps += 1
        report(Progress("verify", k + 1, count))
    count_into(device, None)
    if found.plan.learning.chain is not None and not found.failure:
        parted = verifier.compare_chain(device)
        found.failure = "" if parted is None else str(parted)
    return not found.failure


def infer(found: Verified, device: FunctionDevice, verifier: Verifier, data: Dataset) -> None:
    """Compare inferences of the test samples, no more than there were steps."""
    if not device.functions.has("infer"):
        found.dropped = (f"{found.program.model}_infer",)
        return
    runner = DeviceRunner(device, found.plan)
    for k, sample in enumerate(data.x_test[: found.steps]):
        count_into(device, found.instructions if k == 0 else None)
        if inferred(runner, sample) != verifier.answer(sample):
            found.failure = (
                f"inference {k}: the program's answer is not the reference's, after "
                f"{found.steps} equal steps; see that nothing else writes the model's memory"
            )
            return
        found.inferences += 1


def count_into(device: FunctionDevice, counts: dict[str, list[int]] | None) -> None:
    """Count what follows, or no longer."""
    device.counts = counts
    if counts is None:
        device.functions.stop_counting()


def inferred(runner: DeviceRunner, sample: Array) -> Answer:
    return answer(runner.plan, runner, sample)


def where(device: FunctionDevice, locate: Callable[[], Difference], step: int) -> str:
    """Where a step differs; only that it does, if the program cannot be run call by call."""
    try:
        return str(locate())
    except EmulationError as error:
        return f"step {step}: the program differs from the reference; no node is known, for {error}"

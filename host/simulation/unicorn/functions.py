# SPDX-License-Identifier: Apache-2.0
"""The functions of the model in a linked program, as Unicorn executes them."""

from __future__ import annotations

from mcutrain.host.errors import EmulationError, MismatchError
from mcutrain.host.measure.elf import Symbol
from mcutrain.host.simulation.unicorn.machine import Machine
from mcutrain.host.simulation.unicorn.program import Program
from mcutrain.trainer.planner.memory import ARENA, STATE
from mcutrain.trainer.training_plan import TrainingPlan

LEAST_INSTRUCTIONS = 5_000_000  # of the limit of a call that has few products to compute
PER_MAC = 100  # instructions of that limit for each product of a step
WORD = 4


class ProgramFunctions:
    """A Functions (host/simulation/function_device.py) over a program of ``plan``, whose calls end
    within ``limit`` instructions, by default far more than a step takes."""

    def __init__(self, program: Program, plan: TrainingPlan, limit: int | None = None) -> None:
        self.program = program
        if limit is None:
            limit = LEAST_INSTRUCTIONS + PER_MAC * plan.step_macs
        sizes = [plan.task.input.type.nbytes, plan.target_bytes, 2 * WORD]
        if plan.latents.tensor is not None:
            sizes.append(plan.latents.tensor.type.nbytes)
        self.machine = Machine(program, limit, max(sizes))
        self._regions = {name: self._address(name) for name in plan.memory.regions}

    @property
    def name(self) -> str:
        return self.program.name

    @property
    def model(self) -> str:
        return self.program.model

    def has(self, function: str) -> bool:
        return self.program.function(function) is not None

    def call(self, function: str, *arguments: int) -> int:
        return self.machine.call(self._function(function), *arguments)

    def count(self, function: str, *arguments: int) -> tuple[int, int]:
        return self.machine.count(self._function(function), *arguments)

    def stop_counting(self) -> None:
        self.machine.stop_counting()

    def push(self, function: str, data: bytes) -> int:
        return self.call(function, 0, self.machine.hand_over(data), len(data))

    def loss(self) -> tuple[int, int]:
        """A struct of two words: an Arm core writes it where the caller says (Procedure Call
        Standard for the Arm Architecture, 6.4), RISC-V returns it in two registers."""
        if self.program.core.is_arm:
            at = self.machine.hand_over(bytes(2 * WORD))
            self.call("loss", at)
            data = self.machine.read(at, 2 * WORD)
            return int.from_bytes(data[:WORD], "little"), int.from_bytes(data[WORD:], "little")
        return self.call("loss"), self.machine.second()

    def recall_latent(self, slot: int) -> tuple[int, int]:
        at = self.machine.hand_over(bytes(WORD))
        status = self.call("recall_latent", slot, at)
        return status, int.from_bytes(self.machine.read(at, WORD), "little")

    def read(self, region: str, offset: int, nbytes: int) -> bytes:
        return self.machine.read(self._regions[region] + offset, nbytes)

    def write(self, region: str, offset: int, data: bytes) -> None:
        self.machine.write(self._regions[region] + offset, data)

    def _function(self, name: str) -> int:
        found = self.program.function(name)
        if found is None:
            full = f"{self.program.model}_{name}"
            raise EmulationError(
                f"{self.program.name}: no function {full}, for the linker drops what nobody calls; "
                f"call it, or link with -Wl,--undefined={full}"
            )
        return found.address

    def _address(self, region: str) -> int:
        return region_symbol(self.program, region).address


def region_sizes(program: Program, plan: TrainingPlan) -> dict[str, int]:
    """Bytes of each region of the plan, as the program has it."""
    return {name: region_symbol(program, name).nbytes for name in plan.memory.regions}


def region_symbol(program: Program, region: str) -> Symbol:
    """The variable that a region lies in. Raises MismatchError if the program has none."""
    name = region if region in (ARENA, STATE) else f"{ARENA}_{region}"
    found = program.object(name)
    if found is None:
        raise MismatchError(
            f"{program.name}: no variable {program.model}_{name}; link it with its symbols, and "
            "without -flto"
        )
    return found

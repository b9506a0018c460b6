# SPDX-License-Identifier: Apache-2.0
"""Which plan a linked program was generated from, and what the model takes in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from mcutrain.host.boards import board_names, chip_of
from mcutrain.host.building.source import kernels
from mcutrain.host.errors import MismatchError
from mcutrain.host.measure.elf import Image, Symbol
from mcutrain.host.request import Request
from mcutrain.host.simulation.unicorn.functions import region_sizes
from mcutrain.host.simulation.unicorn.program import Program
from mcutrain.trainer.chip import GENERIC, Chip
from mcutrain.trainer.errors import BudgetError
from mcutrain.trainer.planner.memory import ARENA, STATE
from mcutrain.trainer.training_plan import TrainingPlan

ADVICE = "give the options that its C was generated with; the .json beside it names them"


def plan_of(request: Request, program: Program) -> TrainingPlan:
    """The request's plan for the chip that the program's C was generated for, which its memory and
    its kernels tell. Raises MismatchError for a program of another plan."""
    first = request.on(GENERIC).plan()
    check_hash(program, first)
    best: tuple[int, TrainingPlan] | None = None
    for plan in plans(request, first, program.core.chip):
        if not lies_alike(program, plan):
            continue
        missing = len(kernels(plan) - program.symbols.keys())
        if best is None or missing < best[0]:
            best = missing, plan
        if missing == 0:
            break
    if best is not None:
        return best[1]
    found = ", ".join(
        f"{name} {symbol.nbytes:,}"
        for name in (ARENA, STATE)
        if (symbol := program.object(name)) is not None
    )
    planned = ", ".join(f"{name} {size:,}" for name, size in first.memory.regions.items())
    raise MismatchError(
        f"{program.name}: the model's memory has other bytes ({found or 'none'}) than this plan "
        f"({planned}): {ADVICE}"
    )


def check_hash(program: Program, plan: TrainingPlan) -> None:
    """Raises MismatchError if the program says that it computes something else than the plan."""
    said = program.numerics_hash
    if said is not None and said != plan.numerics_hash:
        raise MismatchError(
            f"{program.name}: its model {program.model} is {said.hex()}, and this plan is "
            f"{plan.numerics_hash.hex()}: {ADVICE}"
        )


def plans(request: Request, first: TrainingPlan, core: Chip) -> Iterator[TrainingPlan]:
    """The request's plans for all chips that there are, each kind once."""
    yield first
    known = {replace(GENERIC, name="")}
    for chip in (core, *map(chip_of, board_names())):
        alike = replace(chip, name="")
        if alike not in known:
            known.add(alike)
            try:
                yield request.on(chip).plan()
            except BudgetError:  # its memories are too small
                continue


def lies_alike(program: Program, plan: TrainingPlan) -> bool:
    """Whether the program has the plan's regions, each of its size."""
    try:
        return region_sizes(program, plan) == plan.memory.regions
    except MismatchError:
        return False


@dataclass(frozen=True)
class ModelBytes:
    """What the symbols of a model take in a program: variables, constants, and the code of the
    model and of the kernels; and the whole program beside it."""

    arena_bytes: int
    state_bytes: int
    other_ram_bytes: int
    constant_bytes: int
    code_bytes: int
    program_ram_bytes: int
    program_flash_bytes: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def model_bytes(program: Program) -> ModelBytes:
    """What the model takes in a program."""
    image, prefix = program.image, f"{program.model}_"
    own = [s for s in image.symbols if s.name.startswith((prefix, "mct_"))]
    variables = [s for s in own if not s.is_function and in_ram(image, s)]
    arena = of_name(variables, f"{prefix}{ARENA}")
    state = of_name(variables, f"{prefix}{STATE}")
    sections = image.sections
    return ModelBytes(
        arena, state, size(variables) - arena - state,
        size(s for s in own if not s.is_function and not in_ram(image, s)),
        size(s for s in own if s.is_function),
        sum(section.nbytes for section in sections if section.kind.in_ram),
        sum(section.nbytes for section in sections if section.kind.in_flash),
    )  # fmt: skip


def of_name(symbols: Iterable[Symbol], name: str) -> int:
    """Bytes of a region: its variable, and those in other memories."""
    return size(s for s in symbols if s.name == name or s.name.startswith(f"{name}_"))


def size(symbols: Iterable[Symbol]) -> int:
    """Bytes of symbols; several may name the same ones."""
    return sum({symbol.address: symbol.nbytes for symbol in symbols}.values())


def in_ram(image: Image, symbol: Symbol) -> bool:
    """Whether a symbol lies in a section that takes RAM."""
    held = (s for s in image.sections if s.address <= symbol.address < s.end)
    return any(section.kind.in_ram for section in held)

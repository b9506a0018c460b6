# SPDX-License-Identifier: Apache-2.0
"""Time and energy of a step on real chips: estimates, by figures of their datasheets.

datasheets.json has the chips. An estimate is the instructions of a step, times the cycles that an
instruction takes, over the clock; and that time, times current and voltage while the core runs.
Nothing here was measured on silicon.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("datasheets.json")
# Cycles per instruction of an inference of the smartwatch, as docs/instructions.md estimates them
# without wait states. There is no such estimate for other cores: they are taken to be like an M4.
CYCLES_PER_INSTRUCTION = {"cortex-m0": 1.39, "cortex-m3": 1.53, "cortex-m4": 1.42}
LIKE = "cortex-m4"


@dataclass(frozen=True)
class Datasheet:
    """What the datasheet ``source`` says of a chip whose core runs code from flash, with the clock
    ``clock_mhz``; ``boards`` names one that carries it."""

    chip: str
    boards: str
    core: str
    clock_mhz: float
    current_ma: float
    volts: float
    source: str


@dataclass(frozen=True)
class Work:
    """Instructions of a step and of an inference on a core; ``counted`` ones are exact, others
    predicted. ``cycles_per_instruction`` is None where this work itself has no estimate of it."""

    step: int
    inference: int
    counted: bool = False
    cycles_per_instruction: float | None = None


@dataclass(frozen=True)
class BoardEstimate:
    """What a step and an inference take on a chip."""

    sheet: Datasheet
    work: Work

    @property
    def cycles_per_instruction(self) -> float:
        of_core = CYCLES_PER_INSTRUCTION.get(self.sheet.core, CYCLES_PER_INSTRUCTION[LIKE])
        return self.work.cycles_per_instruction or of_core

    def seconds(self, instructions: int) -> float:
        return instructions * self.cycles_per_instruction / (self.sheet.clock_mhz * 1e6)

    def joules(self, instructions: int) -> float:
        return self.seconds(instructions) * self.sheet.current_ma * 1e-3 * self.sheet.volts

    def to_json(self) -> dict[str, Any]:
        step, inference = self.work.step, self.work.inference
        return {
            **asdict(self.sheet),
            "counted": self.work.counted,
            "cycles_per_instruction": self.cycles_per_instruction,
            "step_instructions": step,
            "step_seconds": self.seconds(step),
            "step_joules": self.joules(step),
            "inference_instructions": inference,
            "inference_seconds": self.seconds(inference),
            "inference_joules": self.joules(inference),
        }


@functools.cache
def datasheets() -> tuple[Datasheet, ...]:
    return tuple(Datasheet(**each) for each in json.loads(FILE.read_text(encoding="utf-8")))


def board_estimates(work: Mapping[str, Work]) -> Iterator[BoardEstimate]:
    """One for each chip whose core's work is known, by core."""
    yield from (BoardEstimate(s, work[s.core]) for s in datasheets() if s.core in work)

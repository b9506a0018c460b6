# SPDX-License-Identifier: Apache-2.0
"""What other engines take: peers.toml, where the source of each figure is named."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mcutrain.trainer.scheme import tomllib

FILE = Path(__file__).with_name("peers.toml")
Figures = dict[str, dict[str, float]]  # millions, by model and core


@dataclass(frozen=True)
class Engine:
    """Another engine with its figures, in millions of ``unit``."""

    name: str
    version: str
    unit: str
    source: str
    inference: Figures
    step: Figures

    def of(self, what: str, model: str, core: str) -> float | None:
        """Of an ``inference`` or a ``step``; None if it is not known."""
        figures: Figures = getattr(self, what)
        return figures.get(model, {}).get(core)


def engines(unit: str = "instructions") -> list[Engine]:
    """Those whose figures are in this unit."""
    listed = tomllib.loads(FILE.read_text(encoding="utf-8"))["engine"]
    found = [Engine(**{"inference": {}, "step": {}, **each}) for each in listed]
    return [engine for engine in found if engine.unit == unit]

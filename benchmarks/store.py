# SPDX-License-Identifier: Apache-2.0
"""Finished trainings, kept by all that they depend on but the code of the benchmarks."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from benchmarks.optimisers import SGD


@dataclass(frozen=True)
class BenchmarkRun:
    """One training, asked for by what stands before ``before``.

    ``rate`` 0 lets the product find it; ``found`` is the one that was taken. ``inputs`` is a digest
    of the plan, the samples, and the rule where a rate is found. ``seconds`` of the
    processor are those of an integer training, ``search_seconds`` those of finding its rate.
    """

    task: str
    scheme: str
    group: str
    seed: int
    method: str
    rate: float
    epochs: int
    optimiser: str = SGD
    batch: int = 1
    inputs: str = ""
    before: float = 0.0
    after: float = 0.0
    found: float = 0.0
    seconds: float = 0.0
    search_seconds: float = 0.0

    @property
    def key(self) -> BenchmarkRun:
        """What was asked for."""
        return replace(self, before=0.0, after=0.0, found=0.0, seconds=0.0, search_seconds=0.0)


class Store:
    """Runs that are done, a line of JSON each."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.runs: dict[BenchmarkRun, BenchmarkRun] = {}
        if path.is_file():
            for line in path.read_text().splitlines():
                run = BenchmarkRun(**json.loads(line))
                self.runs[run.key] = run

    def add(self, run: BenchmarkRun) -> None:
        self.runs[run.key] = run
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as file:
            file.write(json.dumps(asdict(run)) + "\n")

# SPDX-License-Identifier: Apache-2.0
"""Figures of small models beside others of the same bytes: kept as they are made, and compared in
pairs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console

from benchmarks.product import found_rate, rule_digest
from mcutrain.host.building.library import in_process
from mcutrain.host.request import Request
from mcutrain.host.search.budget import cost_of
from mcutrain.host.training.dataset import Dataset
from mcutrain.host.training.loop import train
from mcutrain.host.training.training_options import TrainingOptions
from mcutrain.trainer.model import Model

err = Console(stderr=True)
Gaps = Mapping[tuple[int, str], float]  # by seed and group


@dataclass(frozen=True)
class Figure:
    """One accuracy in percent, or error, of a training or of a model; ``plan_bytes`` is RAM by the
    plan, 0 where none counts. ``rule`` is a digest of the code that it depends on."""

    case: str
    method: str
    group: str
    seed: int
    rule: str = ""
    plan_bytes: int = 0
    value: float = 0.0

    @property
    def key(self) -> Figure:
        return replace(self, plan_bytes=0, value=0.0)


def digest_of(sources: Iterable[Path]) -> str:
    """Of what finds a rate and of ``sources``: with another, figures are others."""
    digest = hashlib.sha256(rule_digest().encode())
    for path in sorted(sources):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


class Kept:
    """The figures that are done, a line of JSON each; ``rule`` gives a digest of what the figures
    of a case and method depend on."""

    def __init__(self, path: Path, rule: Callable[[str, str], str]) -> None:
        self.path, self.rule = path, rule
        lines = path.read_text().splitlines() if path.is_file() else []
        self.figures = [Figure(**json.loads(line)) for line in lines]

    def of(self, case: str) -> list[Figure]:
        return [f for f in self.figures if f.case == case and f.rule == self.rule(case, f.method)]

    def get(self, wanted: Figure, make: Callable[[], tuple[int, float]]) -> None:
        """Makes the bytes and the value of a figure, unless it is there."""
        wanted = replace(wanted, rule=self.rule(wanted.case, wanted.method))
        if any(f.key == wanted.key for f in self.figures):
            return
        plan_bytes, value = make()
        found = replace(wanted, plan_bytes=plan_bytes, value=value)
        self.figures.append(found)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as file:
            file.write(json.dumps(asdict(found)) + "\n")
        err.print(f"{found.case}, seed {found.seed} {found.group}: {found.method}, {value:.2f}")


def adapted(
    request: Request, model: Model, data: Dataset, epochs: int, seed: int
) -> tuple[int, float]:
    """RAM of the plan, and what training as the product does it without options, at a rate that it
    finds, comes to on the test samples: accuracy in percent, or squared error in thousandths."""
    plan = request.plan_of(model)
    options = TrainingOptions(epochs, None, seed=seed)
    options = replace(options, rate=found_rate(plan, 0, data, options))
    with in_process(plan) as runner:
        result = train(plan, data, runner, options, lambda progress: None)
    assert result.after is not None
    return cost_of(plan, False).sram, (100 if plan.classes else 1000) * result.after


def over_pairs(gaps: Gaps) -> float:
    """The standard error of the mean, each pair by itself."""
    values = [*gaps.values()]
    return float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else np.nan


def gaps_of(figures: Sequence[Figure], method: str, first: str) -> Gaps:
    """By how much the values of a method are above those of the first."""
    base = {(f.seed, f.group): f.value for f in figures if f.method == first}
    mine = {(f.seed, f.group): f.value for f in figures if f.method == method}
    return {pair: value - base[pair] for pair, value in mine.items() if pair in base}


def table(
    figures: Sequence[Figure],
    methods: Sequence[str],
    what: str = "accuracy, %",
    error: Callable[[Gaps], float] = over_pairs,
) -> Iterator[str]:
    """Markdown: a row for each of ``methods`` that there is, compared in pairs with the first."""
    yield f"| model | bytes | {what} | difference | n |"
    yield "|---|---|---|---|---|"
    there = [m for m in methods if any(f.method == m for f in figures)]
    for method in there:
        mine = [f for f in figures if f.method == method]
        mean, most = np.mean([f.value for f in mine]), max(f.plan_bytes for f in mine)
        gaps = gaps_of(figures, method, there[0])
        told = f"{np.mean([*gaps.values()]):+.2f} ± {error(gaps):.2f}"
        bytes_ = f"{most:,}" if most else "-"
        yield f"| {method} | {bytes_} | {mean:.2f} | {told * (method != there[0])} | {len(mine)} |"

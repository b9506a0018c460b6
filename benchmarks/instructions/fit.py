# SPDX-License-Identifier: Apache-2.0
"""Fits the coefficients by which host.prediction weighs features, to counts in QEMU.

    python -m benchmarks.instructions.fit [--report]

counts the models of `python -m benchmarks.instructions` and some more on each core, unless they
were counted before, and remakes host/prediction/coefficients.json. It takes as many processes as
the computer has cores. --report prints what of them is predicted worse than within a tenth, and
writes nothing.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import TypeVar

import numpy as np

from benchmarks.data.fetch import DataUnavailable
from benchmarks.instructions.counting import Count, count, plan_on, variants
from benchmarks.instructions.nnls import nnls
from benchmarks.instructions.subjects import CORES, MORE, SUBJECTS, boards
from mcutrain.host.boards import core_of
from mcutrain.host.building.target import SIM, Target
from mcutrain.host.files import write_whole
from mcutrain.host.prediction.calls import executed
from mcutrain.host.prediction.density import density_of, traced
from mcutrain.host.prediction.features import Features, features
from mcutrain.host.prediction.predict import BETWEEN, FILE, between, kernel_of, predict
from mcutrain.trainer.errors import Error

# A node's error counts as a share of its instructions and this share of its step's.
SMALL = 1e-3
# Where few counts do not tell features apart, those are preferred that grow with a node as its work
# does: each coefficient has a price, and so many times that if it is for something else.
RIDGE = 1e-3
DEAR = {"call": 30.0, "position": 30.0, "row": 10.0, "tap": 10.0, "channel": 10.0, "weight": 10.0}
DIGITS = 4


@dataclass(frozen=True)
class Observed:
    """A node's features and instructions on a core, or what stands between a step's nodes."""

    core: str
    kernel: str
    features: Features
    instructions: int
    weight: float


@dataclass(frozen=True)
class Case:
    """One thing to count."""

    model: str
    core: str
    variant: str


def cases() -> list[Case]:
    """All that there are boards for, the largest models first."""
    models = [*reversed(SUBJECTS), *MORE]
    cores = [core for core in CORES if boards(core)]
    return [Case(m, core, variant) for m in models for core in cores for variant in variants(core)]


Found = TypeVar("Found")


def each_case(look: Callable[[Count], list[Found]]) -> Iterator[list[Found]]:
    """What ``look`` finds in the count of each case, in the order of ``cases``, in a process for
    each of the computer's cores; a case that cannot be counted here is said, and finds nothing."""
    asked = cases()
    with ProcessPoolExecutor() as pool:
        looks = pool.map(partial(found_in, look), asked)
        for number, (found, reason) in enumerate(looks, 1):
            case = asked[number - 1]
            told = f"skipped: {reason}" if reason else "done"
            print(f"{number} of {len(asked)}: {case.model}, {case.core}, {case.variant}: {told}")
            yield found


def found_in(look: Callable[[Count], list[Found]], case: Case) -> tuple[list[Found], str]:
    """What ``look`` finds, or why there is no count."""
    try:
        return look(count(case.model, case.core, case.variant)), ""
    except (Error, DataUnavailable) as reason:
        return [], str(reason)


def observed(found: Count) -> list[Observed]:
    """The rows of one count."""
    rows = []
    plan = plan_on(found.model, Target.parse(SIM + found.board), found.variant)
    core = core_of(found.board)
    by_name = {row["node"]: row["instructions"] for row in found.profile["step"]["nodes"]}
    each, known = executed(plan), traced(plan)
    for node in each:
        if took := by_name.get(node.node.name):
            weight = 1 / (took + SMALL * found.step)
            told = features(node, density_of(node, known))
            rows.append(Observed(core, kernel_of(node), told, took, weight))
    took = found.profile["step"]["parts"]["between"]
    rows.append(Observed(core, BETWEEN, between(each), took, 1 / took))
    return rows


def fitted(rows: list[Observed]) -> dict[str, float]:
    """The coefficients of one kernel on one core."""
    names = sorted({name for row in rows for name in row.features})
    a = np.array([[row.features.get(n, 0.0) * row.weight for n in names] for row in rows])
    b = np.array([row.instructions * row.weight for row in rows])
    scale = np.where(a.any(axis=0), a.max(axis=0), 1.0)  # no row need have a feature
    ridge = np.diag([RIDGE * DEAR.get(n, 1.0) for n in names])
    x = nnls(np.vstack([a / scale, ridge]), np.concatenate([b, np.zeros(len(names))])) / scale
    pairs = zip(names, x, strict=True)
    return {name: float(f"{value:.{DIGITS}g}") for name, value in pairs if value > 0}


def fit(found: Iterable[list[Observed]]) -> dict[str, dict[str, dict[str, float]]]:
    """By core, kernel and feature."""
    rows: dict[str, dict[str, list[Observed]]] = defaultdict(lambda: defaultdict(list))
    for row in chain.from_iterable(found):
        rows[row.core][row.kernel].append(row)
    return {
        core: {kernel: fitted(kernels[kernel]) for kernel in sorted(kernels)}
        for core, kernels in sorted(rows.items())
    }


def compared(each: Count, limit: float = 0.1) -> list[str]:
    """What of a count is predicted worse than within ``limit``, and it whole."""
    lines = []
    plan = plan_on(each.model, Target.parse(SIM + each.board), each.variant)
    said = predict(plan, core_of(each.board), traced(plan))
    by_name = {row["node"]: row["instructions"] for row in each.profile["step"]["nodes"]}
    for node in said.nodes:
        took = by_name.get(node.of.node.name)
        if took and abs(node.instructions - took) > limit * took + SMALL * each.step:
            off = 100 * (node.instructions / took - 1)
            lines.append(f"  {node.of.node.name}, {kernel_of(node.of)}: {took:,}, {off:+.1f} %")
    off, off_step = (
        100 * (p / c - 1) for p, c in ((said.inference, each.inference), (said.step, each.step))
    )
    whole = f"inference {each.inference:,} {off:+.1f} %, step {each.step:,} {off_step:+.1f} %"
    return [*lines, f"{each.model}, {each.core}, {each.variant}: {whole}"]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instructions.fit")
    parser.add_argument("--report", action="store_true", help="compare only, write nothing")
    asked = parser.parse_args()
    if asked.report:
        for lines in each_case(compared):
            print("\n".join(lines))
        return
    write_whole(FILE, json.dumps(fit(each_case(observed)), indent=1) + "\n")
    print(f"wrote {FILE}")


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: Apache-2.0
"""Fits the coefficients by which host.prediction weighs features, to counts in QEMU.

    python -m benchmarks.instructions.fit [--report]

counts the models of `python -m benchmarks.instructions` and some more on each core, unless they
were counted before, and remakes host/prediction/coefficients.json. --report prints what of them
is predicted worse than within a tenth, and writes nothing.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

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

    where: str
    kernel: str
    features: Features
    instructions: int
    weight: float


def counts() -> Iterator[Count]:
    """All that can be counted here; what cannot is said."""
    for core in CORES:
        for model in (*SUBJECTS, *MORE) if boards(core) else ():
            for variant in variants(core):
                try:
                    yield count(model, core, variant)
                except (Error, DataUnavailable) as reason:
                    print(f"skipped: {model}, {core}, {variant}: {reason}")


def observed(found: Count) -> Iterator[Observed]:
    plan = plan_on(found.model, Target.parse(SIM + found.board), found.variant)
    by_name = {row["node"]: row["instructions"] for row in found.profile["step"]["nodes"]}
    each, known = executed(plan), traced(plan)
    for node in each:
        if took := by_name.get(node.node.name):
            weight = 1 / (took + SMALL * found.step)
            where = f"{found.model}, {found.core}, {node.node.name}"
            yield Observed(
                where, kernel_of(node), features(node, density_of(node, known)), took, weight
            )
    took = found.profile["step"]["parts"]["between"]
    yield Observed(f"{found.model}, {found.core}", BETWEEN, between(each), took, 1 / took)


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


def fit(found: list[Count]) -> dict[str, dict[str, dict[str, float]]]:
    """By core, kernel and feature."""
    rows: dict[str, dict[str, list[Observed]]] = defaultdict(lambda: defaultdict(list))
    for each in found:
        for row in observed(each):
            rows[core_of(each.board)][row.kernel].append(row)
    return {
        core: {kernel: fitted(kernels[kernel]) for kernel in sorted(kernels)}
        for core, kernels in sorted(rows.items())
    }


def report(found: list[Count], limit: float = 0.1) -> Iterator[str]:
    """What is predicted worse than within ``limit``, and each whole."""
    for each in found:
        plan = plan_on(each.model, Target.parse(SIM + each.board), each.variant)
        said = predict(plan, core_of(each.board), traced(plan))
        by_name = {row["node"]: row["instructions"] for row in each.profile["step"]["nodes"]}
        for node in said.nodes:
            took = by_name.get(node.of.node.name)
            if took and abs(node.instructions - took) > limit * took + SMALL * each.step:
                off = 100 * (node.instructions / took - 1)
                yield f"  {node.of.node.name}, {kernel_of(node.of)}: {took:,}, {off:+.1f} %"
        off, off_step = (
            100 * (p / c - 1) for p, c in ((said.inference, each.inference), (said.step, each.step))
        )
        yield (
            f"{each.model}, {each.core}, {each.variant}: inference {each.inference:,} "
            f"{off:+.1f} %, step {each.step:,} {off_step:+.1f} %"
        )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instructions.fit")
    parser.add_argument("--report", action="store_true", help="compare only, write nothing")
    asked = parser.parse_args()
    found = list(counts())
    if asked.report:
        print("\n".join(report(found)))
        return
    write_whole(FILE, json.dumps(fit(found), indent=1) + "\n")
    print(f"wrote {FILE}")


if __name__ == "__main__":
    main()

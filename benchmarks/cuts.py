# SPDX-License-Identifier: Apache-2.0
"""How channels are chosen, at equal bytes: by the loss for each byte of a plan, against the same
share of every group and against scores alone.

    python -m benchmarks.cuts fashion --share 0.5 --seeds 6

Scores come from inputs without labels; of `headed` from the labels of the task, when a new head has
learned it. Each cut is repaired by least squares and, with --steps, by distillation, from the same
inputs; then the cut model learns the task as any other does. A line of JSON is printed for each
training.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.data import watch as people
from benchmarks.methods import measure_integer
from benchmarks.scores import accuracy
from benchmarks.task import Task
from benchmarks.tasks import fashion, watch
from mcutrain.host.budget.fit import ram_bytes
from mcutrain.host.request import Request
from mcutrain.host.search.budget import Limits
from mcutrain.host.shrinking.choice import choose
from mcutrain.host.shrinking.distillation import distil
from mcutrain.host.shrinking.least_squares import least_squares
from mcutrain.host.shrinking.means import channel_means
from mcutrain.host.shrinking.new_head import new_head_scores
from mcutrain.host.shrinking.prices import CutPrices
from mcutrain.host.shrinking.scores import taylor_scores
from mcutrain.host.training.dataset import Dataset
from mcutrain.host.training.in_process import in_process_runner
from mcutrain.host.training.training_options import TrainingOptions
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.model import Model
from mcutrain.trainer.shrinking.cut import Kept, cut_channels
from mcutrain.trainer.shrinking.groups import Groups, channel_groups

INPUTS = 500  # of which models are repaired
RATES = {"fashion": 2.0**-4, "watch": 2.0**-4}  # at which the whole model learns well

Scores = dict[str, Array]
Chooser = Callable[[Groups, Scores, CutPrices], Kept]


def by_bytes(groups: Groups, scores: Scores, price: CutPrices) -> Kept:
    return choose(groups, scores, price).cut.kept


def uniform(groups: Groups, scores: Scores, price: CutPrices) -> Kept:
    """The same share of each group, the units of the least scores."""

    def kept(share: float) -> Kept:
        return {g.name: best(scores[g.name], share * g.units) for g in groups.groups}

    return greatest(kept, price)


def by_scores(groups: Groups, scores: Scores, price: CutPrices) -> Kept:
    """The units of the greatest scores of all groups."""
    every = np.sort(np.concatenate(list(scores.values())))[::-1]

    def kept(share: float) -> Kept:
        least = every[min(len(every) - 1, int(share * len(every)))]
        return {name: best(each, (each >= least).sum()) for name, each in scores.items()}

    return greatest(kept, price)


def best(scores: Array, count: float) -> tuple[int, ...]:
    """The units of the greatest scores, ascending: one at least."""
    return tuple(sorted(map(int, np.argsort(-scores, kind="stable")[: max(1, round(count))])))


def greatest(kept: Callable[[float], Kept], price: CutPrices) -> Kept:
    """Of the greatest share that fits, to a thousandth."""
    low, high = 0.0, 1.0
    while high - low > 1e-3:
        middle = (low + high) / 2
        low, high = (low, middle) if price(kept(middle)).excess else (middle, high)
    return kept(low)


CHOOSERS: dict[str, Chooser] = {
    "bytes": by_bytes, "headed": by_bytes, "uniform": uniform, "scores": by_scores
}  # fmt: skip


def inputs_of(task: Task, group: str, data: Dataset, seed: int) -> Array:
    """What a model is repaired with: the samples that it learns from, without their labels; of the
    smartwatch those of other people."""
    if task.name != "watch":
        return data.x_train
    others = [x for person, (x, _) in people.load_people().items() if str(person) != group]
    x = np.concatenate(others)
    drawn = np.random.default_rng(seed).permutation(len(x))[:INPUTS]
    return x[drawn].reshape(len(drawn), -1)


def trained(task: Task, request: Request, model: Model, data: Dataset, seed: int) -> float:
    plan = request.plan_of(model, thorough=False)
    assert task.epochs is not None
    options = TrainingOptions(task.epochs, rate=RATES[task.name], seed=seed)
    with in_process_runner(plan, 10**6) as runner:
        return measure_integer(plan, runner, data, options, accuracy).after


def measured(
    task: Task, request: Request, group: str, seed: int, asked: argparse.Namespace
) -> None:
    """One line for the whole model, and one for each way to choose."""
    model, data = task.model(), task.dataset(group, seed)
    inputs, groups = inputs_of(task, group, data, seed), channel_groups(model)
    scores = dict.fromkeys(CHOOSERS, taylor_scores(model, groups, inputs))
    if task.classes is not None:
        scores["headed"] = new_head_scores(model, task.classes, data.x_train, data.y_train)
    means = channel_means(model, inputs)
    whole = ram_bytes(request.plan_of(model, thorough=False))
    limit = asked.sram or round(asked.share * whole)
    told = {"task": task.name, "group": group, "seed": seed, "sram": limit}
    if not asked.only:
        after = trained(task, request, model, data, seed)
        print(json.dumps({**told, "way": "whole", "bytes": whole, "after": after}), flush=True)
    for way in asked.only or CHOOSERS:
        price = CutPrices(request, model, groups, Limits(limit))
        kept = CHOOSERS[way](groups, scores[way], price)
        smaller = cut_channels(model, groups, kept, means)
        smaller = least_squares(model, smaller, groups, kept, inputs)
        if asked.steps:
            smaller = distil(model, smaller, inputs, steps=asked.steps).model
        after = trained(task, request, smaller, data, seed)
        counts = {g.name: [len(kept.get(g.name, range(g.units))), g.units] for g in groups.groups}
        line = {
            "way": way, "bytes": price(kept).cost.sram, "after": after, "plans": len(price.known),
            "kept": counts,
        }  # fmt: skip
        print(json.dumps({**told, **line}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task", choices=RATES)
    parser.add_argument("--share", type=float, default=0.5, help="of the whole model's RAM")
    parser.add_argument("--sram", type=int, default=0, help="bytes, in place of a share")
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--steps", type=int, default=0, help="of distillation")
    parser.add_argument("--update", default="full")
    parser.add_argument("--only", choices=CHOOSERS, nargs="*", default=[])
    asked = parser.parse_args()
    task = {"fashion": fashion, "watch": watch}[asked.task].task()
    request = Request.of(Path(task.name), asked.update, classes=task.classes)
    for seed in range(asked.seeds):
        for group in task.groups:
            measured(task, request, group, seed, asked)


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: Apache-2.0
"""How channels are chosen, at equal bytes: by the loss for each byte of a plan, against the same
share of every group and against scores alone.

    python -m benchmarks.cuts fashion --share 0.5 --seeds 6

A way is how many units leave and what they are worth, such as `bytes:outputs`. Units are scored by
the squared error of the outputs (`outputs`), by the class that the model predicts (`predicted`), by
the labels of the model's own classes (`labels`), or by those of other classes, when a new head has
learned them (`headed`). Each cut is repaired by least squares and, with --steps, by
distillation, from the same inputs; then the cut model learns the task as any other does. A line of
JSON is printed for each training; `explained` is the share of the variance of the whole model's
outputs that the cut one's explain behind the repair, on test samples.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
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
from mcutrain.host.shrinking.fidelity import outputs_of
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
from mcutrain.trainer.options import DEFAULT_OPTIONS, OFF
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


CHOOSERS: dict[str, Chooser] = {"bytes": by_bytes, "uniform": uniform, "scores": by_scores}
KINDS = ("predicted", "outputs", "labels", "headed")
WAYS = {
    "fashion": ("bytes:predicted", "bytes:outputs", "bytes:headed", "uniform:predicted",
                "uniform:headed", "scores:predicted"),
    "watch": ("bytes:predicted", "bytes:outputs", "bytes:labels", "uniform:predicted",
              "uniform:outputs", "uniform:labels", "scores:predicted", "scores:labels"),
}  # fmt: skip


@dataclass(frozen=True)
class Given:
    """What a model is repaired with, x (N, input size) int8 and, if they are of its own classes,
    labels (N,)."""

    x: Array
    labels: Array | None


def inputs_of(task: Task, group: str, data: Dataset, seed: int) -> Given:
    """The samples that the model learns from, without their labels; of the smartwatch those of
    other people, with them."""
    if task.name != "watch":
        return Given(data.x_train, None)
    others = [person for id_, person in people.load_people().items() if str(id_) != group]
    x, y = (np.concatenate(parts) for parts in zip(*others, strict=True))
    drawn = np.random.default_rng(seed).permutation(len(x))[:INPUTS]
    return Given(x[drawn].reshape(len(drawn), -1), y[drawn])


def scores_of(kind: str, task: Task, model: Model, given: Given, data: Dataset) -> Scores:
    groups = channel_groups(model)
    if kind == "headed":
        assert task.classes is not None
        return new_head_scores(model, task.classes, data.x_train, data.y_train)
    predicted = outputs_of(model, given.x, DEFAULT_OPTIONS).argmax(axis=1)
    targets = {"outputs": None, "predicted": predicted, "labels": given.labels}[kind]
    return taylor_scores(model, groups, given.x, targets)


def explained(model: Model, smaller: Model, x: Array) -> float:
    """The share of the variance of the model's outputs that the smaller one's explain."""
    whole, cut = (
        outputs_of(each, x, DEFAULT_OPTIONS).astype(np.float64) for each in (model, smaller)
    )
    return float(1 - ((whole - cut) ** 2).sum() / ((whole - whole.mean(axis=0)) ** 2).sum())


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
    given, groups = inputs_of(task, group, data, seed), channel_groups(model)
    ways = [way.split(":") for way in asked.ways or WAYS[task.name]]
    scores = {kind: scores_of(kind, task, model, given, data) for kind in {k for _, k in ways}}
    means = channel_means(model, given.x)
    whole = ram_bytes(request.plan_of(model, thorough=False))
    limit = asked.sram or round(asked.share * whole)
    told = {"task": task.name, "group": group, "seed": seed, "sram": limit}
    if not asked.ways:
        after = trained(task, request, model, data, seed)
        print(json.dumps({**told, "way": "whole", "bytes": whole, "after": after}), flush=True)
    for chooser, kind in ways:
        price = CutPrices(request, model, groups, Limits(limit))
        kept = CHOOSERS[chooser](groups, scores[kind], price)
        smaller = cut_channels(model, groups, kept, means)
        smaller = least_squares(model, smaller, groups, kept, given.x)
        if asked.steps:
            smaller = distil(model, smaller, given.x, steps=asked.steps).model
        after = trained(task, request, smaller, data, seed)
        counts = {g.name: [len(kept.get(g.name, range(g.units))), g.units] for g in groups.groups}
        line = {
            "way": f"{chooser}:{kind}", "bytes": price(kept).cost.sram, "after": after,
            "explained": explained(model, smaller, data.x_test), "plans": len(price.known),
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
    every = [f"{chooser}:{kind}" for chooser in CHOOSERS for kind in KINDS]
    parser.add_argument("--ways", choices=every, nargs="*", default=[])
    parser.add_argument("--errors", default="e12")
    parser.add_argument("--weights", default="int8.8")
    asked = parser.parse_args()
    task = {"fashion": fashion, "watch": watch}[asked.task].task()
    request = Request.of(Path(task.name), asked.update, classes=task.classes, errors=asked.errors,
                         weights=asked.weights, precondition=OFF)  # fmt: skip
    for seed in range(asked.seeds):
        for group in task.groups:
            measured(task, request, group, seed, asked)


if __name__ == "__main__":
    main()

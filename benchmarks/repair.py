# SPDX-License-Identifier: Apache-2.0
"""What repairing a cut model without labels brings, step by step: cut, least squares, distillation.

    python -m benchmarks.repair fashion --inputs 1000 --seeds 6
    python -m benchmarks.repair resnet8 --out 0.25 --inputs 10000 --steps 60000

A line of JSON for each seed, which draws the inputs: accuracies on the whole test set in percent,
agreement with the original on it, and seconds of this process.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.data import RawSamples, cifar10, fashion_mnist, images
from benchmarks.data.models import model_file
from benchmarks.nets import fashion as net
from benchmarks.tasks import cifar, fashion
from mcutrain.host.budget.fit import ram_bytes
from mcutrain.host.request import Request
from mcutrain.host.search.budget import Limits
from mcutrain.host.shrinking.choice import choose
from mcutrain.host.shrinking.distillation import distil
from mcutrain.host.shrinking.fidelity import Compared, outputs_of
from mcutrain.host.shrinking.least_squares import least_squares
from mcutrain.host.shrinking.means import channel_means
from mcutrain.host.shrinking.prices import CutPrices
from mcutrain.host.shrinking.scores import taylor_scores
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.model import Model
from mcutrain.trainer.options import DEFAULT_OPTIONS
from mcutrain.trainer.shrinking.cut import Kept, cut_channels
from mcutrain.trainer.shrinking.groups import Groups, channel_groups
from mcutrain.trainer.tflite.reader import load

FITTED = 300  # inputs of least squares, of means and of scores


@dataclass(frozen=True)
class Subject:
    """A model, inputs (N, input size) int8 that it was not tested on, and its test set."""

    path: Path
    model: Model
    inputs: Array
    x_test: Array
    y_test: Array

    @classmethod
    def of(cls, path: Path, seen: RawSamples, unseen: RawSamples) -> Subject:
        model = load(path)
        rows = [images.input_rows(part.x, model.input.type) for part in (seen, unseen)]
        return cls(path, model, *rows, unseen.y)


def subject(name: str) -> Subject:
    """Fashion-MNIST's net with images that it was not trained on; resnet8 with its training set."""
    if name == "resnet8":
        return Subject.of(model_file(cifar.MODEL), cifar10.train_set(), cifar10.test_set())
    known = range(fashion.OLD)
    seen = net.unseen(fashion_mnist.train_set()).of_classes(known)
    path = net.recipe(fashion.OLD).file()
    return Subject.of(path, seen, fashion_mnist.test_set().of_classes(known))


def chosen(of: Subject, groups: Groups, inputs: Array, asked: argparse.Namespace) -> Kept:
    """Units of the greatest scores: of each group a share, or what fits a share of the RAM of
    training all of the model."""
    scores = taylor_scores(of.model, groups, inputs)
    if asked.out:
        return {
            g.name: tuple(
                sorted(np.argsort(-scores[g.name])[: round((1 - asked.out) * g.units)].tolist())
            )
            for g in groups.groups
            if g.name in scores
        }
    request = Request.of(of.path, "full")
    whole = ram_bytes(request.plan_of(of.model, thorough=False))
    price = CutPrices(request, of.model, groups, Limits(round(asked.share * whole)))
    return choose(groups, scores, price).cut.kept


def measured(of: Subject, seed: int, asked: argparse.Namespace) -> dict[str, object]:
    """The figures of one seed."""
    model, groups = of.model, channel_groups(of.model)
    order = np.random.default_rng(seed).permutation(len(of.inputs))[: asked.inputs]
    inputs = of.inputs[order]
    few = inputs[:FITTED]
    wanted = outputs_of(model, of.x_test, DEFAULT_OPTIONS)
    found: dict[str, object] = {"seed": seed, "original": accuracy(wanted, of)}

    def tell(stage: str, after: Model, started: float) -> None:
        found[f"{stage}_seconds"] = round(time.process_time() - started, 1)
        outputs = outputs_of(after, of.x_test, DEFAULT_OPTIONS)
        compared = Compared(outputs, wanted, model.logits.type, has_classes=True).fidelity
        found[stage] = accuracy(outputs, of)
        found[f"{stage}_agreement"] = round(100 * (compared.agreement or 0.0), 2)

    started = time.process_time()
    kept = chosen(of, groups, few, asked)
    smaller = cut_channels(model, groups, kept, channel_means(model, few))
    tell("cut", smaller, started)
    found["parameters"] = [sum(n.inputs[1].type.size for n in m.weighted) for m in (model, smaller)]
    started = time.process_time()
    fitted = least_squares(model, smaller, groups, kept, few)
    tell("least_squares", fitted, started)
    for stage, begin in (("distilled", fitted), ("distilled_alone", smaller)):
        if stage == "distilled" or asked.alone:
            started = time.process_time()
            done = distil(model, begin, inputs, steps=asked.steps, seconds=asked.seconds)
            tell(stage, done.model, started)
            found |= {f"{stage}_kept": done.is_kept, f"{stage}_steps": done.steps}
    return found


def accuracy(outputs: Array, of: Subject) -> float:
    """In percent."""
    return round(100 * float((outputs.argmax(axis=1) == of.y_test).mean()), 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("subject", choices=("fashion", "resnet8"))
    parser.add_argument("--share", type=float, default=0.5, help="of the RAM of training all of it")
    parser.add_argument("--out", type=float, default=0.0, help="of each group, in place of a share")
    parser.add_argument("--inputs", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=8000, help="of distillation")
    parser.add_argument("--seconds", type=float, default=None, help="of distillation")
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--alone", action="store_true", help="distil without least squares too")
    asked = parser.parse_args()
    of = subject(asked.subject)
    for seed in range(asked.first, asked.first + asked.seeds):
        print(json.dumps(measured(of, seed, asked)), flush=True)


if __name__ == "__main__":
    main()

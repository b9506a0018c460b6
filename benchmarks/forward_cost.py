# SPDX-License-Identifier: Apache-2.0
"""Where the gap to float32 comes from: training, or the int8 forward pass of the trained model."""

from __future__ import annotations

import numpy as np

from benchmarks.float_trainer import FloatTrainer, Method
from benchmarks.latents import tail
from benchmarks.tasks import cifar
from mcutrain.host.training.dataset import Dataset
from mcutrain.host.training.rates import rates, sample_order
from mcutrain.trainer.formats import Formats
from mcutrain.trainer.graph.tensor import Array

SCHEME, RATE = "last:4", 2.0**-13
GROUPS, SEEDS = ("contrast", "impulse_noise", "upside_down"), (0, 1)
INTRODUCTION = f"""\
Where the gap to float32 comes from: resnet8, `{SCHEME}`, mean of {len(GROUPS) * len(SEEDS)} pairs
({", ".join(GROUPS)}). Each of two trainings is judged by both forward passes:"""
LABELS = {Method.FLOAT32: "float32", Method.FLOAT_BACKWARD: "int8 forward, float backward"}


def markdown(short: bool = False) -> str:
    """A section of docs/accuracy.md. Raises DataUnavailable."""
    task = cifar.task()
    found: dict[tuple[Method, Method], list[float]] = {}
    for group in GROUPS[: 1 if short else None]:
        for seed in SEEDS[: 1 if short else None]:
            data = task.dataset(group, seed)
            plan_of, data = tail(task.model(), SCHEME, None, data)
            plan = plan_of(Formats())
            order = sample_order(len(data.x_train), task.epochs, seed)[: 20 if short else None]
            for method in LABELS:
                trained = FloatTrainer.of(plan, method)
                train(trained, data, order)
                for judge in LABELS:
                    judged = FloatTrainer.of(plan, judge)
                    judged.take(trained)
                    accuracy = 100 * judged.accuracy(data.x_test, data.y_test)
                    found.setdefault((method, judge), []).append(accuracy)
    lines = [INTRODUCTION, "", "| trained with | judged in float32 | judged in int8 |"]
    lines.append("|---|---:|---:|")
    for method, label in LABELS.items():
        cells = [f"{np.mean(found[method, judge]):.2f}" for judge in LABELS]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def train(trainer: FloatTrainer, data: Dataset, order: Array) -> None:
    """All steps of a run, unless it diverges."""
    schedule = dict(rates(len(order), RATE, "step"))
    rate = RATE
    for k, index in enumerate(order):
        rate = schedule[k].real if k in schedule else rate
        loss = trainer.step(data.x_train[index], int(data.y_train[index]), rate)
        if not np.isfinite(loss):
            return  # what is left predicts nothing

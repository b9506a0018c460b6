# SPDX-License-Identifier: Apache-2.0
"""Digits by other writers, and altered: inverted, turned, thickened."""

from __future__ import annotations

from benchmarks.data import digits, learn_and_test
from benchmarks.nets.digits import INPUT_QUANT, recipe
from benchmarks.task import Task
from mcutrain.host.training.dataset import Dataset
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.making.quantiser import quantize_array
from mcutrain.trainer.tflite.reader import load

SHOTS = 10


def task() -> Task:
    samples = digits.other_writers()
    model = load(recipe().file())

    def dataset(group: str, seed: int) -> Dataset:
        learn, test = learn_and_test(samples, SHOTS, seed)

        def as_input(x: Array) -> Array:
            return quantize_array(digits.ALTERED[group](x), INPUT_QUANT).reshape(len(x), -1)

        return Dataset(as_input(learn.x), learn.y, as_input(test.x), test.y)

    return Task(
        name="digits",
        title="Digits: other writers, altered",
        setting=f"""\
A net of 6,000 parameters that knows the digits of some writers (scikit-learn's 8 x 8 digits) learns
those of others, inverted, turned by a quarter or thickened, from {SHOTS} of each digit, drawn by
seed; accuracy is on the others' remaining digits. No constant of the project was chosen on it.""",
        model=lambda: model,
        dataset=dataset,
        groups=tuple(digits.ALTERED),
        schemes={"head": "head", "last:2": "last:2", "full": "full"},
        epochs=10,
        seeds=12,
        most_seeds=24,
        rates=tuple(2.0**-k for k in range(2, 9)),
    )

# SPDX-License-Identifier: Apache-2.0
"""Imbalance of a machine that the model has not seen: a regression."""

from __future__ import annotations

import numpy as np

from benchmarks.nets.vibration import WINDOW_QUANT, imbalance
from benchmarks.scores import explained
from benchmarks.task import Task
from mcutrain.examples.machine import vibration
from mcutrain.examples.machine.vibration import Machine
from mcutrain.host.training.dataset import Dataset
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.making.quantiser import quantize_array
from mcutrain.trainer.options import SQUARED_ERROR
from mcutrain.trainer.tflite.reader import load

LEARN, TEST = 64, 256
MACHINES = range(1, 7)


def task() -> Task:
    model = load(imbalance().file())
    quant = model.logits.type.quant
    assert quant is not None

    def dataset(group: str, seed: int) -> Dataset:
        rng = np.random.default_rng([seed, int(group)])

        def drawn(count: int) -> tuple[Array, Array]:
            amounts = rng.uniform(0, 1, count)
            x = vibration.windows(Machine.numbered(int(group)), amounts, rng)
            targets = quantize_array(amounts[:, None], quant)
            return quantize_array(x, WINDOW_QUANT).reshape(count, -1), targets

        return Dataset(*drawn(LEARN), *drawn(TEST))

    return Task(
        name="vibration",
        title="Vibration: the imbalance of another machine",
        setting=f"""\
A net of 2,200 parameters tells the imbalance of one made-up rotating machine from 128 readings of
two axes (examples/machine/vibration.py). It learns each of {len(MACHINES)} others, with other
resonances and gains, from {LEARN} windows with known imbalance, by the squared error; what of the
variance is explained is of {TEST} other windows. No constant of the project was chosen on it.""",
        model=lambda: model,
        dataset=dataset,
        groups=tuple(map(str, MACHINES)),
        schemes={"head": "head", "last:2": "last:2", "full": "full"},
        epochs=10,
        seeds=12,
        rates=tuple(2.0**-k for k in range(2, 9)),
        tuning=("7", "8", "9"),
        loss=SQUARED_ERROR,
        score=explained,
        metric="explained variance",
    )

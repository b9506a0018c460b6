# SPDX-License-Identifier: Apache-2.0
"""An autoencoder learns what is usual of a machine that it has not seen."""

from __future__ import annotations

import numpy as np

from benchmarks.nets.vibration import machine
from benchmarks.scores import anomaly_auc
from benchmarks.task import Task
from mcutrain.examples.machine import vibration
from mcutrain.examples.machine.make_machine import SPECTRUM_QUANT
from mcutrain.examples.machine.vibration import Machine
from mcutrain.host.training.dataset import Dataset
from mcutrain.trainer.making.quantiser import quantize_array
from mcutrain.trainer.options import RECONSTRUCTION
from mcutrain.trainer.tflite.reader import load

LEARN, TEST = 64, 240
MACHINES = range(1, 7)


def task() -> Task:
    model = load(machine().file())

    def dataset(group: str, seed: int) -> Dataset:
        rng = np.random.default_rng([seed, int(group)])
        it = Machine.numbered(int(group))
        learn, usual = vibration.usual(it, LEARN, rng), vibration.usual(it, TEST, rng)
        tests = np.concatenate([usual, vibration.faulty(it, TEST, rng)])
        x_train, x_test = (quantize_array(x, SPECTRUM_QUANT) for x in (learn, tests))
        none, is_faulty = np.zeros((LEARN, 0), np.int8), np.repeat([0, 1], TEST)
        return Dataset(x_train, none, x_test, is_faulty)

    return Task(
        name="machine",
        title="Faults of another machine",
        setting=f"""\
An autoencoder of 1,900 parameters knows the usual spectra of one made-up rotating machine
(examples/machine/vibration.py). It learns those of each of {len(MACHINES)} others from {LEARN}
windows without a fault. The figure is the area under the ROC curve, in percent: how often one of
{TEST} windows with a fault is reconstructed less well than one of {TEST} without. No constant of
the project was chosen on it.""",
        model=lambda: model,
        dataset=dataset,
        groups=tuple(map(str, MACHINES)),
        schemes={"head": "head", "last:2": "last:2", "full": "full"},
        epochs=10,
        seeds=3,
        most_seeds=12,
        rates=tuple(2.0**-k for k in range(7)),
        tuning=("7", "8", "9"),
        loss=RECONSTRUCTION,
        score=anomaly_auc,
        metric="AUC",
    )

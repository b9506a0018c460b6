# SPDX-License-Identifier: Apache-2.0
"""CIFAR-10 under corruptions, with activation ranges of the images that are learned from."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np

from benchmarks.data.models import model_file
from benchmarks.task import Task
from benchmarks.tasks import cifar
from mcutrain.host.training.dataset import Dataset
from mcutrain.trainer.calibration import calibrate
from mcutrain.trainer.model import Model
from mcutrain.trainer.tflite.reader import parse

SAMPLES = 200
KEPT = 64  # calibrated models in memory
SCHEMES = ("last:4", "last:9")


def task() -> Task:
    plain = cifar.task()
    data = model_file(cifar.MODEL).read_bytes()

    @functools.lru_cache(KEPT)  # schemes and ways to train share it
    def calibrated(samples: bytes, size: int) -> Model:
        x = np.frombuffer(samples, np.int8).reshape(-1, size)
        return parse(calibrate(data, x).data, "calibrated")

    def model_of(mine: Dataset) -> Model:
        return calibrated(mine.x_train[:SAMPLES].tobytes(), mine.x_train.shape[1])

    return replace(
        plain,
        name="calibrated",
        title="CIFAR-10 under corruptions, calibrated",
        setting=f"""\
The same data and steps, but before it is trained each model is calibrated (`mcutrain calibrate`)
with {SAMPLES} of the {cifar.LEARN} corrupted images that it learns from. All columns are of that
model.""",
        schemes={name: name for name in SCHEMES},
        model_of=model_of,
    )

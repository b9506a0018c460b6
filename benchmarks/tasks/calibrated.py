# SPDX-License-Identifier: Apache-2.0
"""CIFAR-10 under corruptions, with activation ranges of the images that are learned from."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.data.models import model_file
from benchmarks.task import Task
from benchmarks.tasks import cifar
from mcutrain.host.training.dataset import Dataset
from mcutrain.trainer.calibration import calibrate
from mcutrain.trainer.model import Model
from mcutrain.trainer.tflite.reader import parse

SAMPLES = 200
SCHEMES = ("last:4", "last:9")
RATE = 2.0**-13  # what the schemes have without calibration


def task() -> Task:
    plain = cifar.task()
    data = model_file(cifar.MODEL).read_bytes()

    def model_of(mine: Dataset) -> Model:
        return parse(calibrate(data, mine.x_train[:SAMPLES]).data, "calibrated")

    return replace(
        plain,
        name="calibrated",
        title="CIFAR-10 under corruptions, calibrated",
        setting=f"""\
The same data and steps, but before it is trained each model is calibrated (`mcutrain calibrate`)
with {SAMPLES} of the {cifar.LEARN} corrupted images that it learns from. All columns are of that
model.""",
        schemes={name: name for name in SCHEMES},
        rates=(RATE,),
        model_of=model_of,
    )

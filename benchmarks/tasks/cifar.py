# SPDX-License-Identifier: Apache-2.0
"""CIFAR-10 under corruptions: resnet8 learns to see again from a few hundred images."""

from __future__ import annotations

import numpy as np

from benchmarks.data import cifar10, images
from benchmarks.data.corruptions import corrupt
from benchmarks.data.models import model_file
from benchmarks.task import Task
from mcutrain.host.training.dataset import Dataset
from mcutrain.trainer.tflite.reader import load

CORRUPTIONS = (
    "gaussian_noise", "impulse_noise", "defocus_blur", "contrast", "fog", "upside_down",
)  # fmt: skip
SEVERITY = 5
MODEL = "mlperf-tiny/pretrainedResnet_quant.tflite"
LEARN, TEST = 500, 1000


def task() -> Task:
    model = load(model_file(MODEL))
    photos = cifar10.test_set()

    def dataset(group: str, seed: int) -> Dataset:
        chosen = np.random.default_rng(seed).permutation(len(photos.x))[: LEARN + TEST]
        x = images.input_rows(corrupt(photos.x[chosen], group, SEVERITY, seed), model.input.type)
        y = photos.y[chosen]
        return Dataset(x[:LEARN], y[:LEARN], x[LEARN:], y[LEARN:])

    return Task(
        name="cifar",
        title="CIFAR-10 under corruptions",
        setting=f"""\
The resnet8 of MLPerf Tiny (78,000 parameters, 12.5 million MACs) learns from {LEARN} corrupted
images of the CIFAR-10 test set and is tested on {TEST:,} others. Corruptions are those of
CIFAR-10-C (Hendrycks and Dietterich 2019) at severity {SEVERITY}, regenerated from their
definitions, and images turned upside down. `last:9` is all layers but the first, whose inputs are
raw pixels of 0 to 255: a rate that is right for the others lets it diverge, in float as well.""",
        model=lambda: model,
        dataset=dataset,
        groups=CORRUPTIONS,
        schemes={"head": "head", "last:4": "last:4", "last:9": "last:9"},
        epochs=2,
        seeds=3,
        rates=tuple(2.0**-k for k in (7, 9, 11, 13)),
        is_long=True,
        tuning=("gaussian_noise",),
        group_rows=True,
    )

# SPDX-License-Identifier: Apache-2.0
"""CIFAR-10 at 128 x 128 with mcunet-5fps: a new head, and the sparse schemes of its paper."""

from __future__ import annotations

import numpy as np

from benchmarks.data import cifar10, images
from benchmarks.data.models import model_file
from benchmarks.task import Task
from mcutrain.host.training.dataset import Dataset
from mcutrain.trainer.tflite.reader import load

LEARN, TEST = 2000, 1000
SCHEMES = "tiny-training/schemes/mcunet-5fps-{}.toml"


def task() -> Task:
    model = load(model_file("tiny-training/mcunet-5fps_int8.tflite"))
    paper = {name: str(model_file(SCHEMES.format(name))) for name in ("49kb", "99kb")}
    train, test = cifar10.train_set(), cifar10.test_set()

    def dataset(group: str, seed: int) -> Dataset:
        rng = np.random.default_rng(seed)
        learn, held = rng.permutation(len(train.x))[:LEARN], rng.permutation(len(test.x))[:TEST]
        x_train, x_test = (
            images.input_rows(x, model.input.type) for x in (train.x[learn], test.x[held])
        )
        return Dataset(x_train, train.y[learn], x_test, test.y[held])

    return Task(
        name="mcunet",
        title="mcunet-5fps learns CIFAR-10 at 128 x 128",
        setting=f"""\
MCUNet-5FPS (ImageNet weights, 22.6 million MACs) gets a new head of ten classes and learns from
{LEARN:,} images of CIFAR-10, enlarged to 128 x 128; accuracy is on {TEST:,} test images. `49kb` and
`99kb` are the sparse update schemes that Lin et al. 2022 publish for it.""",
        model=lambda: model,
        dataset=dataset,
        groups=("cifar10",),
        schemes={"head": "head", **paper, "bias": "bias"},
        classes=cifar10.CLASSES,
        epochs=1,
        seeds=3,
        rates=tuple(2.0**-k for k in (7, 8, 9, 10)),
        is_long=True,
        formats=("E8 errors", "int8 weights"),
    )

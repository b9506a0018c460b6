# SPDX-License-Identifier: Apache-2.0
"""Fashion-MNIST: from five classes to the five others, and from eight classes to ten."""

from __future__ import annotations

import numpy as np

from benchmarks.data import RawSamples, fashion_mnist, images
from benchmarks.nets import fashion as net
from benchmarks.task import Task
from mcutrain.host.training.dataset import Dataset
from mcutrain.trainer.tflite.reader import load

OLD = 5
PER_CLASS, TEST = 100, 1000


def task() -> Task:
    model = load(net.recipe(OLD).file())
    new = range(OLD, fashion_mnist.CLASSES)
    train = net.unseen(fashion_mnist.train_set()).of_classes(new)
    test = fashion_mnist.test_set().of_classes(new)

    def dataset(group: str, seed: int) -> Dataset:
        rng = np.random.default_rng(seed)
        drawn = [rng.permutation(np.flatnonzero(train.y == c))[:PER_CLASS] for c in new]
        learn, held = (
            train.take(np.concatenate(drawn)),
            test.take(rng.permutation(len(test))[:TEST]),
        )

        def taken(part: RawSamples) -> np.ndarray:
            return images.input_rows(part.x, model.input.type)

        return Dataset(taken(learn), learn.y - OLD, taken(held), held.y - OLD)

    return Task(
        name="fashion",
        title="Fashion-MNIST: other classes",
        setting=f"""\
A net of 20,000 parameters (0.5 million MACs) that knows classes 0 to {OLD - 1} gets a new head and
learns classes {OLD} to 9 from {PER_CLASS} images of each, drawn by seed; accuracy is on {TEST:,}
test images.""",
        model=lambda: model,
        dataset=dataset,
        groups=("5-9",),
        schemes={"head": "head", "last:4": "last:4", "full": "full"},
        classes=len(new),
        epochs=3,
        rates=tuple(2.0**-k for k in (5, 6, 7, 8)),
        formats=("E8 errors", "int8 weights"),
    )

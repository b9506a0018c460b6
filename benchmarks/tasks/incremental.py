# SPDX-License-Identifier: Apache-2.0
"""Fashion-MNIST, class by class: eight classes are known, two more come as a stream."""

from __future__ import annotations

import numpy as np

from benchmarks.data import RawSamples, fashion_mnist, images
from benchmarks.nets import fashion as net
from benchmarks.task import Task
from mcutrain.host.training.dataset import Dataset
from mcutrain.host.training.replay import stream_of
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.model import with_spare_rows
from mcutrain.trainer.replay import ReplayBuffer
from mcutrain.trainer.tflite.reader import load

KNOWN, CLASSES = 8, fashion_mnist.CLASSES
OLD, NEW, TEST = 30, 200, 1000  # samples of each class
SLOTS = 200
RATIO = 3
FORGETFUL = "no replay"


def task() -> Task:
    model = with_spare_rows(load(net.recipe(KNOWN).file()), CLASSES - KNOWN)
    train, test = net.unseen(fashion_mnist.train_set()), fashion_mnist.test_set()

    def chosen(seed: int) -> RawSamples:
        """Old samples by class, then the stream of new ones."""
        rng = np.random.default_rng(seed)

        def some(label: int, count: int) -> Array:
            return rng.permutation(np.flatnonzero(train.y == label))[:count]

        old = np.concatenate([some(label, OLD) for label in range(KNOWN)])
        new = np.concatenate([some(label, NEW) for label in range(KNOWN, CLASSES)])
        return train.take(np.concatenate([old, rng.permutation(new)]))

    def dataset(group: str, seed: int) -> Dataset:
        learn = chosen(seed)
        held = test.take(np.random.default_rng(seed).permutation(len(test))[:TEST])
        x_train, x_test = (images.input_rows(part.x, model.input.type) for part in (learn, held))
        return Dataset(x_train, learn.y, x_test, held.y)

    def order(group: str, seed: int) -> Array:
        slots = 0 if group == FORGETFUL else SLOTS
        buffer = ReplayBuffer(slots, CLASSES, seed)
        return stream_of(buffer, chosen(seed).y, KNOWN * OLD, RATIO if slots else 0).order

    return Task(
        name="incremental",
        title="Fashion-MNIST: two classes more",
        setting=f"""\
A net of 20,000 parameters that knows classes 0 to {KNOWN - 1} meets a stream of {NEW} images each
of classes {KNOWN} and {KNOWN + 1}, once. With replay each new image is followed by {RATIO} steps on
images from a class-balanced buffer of {SLOTS}, which {OLD} old images of each class filled before.
Accuracy is on {TEST:,} test images of all ten classes.""",
        model=lambda: model,
        dataset=dataset,
        order=order,
        groups=("replay", FORGETFUL),
        schemes={"head": "head", "last:4": "last:4"},
        epochs=1,
        rates=tuple(2.0**-k for k in (6, 7, 8, 9)),
        is_long=True,
        group_rows=True,
        has_mean=False,
    )

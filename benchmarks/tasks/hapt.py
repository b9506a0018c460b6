# SPDX-License-Identifier: Apache-2.0
"""HAPT activities: a model of five people learns a person it has not seen."""

from __future__ import annotations

from benchmarks.data import hapt
from benchmarks.nets import hapt as net
from benchmarks.task import Task
from mcutrain.host.training.dataset import Dataset
from mcutrain.host.training.ranges import End, quantised
from mcutrain.trainer.tflite.reader import load

SHOTS = 5
PEOPLE = hapt.NEW_PEOPLE[:5]


def task() -> Task:
    windows = hapt.windows()
    model = load(net.recipe().file())

    def dataset(group: str, seed: int) -> Dataset:
        learn, test = windows.split(int(group), SHOTS, seed)
        end = End(model.input.type)
        x_train, x_test = (quantised(part.x, "x", end).codes for part in (learn, test))
        return Dataset(x_train, learn.y, x_test, test.y)

    return Task(
        name="hapt",
        title="HAPT activities: a new person",
        setting=f"""\
A net of 3,200 parameters that knows six activities of five people learns from {SHOTS} windows of
each activity of a person it has not seen (five people), drawn by seed; accuracy is on that
person's other windows, none of which shares a reading with one that was learned from.""",
        model=lambda: model,
        dataset=dataset,
        groups=tuple(map(str, PEOPLE)),
        schemes={"head": "head", "last:3": "last:3", "full": "full"},
        epochs=10,
        tuning=tuple(map(str, hapt.NEW_PEOPLE[10:13])),
        formats=("E8 errors", "int8 weights"),
    )

# SPDX-License-Identifier: Apache-2.0
"""Smartwatch exercises: a model of right wrists learns one person's left wrist."""

from __future__ import annotations

from benchmarks.data.watch import EXAMPLE, SHOTS, load_people, split
from benchmarks.task import Task
from mcutrain.host.training.dataset import Dataset
from mcutrain.trainer.tflite.reader import load


def task() -> Task:
    people = load_people()

    def dataset(group: str, seed: int) -> Dataset:
        person = int(group)
        return split(*people[person], seed, person)

    return Task(
        name="watch",
        title="Smartwatch exercises: right wrist to left wrist",
        setting=f"""\
The model of examples/watch (1,175 parameters) learns each of ten people's left wrist from {SHOTS}
windows of each of 7 exercises, drawn at random by seed; accuracy is on the person's other
left-wrist windows, some of which are neighbours in time of the windows learned from.""",
        model=lambda: load(EXAMPLE / "watch.tflite"),
        dataset=dataset,
        groups=tuple(map(str, people)),
        schemes={"head": "head", "last:2": "last:2", "full": "full"},
        epochs=30,
        seeds=6,
        most_seeds=12,
        rates=tuple(2.0**-k for k in range(2, 9)),
        tuning=("1", "2", "3"),
        formats=("E8 errors", "int8 weights", "E8, int8 weights", "sum of 4"),
    )

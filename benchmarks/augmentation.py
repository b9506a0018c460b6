# SPDX-License-Identifier: Apache-2.0
"""What augmentation is worth: the same runs with and without, on windows and on images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.data import RawSamples, digits
from benchmarks.guard import dataset
from benchmarks.nets.digits import recipe
from benchmarks.tasks import fashion, watch
from mcutrain.host.building.library import in_process
from mcutrain.host.training.augmentation import Augmentation
from mcutrain.host.training.dataset import Dataset
from mcutrain.host.training.loop import TrainingOptions, train
from mcutrain.host.training.runner import Runner
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.model import Model
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import load
from mcutrain.trainer.training_plan import TrainingPlan

SHOTS = 10  # digits of each class to learn from
INTRODUCTION = """\
The same trainings with `--augment` and without, points of accuracy on test samples: ten people's
left wrists from five windows of each exercise; digits of other writers, turned by 90 degrees, from
ten of each; classes 5 to 9 of Fashion-MNIST from 100 images of each. Pairs have the same seed, and
so the same samples in the same order."""


@dataclass(frozen=True)
class Setting:
    """One net, its runs, and the augmentations to try."""

    name: str
    model: Callable[[], Model]
    options: PlanOptions
    training: TrainingOptions
    dataset: Callable[[str, int], Dataset]
    groups: tuple[str, ...]
    seeds: int
    tried: tuple[str, ...]


def settings() -> Iterator[Setting]:
    """Raises DataUnavailable."""
    task = watch.task()
    yield Setting(
        "watch", task.model, PlanOptions("last:2"), TrainingOptions(30), task.dataset, task.groups,
        4, ("shift=0.1", "gain=0.2", "noise=0.1", "mixup=0.5", "shift=0.1,gain=0.2,noise=0.1"),
    )  # fmt: skip
    turned = quarter_turned(digits.other_writers())
    yield Setting(
        "digits, turned", lambda: load(recipe().file()), PlanOptions("last:2"), TrainingOptions(20),
        lambda group, seed: dataset(turned, SHOTS, seed), ("",), 10,
        ("shift=0.125", "crop=0.125", "noise=0.2"),
    )  # fmt: skip
    task = fashion.task()
    yield Setting(
        "fashion", task.model, PlanOptions("last:4", classes=task.classes),
        TrainingOptions(9, 2.0**-5), task.dataset, task.groups, 6, ("crop=0.08", "flip=0.5"),
    )  # fmt: skip


def quarter_turned(samples: RawSamples) -> RawSamples:
    """The images, turned by 90 degrees."""
    return RawSamples(np.ascontiguousarray(np.rot90(samples.x, 1, (1, 2))), samples.y)


def accuracies(
    plan: TrainingPlan, runner: Runner, setting: Setting, asked: str | None, seeds: int
) -> Array:
    """In percent, of each group and seed."""
    augment = None if asked is None else Augmentation.parse(asked)
    found = []
    for seed in range(seeds):
        for group in setting.groups:
            options = replace(setting.training, seed=seed, augment=augment)
            data = setting.dataset(group, seed)
            after = train(plan, data, runner, options, lambda progress: None).after
            assert after is not None
            found.append(100 * after)
    return np.array(found)


def table(setting: Setting, short: bool) -> Iterator[str]:
    """A line for each augmentation."""
    if short:
        setting = replace(
            setting, training=replace(setting.training, steps=5), groups=setting.groups[:1]
        )
    plan = make_plan(setting.model(), setting.options)
    seeds = 2 if short else setting.seeds
    with in_process(plan) as runner:
        plain = accuracies(plan, runner, setting, None, seeds)
        for asked in setting.tried[: 1 if short else None]:
            changed = accuracies(plan, runner, setting, asked, seeds)
            gained = changed - plain
            error = gained.std(ddof=1) / np.sqrt(len(gained))
            cells = (
                setting.name, f"`{setting.options.update}`", str(setting.training.epochs),
                f"`{asked}`", f"{plain.mean():.2f}", f"{changed.mean():.2f}",
                f"{gained.mean():+.2f} ± {error:.2f}", str(len(gained)),
            )  # fmt: skip
            yield f"| {' | '.join(cells)} |"


def markdown(short: bool = False) -> str:
    """The section of docs/accuracy.md. Raises DataUnavailable."""
    lines = [
        INTRODUCTION,
        "",
        "| task | update | epochs | augmentation | without, % | with, % | gained | pairs |",
        "|---|---|---:|---|---:|---:|---:|---:|",
    ]
    for setting in settings():
        lines += table(setting, short)
    return "\n".join(lines) + "\n"

# SPDX-License-Identifier: Apache-2.0
"""What augmentation is worth: the same runs with and without, on windows and on images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.data import RawSamples, digits
from benchmarks.gains import RATE_SEEDS, gain, quiet, typical_rate
from benchmarks.guard import dataset
from benchmarks.nets.digits import recipe
from benchmarks.tasks import fashion, hapt, watch
from mcutrain.host.building.library import in_process
from mcutrain.host.training.augmentation import Augmentation
from mcutrain.host.training.dataset import Dataset
from mcutrain.host.training.loop import train
from mcutrain.host.training.rate_choice import rate_text
from mcutrain.host.training.runner import Runner
from mcutrain.host.training.training_options import TrainingOptions
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.model import Model
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import load
from mcutrain.trainer.training_plan import TrainingPlan

QUICK_MACS = 10**6  # of a step, below which several searches for a rate take little
SHOTS = 10  # digits of each class to learn from
WINDOWS = ("shift=0.1", "gain=0.2", "noise=0.1", "mixup=0.5", "shift=0.1,gain=0.2,noise=0.1")
INTRODUCTION = """\
The same trainings with `--augment` and without, points of accuracy on test samples: ten people's
left wrists from five windows of each exercise; five people's activities (HAPT) from five windows of
each; digits of other writers, turned by 90 degrees, from ten of each; classes 5 to 9 of
Fashion-MNIST from 100 images of each. Pairs have the same seed, and so the same samples in the same
order; the rates are those that `--lr auto` finds with the augmentation and without."""


@dataclass(frozen=True)
class Setting:
    """One net, its runs, and the augmentations to try."""

    name: str
    model: Callable[[], Model]
    options: PlanOptions
    epochs: int
    dataset: Callable[[str, int], Dataset]
    groups: tuple[str, ...]
    seeds: int
    tried: tuple[str, ...]


def settings() -> Iterator[Setting]:
    """Raises DataUnavailable."""
    task = watch.task()
    yield Setting(
        "watch", task.model, PlanOptions("last:2"), 30, task.dataset, task.groups, 4, WINDOWS
    )
    task = hapt.task()
    yield Setting(
        "hapt", task.model, PlanOptions("last:3"), 10, task.dataset, task.groups, 6, WINDOWS
    )
    turned = quarter_turned(digits.other_writers())
    yield Setting(
        "digits, turned", lambda: load(recipe().file()), PlanOptions("last:2"), 20,
        lambda group, seed: dataset(turned, SHOTS, seed), ("",), 20,
        ("shift=0.125", "crop=0.125", "noise=0.2", "flip=0.5"),
    )  # fmt: skip
    task = fashion.task()
    yield Setting(
        "fashion", task.model, PlanOptions("last:4", classes=task.classes), 9, task.dataset,
        task.groups, 6, ("crop=0.08", "flip=0.5"),
    )  # fmt: skip


def quarter_turned(samples: RawSamples) -> RawSamples:
    """The images, turned by 90 degrees."""
    return RawSamples(np.ascontiguousarray(np.rot90(samples.x, 1, (1, 2))), samples.y)


def options_of(setting: Setting, asked: str | None) -> TrainingOptions:
    return TrainingOptions(
        setting.epochs, augment=None if asked is None else Augmentation.parse(asked)
    )


def rate_of(plan: TrainingPlan, setting: Setting, asked: str | None) -> float:
    """That of the first group, so often as it is quick."""
    seeds = RATE_SEEDS if plan.step_macs < QUICK_MACS else RATE_SEEDS[:1]
    data = (setting.dataset(setting.groups[0], seed) for seed in seeds)
    return typical_rate(plan, data, options_of(setting, asked))


def accuracies(
    plan: TrainingPlan, runner: Runner, setting: Setting, options: TrainingOptions
) -> Array:
    """In percent, of each group and seed."""
    found = []
    for seed in range(setting.seeds):
        for group in setting.groups:
            data = setting.dataset(group, seed)
            after = train(plan, data, runner, replace(options, seed=seed), quiet).after
            assert after is not None
            found.append(100 * after)
    return np.array(found)


def table(setting: Setting) -> Iterator[str]:
    """A line for each augmentation."""
    plan = make_plan(setting.model(), setting.options)
    with in_process(plan) as runner:
        rates, found = dict[str | None, float](), dict[str | None, Array]()
        for asked in (None, *setting.tried):
            rates[asked] = rate_of(plan, setting, asked)
            options = replace(options_of(setting, asked), rate=rates[asked])
            found[asked] = accuracies(plan, runner, setting, options)
    for asked in setting.tried:
        cells = (
            setting.name, f"`{setting.options.update}`", str(setting.epochs), f"`{asked}`",
            f"{found[None].mean():.2f} ({rate_text(rates[None])})",
            f"{found[asked].mean():.2f} ({rate_text(rates[asked])})",
            gain(found[asked], found[None]), str(len(found[asked])),
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
        if short:
            first = replace(setting, epochs=1, seeds=2, groups=setting.groups[:1])
            return "\n".join([*lines, *table(replace(first, tried=setting.tried[:1]))]) + "\n"
        lines += table(setting)
    return "\n".join(lines) + "\n"

# SPDX-License-Identifier: Apache-2.0
"""What enrolment is worth (SPEC 1.11): rows of the head from the means of a few samples of each
class, against SGD on the same samples, and both one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.data import RawSamples, digits, learn_and_test
from benchmarks.data import watch as wrists
from benchmarks.forgetting import KNOWN, clipped, mean
from benchmarks.guard import as_input, quiet
from benchmarks.latents import cached_latents
from benchmarks.nets.digits import recipe
from mcutrain.host.building.library import LibraryRunner, in_process
from mcutrain.host.training.dataset import Dataset
from mcutrain.host.training.loop import train
from mcutrain.host.training.rate_search import find_rate
from mcutrain.host.training.training_options import TrainingOptions
from mcutrain.trainer.enrolment import ALL_CLASSES, enrolled
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.interpreter import Interpreter, pack_state
from mcutrain.trainer.model import Model
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import load
from mcutrain.trainer.training_plan import TrainingPlan

SHOTS = (1, 3, 5)
OLD = 10  # samples of each known digit
SGD, ENROL, BOTH = "SGD", "enrol", "enrol, then SGD"
NEW_HEAD = ", new head"
INTRODUCTION = f"""\
Classes are enrolled from the mean latents of a few samples, in one pass and without a learning rate
([SPEC 1.11](../SPEC.md#111-enrolment)). Against that stands SGD on the same samples, at the rate
that `--lr auto` finds, 30 epochs of exercises and 10 of digits; where digits join, {OLD} old
samples of each known digit are learned again with them, and are what the new ones are told from.
`head`, with the old head or a new one; accuracy on test samples in percent, means with their
standard errors: ten people and 2 seeds, three alterations and 6 seeds, 12 seeds."""


@dataclass(frozen=True)
class EnrolmentSetting:
    """A model, samples by group, seed and number of each class. ``joining`` classes are spare, and
    join those that the old samples are of."""

    name: str
    model: Callable[[], Model]
    dataset: Callable[[str, int, int], Dataset]
    groups: tuple[str, ...]
    seeds: int
    epochs: int = 10
    joining: tuple[int, ...] = ()


def settings() -> Iterator[EnrolmentSetting]:
    """Raises DataUnavailable."""
    people = wrists.load_people()

    def exercises(group: str, seed: int, shots: int) -> Dataset:
        # Seeds differ by the shots: the same five windows would hold the three.
        return wrists.split(*people[int(group)], seed, int(group), shots)

    yield EnrolmentSetting(
        "exercises, left wrist", lambda: load(wrists.EXAMPLE / "watch.tflite"), exercises,
        tuple(map(str, people)), 2, 30,
    )  # fmt: skip
    samples, known = digits.other_writers(), digits.first_writers()

    def altered(group: str, seed: int, shots: int) -> Dataset:
        change = digits.ALTERED[group]
        return dataset_of(RawSamples(change(samples.x), samples.y), shots, seed)

    yield EnrolmentSetting(
        "digits, altered", lambda: load(recipe().file()), altered, tuple(digits.ALTERED), 6
    )
    old = known.take(np.concatenate([np.flatnonzero(known.y == k)[:OLD] for k in range(KNOWN)]))

    def joining(group: str, seed: int, shots: int) -> Dataset:
        found = dataset_of(samples, shots, seed)
        mine = found.y_train >= KNOWN
        return replace(
            found, x_train=found.x_train[mine], y_train=found.y_train[mine],
            x_old=as_input(old.x), y_old=old.y,
        )  # fmt: skip

    yield EnrolmentSetting(
        "digits 8 and 9 join 0 to 7", lambda: load(recipe(KNOWN).file()), joining, ("",), 12,
        joining=tuple(range(KNOWN, digits.CLASSES)),
    )  # fmt: skip


def dataset_of(samples: RawSamples, shots: int, seed: int) -> Dataset:
    learn, test = learn_and_test(samples, shots, seed)
    return Dataset(as_input(learn.x), learn.y, as_input(test.x), test.y)


@dataclass(frozen=True, eq=False)
class Heads:
    """The plan of the head behind the frozen layers, in the generated C, and the whole one."""

    whole: TrainingPlan
    runner: LibraryRunner
    setting: EnrolmentSetting

    def accuracy(self, data: Dataset) -> float:
        predicted = np.array([self.runner.predict(x) for x in data.x_test])
        return 100 * float((predicted == data.y_test).mean())

    def enrolled(self, data: Dataset) -> bytes:
        """The state after enrolment."""
        begun = Interpreter(self.whole)
        state, x, y = begun.state, data.x_train, data.y_train
        if data.x_old is not None and data.y_old is not None:
            begun.set_classes(self.whole.classes)
            state = begun.state
            x, y = np.concatenate([data.x_old, x]), np.concatenate([data.y_old, y])
        for label in self.setting.joining or (ALL_CLASSES,):
            state = enrolled(self.whole, state, x, y, label)
        return pack_state(self.whole, state)

    def trained(self, data: Dataset, seed: int, epochs: int, state: bytes | None) -> float:
        """The accuracy after SGD at the rate that is found."""
        plan, options = self.runner.plan, TrainingOptions(epochs, seed=seed, tests=False)
        options, data = replace(options, balance="off"), with_old(data)
        found = find_rate(plan, data, options, quiet, state)
        train(plan, data, self.runner, replace(options, rate=found.chosen), quiet, state)
        return self.accuracy(data)


def with_old(data: Dataset) -> Dataset:
    """The old samples among those to learn from, the new ones as often as the old ones of a class:
    an epoch replays all."""
    if data.x_old is None or data.y_old is None:
        return data
    shots = int((data.y_train == data.y_train[0]).sum())
    again = np.resize(np.arange(len(data.y_train)), len(data.y_train) * max(1, OLD // shots))
    return replace(
        data, x_train=np.concatenate([data.x_old, data.x_train[again]]),
        y_train=np.append(data.y_old, data.y_train[again]), x_old=None, y_old=None,
    )  # fmt: skip


def as_latents(whole: TrainingPlan, data: Dataset) -> Dataset:
    parts = {name: getattr(data, name) for name in ("x_train", "x_test", "x_old")}
    return replace(
        data, **{name: cached_latents(whole, x) for name, x in parts.items() if x is not None}
    )


def measure(setting: EnrolmentSetting, short: bool) -> dict[tuple[int, str], list[float]]:
    """Accuracies of all runs by shots and method; short is one group, one seed and one sample."""
    model, spare = setting.model(), len(setting.joining)
    epochs = 1 if short else setting.epochs
    groups = setting.groups[:1] if short else setting.groups
    seeds = range(500, 501 if short else 500 + setting.seeds)
    options = PlanOptions("head", spare_classes=spare)
    old = make_plan(model, options, thorough=False)
    cases = [
        (count, seed, as_latents(old, clipped(setting.dataset(group, seed, count), short)))
        for count in (SHOTS[:1] if short else SHOTS) for group in groups for seed in seeds
    ]  # fmt: skip
    heads = {"": options}
    if not setting.joining:
        heads[NEW_HEAD] = replace(options, classes=old.classes)
    found: dict[tuple[int, str], list[float]] = {}
    for head, asked in heads.items():
        whole = make_plan(model, asked, thorough=False)
        assert whole.latents.tensor is not None
        behind = replace(asked, start=whole.latents.tensor.name)
        with in_process(make_plan(model, behind, thorough=False)) as runner:
            runs = Heads(whole, runner, setting)
            for count, seed, data in cases:
                state = runs.enrolled(data)
                runner.load(state)
                found.setdefault((count, ENROL + head), []).append(runs.accuracy(data))
                for name, begin in ((SGD, None), (BOTH, state))[: 1 if head else 2]:
                    right = runs.trained(data, seed, epochs, begin)
                    found.setdefault((count, name + head), []).append(right)
    return found


def best(found: dict[tuple[int, str], list[float]], count: int, names: tuple[str, ...]) -> Array:
    """The runs of the method that is the best in the mean."""
    runs = [np.array(found[count, name]) for name in names if (count, name) in found]
    return max(runs, key=lambda each: float(each.mean()))


def table(rows: dict[str, dict[tuple[int, str], list[float]]]) -> Iterator[str]:
    """A line for each setting and number of samples."""
    methods = (SGD, SGD + NEW_HEAD, ENROL, ENROL + NEW_HEAD, BOTH)
    yield f"| samples | of each class | {' | '.join(methods)} | enrol - SGD, the better heads |"
    yield f"|---|---:{'|---:' * len(methods)}|---:|"
    for setting, found in rows.items():
        for count in sorted({count for count, _ in found}):
            cells = [mean(found[count, m]) if (count, m) in found else "" for m in methods]
            gain = best(found, count, methods[2:4]) - best(found, count, methods[:2])
            yield f"| {setting} | {count} | {' | '.join(cells)} | {mean(gain, '+')} |"


def markdown(short: bool = False) -> str:
    """The section of docs/accuracy.md. Raises DataUnavailable."""
    rows = {setting.name: measure(setting, short) for setting in settings()}
    return "\n".join([INTRODUCTION, "", *table(rows)]) + "\n"


if __name__ == "__main__":
    print(markdown())

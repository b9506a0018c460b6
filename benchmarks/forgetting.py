# SPDX-License-Identifier: Apache-2.0
"""What a training forgets whose samples are of a few classes only: as softmax has it, with the
classes that have no samples left out of it, and with old samples replayed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.data import RawSamples, digits
from benchmarks.guard import as_input, dataset, quiet
from benchmarks.latents import cached_latents
from benchmarks.nets.digits import recipe
from benchmarks.tasks import incremental, watch
from mcutrain.host.building.library import LibraryRunner, in_process
from mcutrain.host.training.dataset import Dataset
from mcutrain.host.training.loop import train
from mcutrain.host.training.rate_search import find_rate
from mcutrain.host.training.replay import streamed, train_stream
from mcutrain.host.training.training_options import TrainingOptions
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.model import Model
from mcutrain.trainer.options import KEEP, LEARN, PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import load
from mcutrain.trainer.training_plan import TrainingPlan

KNOWN = 8  # of the ten digits
SHOTS = 20  # of each digit that is learned
TAUGHT = 3  # classes of those who teach a few
SLOTS = 80
OLD = 10  # samples of each known class, for the replay
EPOCHS = 10
METHODS = {"learn": (LEARN, False), "keep": (KEEP, False), "replay": (LEARN, True)}
INTRODUCTION = f"""\
The data hold samples of a few classes only. `--absent learn` pushes all others down, `--absent
keep`, the default where the few are new, leaves the others out of softmax and error; `--replay`
also has old samples of the others ({OLD} of each digit, {incremental.OLD} of each class of
Fashion-MNIST). `head`, {EPOCHS} epochs (30 of exercises, one pass with replay), `--lr
auto`; accuracy on test samples in percent, of the classes with samples ("theirs"), of the others,
and of all; means with their standard errors."""


@dataclass(frozen=True)
class Setting:
    """A model, who trains it with what, and the number of seeds of each group."""

    name: str
    model: Callable[[], Model]
    dataset: Callable[[str, int], Dataset]
    seeds: int
    groups: tuple[str, ...] = ("",)
    spare: int = 0
    epochs: int = EPOCHS
    has_old: bool = True


@dataclass(frozen=True)
class Accuracy:
    """In percent: of the classes with samples, of the others, of all."""

    theirs: float
    others: float
    all: float


def settings() -> Iterator[Setting]:
    """Raises DataUnavailable."""
    samples = digits.other_writers()
    known = digits.first_writers()
    old = known.take(
        np.concatenate([np.flatnonzero(known.y == k)[:OLD] for k in range(digits.CLASSES)])
    )

    def some_digits(seed: int, taught: Array, written: RawSamples = samples) -> Dataset:
        found = dataset(written, SHOTS, seed)
        mine, kept = np.isin(found.y_train, taught), ~np.isin(old.y, taught)
        return replace(
            found, x_train=found.x_train[mine], y_train=found.y_train[mine],
            x_old=as_input(old.x[kept]), y_old=old.y[kept],
        )  # fmt: skip

    def new_digits(group: str, seed: int) -> Dataset:
        return some_digits(seed, np.arange(KNOWN, digits.CLASSES))

    def drawn_digits(group: str, seed: int) -> Dataset:
        return some_digits(seed, drawn(seed, digits.CLASSES))

    yield Setting(
        "digits 8 and 9 join 0 to 7", lambda: load(recipe(KNOWN).file()), new_digits, 18,
        spare=digits.CLASSES - KNOWN,
    )  # fmt: skip
    task = incremental.task()

    def new_clothes(group: str, seed: int) -> Dataset:
        found = task.dataset(group, seed)
        new = found.y_train >= incremental.KNOWN
        return replace(
            found, x_train=found.x_train[new], y_train=found.y_train[new],
            x_old=found.x_train[~new], y_old=found.y_train[~new],
        )  # fmt: skip

    yield Setting("Fashion-MNIST: 8 and 9 join 0 to 7", task.model, new_clothes, 4)
    yield Setting("three digits of ten", lambda: load(recipe().file()), drawn_digits, 18)
    thick = RawSamples(digits.thickened(samples.x), samples.y)
    yield Setting(
        "three digits of ten, thickened", lambda: load(recipe().file()),
        lambda group, seed: some_digits(seed, drawn(seed, digits.CLASSES), thick), 18,
    )  # fmt: skip
    people = watch.task()

    def exercises(group: str, seed: int) -> Dataset:
        found = people.dataset(group, seed)
        mine = np.isin(found.y_train, drawn(seed, 7))
        return replace(found, x_train=found.x_train[mine], y_train=found.y_train[mine])

    yield Setting(
        "three exercises of seven, ten people", people.model, exercises, 2, people.groups,
        epochs=people.epochs, has_old=False,
    )  # fmt: skip


def drawn(seed: int, classes: int) -> Array:
    """The classes of those who teach TAUGHT of them."""
    return np.random.default_rng([seed, 7]).permutation(classes)[:TAUGHT]


def accuracy(data: Dataset, predicted: Array) -> Accuracy:
    right, theirs = predicted == data.y_test, np.isin(data.y_test, data.y_train)
    parts = (right[theirs], right[~theirs], right)
    return Accuracy(*(100 * float(part.mean()) for part in parts))


def trained(
    plan: TrainingPlan, data: Dataset, runner: LibraryRunner, options: TrainingOptions, is_old: bool
) -> Accuracy:
    """What comes of one training at the rate that is found for it."""
    if is_old:
        all_, ordered, _ = streamed(plan, data, SLOTS, options, None)
        found = find_rate(plan, all_, ordered, quiet)
        train_stream(plan, data, runner, SLOTS, replace(options, rate=found.chosen), quiet)
    else:
        found = find_rate(plan, data, options, quiet)
        train(plan, data, runner, replace(options, rate=found.chosen), quiet)
    return accuracy(data, np.array([runner.predict(x) for x in data.x_test]))


def behind_prefix(model: Model, spare: int, absent: str, whole: TrainingPlan) -> TrainingPlan:
    """The plan of the head alone, whose steps have the bits of the whole."""
    start = None if whole.latents.tensor is None else whole.latents.tensor.name
    return make_plan(model, PlanOptions("head", spare_classes=spare, absent=absent, start=start))


def measure(setting: Setting, short: bool) -> dict[str, list[Accuracy]]:
    """The accuracies of all runs by method, "before" first; short is one group and seed."""
    model = setting.model()
    whole = make_plan(model, PlanOptions("head", spare_classes=setting.spare))
    groups, seeds = (setting.groups[:1], 1) if short else (setting.groups, setting.seeds)
    cases = [
        (seed, as_latents(whole, clipped(setting.dataset(group, seed), short)))
        for group in groups
        for seed in range(400, 400 + seeds)
    ]
    found: dict[str, list[Accuracy]] = {"before": []}
    for name, (absent, is_old) in METHODS.items():
        if is_old and not setting.has_old:
            continue
        plan = behind_prefix(model, setting.spare, absent, whole)
        with in_process(plan) as runner:
            for seed, data in cases:
                if name == LEARN:
                    runner.reset(0)
                    predicted = np.array([runner.predict(x) for x in data.x_test])
                    found["before"].append(accuracy(data, predicted))
                options = TrainingOptions(
                    1 if short else setting.epochs, seed=seed, tests=False, balance="off"
                )
                found.setdefault(name, []).append(trained(plan, data, runner, options, is_old))
    return found


def clipped(data: Dataset, short: bool) -> Dataset:
    """A short run looks at a few test samples."""
    return replace(data, x_test=data.x_test[:20], y_test=data.y_test[:20]) if short else data


def as_latents(whole: TrainingPlan, data: Dataset) -> Dataset:
    """The samples as what the frozen layers make of them."""
    parts = {name: getattr(data, name) for name in ("x_train", "x_test", "x_old")}
    made = {name: cached_latents(whole, x) for name, x in parts.items() if x is not None}
    return replace(data, **made)


def table(rows: dict[str, dict[str, list[Accuracy]]]) -> Iterator[str]:
    """A line for each setting and method."""
    yield "| samples | method | theirs | others | all | change of all |"
    yield "|---|---|---|---|---|---|"
    for setting, methods in rows.items():
        before = np.array([each.all for each in methods["before"]])
        for method, found in methods.items():
            cells = [mean([getattr(each, kind) for each in found]) for kind in vars(found[0])]
            change = np.array([each.all for each in found]) - before
            name = method if method == "before" else f"`--{called(method)}`"
            cells.append("" if method == "before" else mean(change, "+"))
            yield f"| {setting} | {name} | {' | '.join(cells)} |"


def called(method: str) -> str:
    return method if method == "replay" else f"absent {method}"


def mean(values: list[float] | Array, sign: str = "") -> str:
    """With its standard error, if there are several."""
    error = np.std(values, ddof=1) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return f"{np.mean(values):{sign}.1f} ± {error:.1f}"


def markdown(short: bool = False) -> str:
    """The section of docs/accuracy.md. Raises DataUnavailable."""
    chosen = [*settings()][:: 4 if short else 1]
    rows = {setting.name: measure(setting, short) for setting in chosen}
    return "\n".join([INTRODUCTION, "", *table(rows)]) + "\n"

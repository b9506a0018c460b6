# SPDX-License-Identifier: Apache-2.0
"""What folds make of a training: each is one that leaves its samples out, and judges by them."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from mcutrain.host.training import fold_guard, in_process
from mcutrain.host.training.augmentation import Augmentation
from mcutrain.host.training.dataset import Dataset
from mcutrain.host.training.evaluation import classes_in_use, evaluation
from mcutrain.host.training.fold_decision import FoldDecision
from mcutrain.host.training.fold_guard import borrowed, decide
from mcutrain.host.training.folds import Fold, Pool
from mcutrain.host.training.in_process import in_process_runner
from mcutrain.host.training.latents import CachedRunner
from mcutrain.host.training.loop import train
from mcutrain.host.training.progress import Progress
from mcutrain.host.training.replay import train_stream
from mcutrain.host.training.runner import Runner, answer
from mcutrain.host.training.runners import ReferenceRunner
from mcutrain.host.training.training_options import TrainingOptions
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import parse
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.autoencoder import autoencoder
from tests.support.guarded import TOO_LARGE, samples, silent, small_plan
from tests.support.small_models import CLASSES

GOOD = 0.25
OPTIONS = TrainingOptions(2, GOOD, seed=1)


@cache
def plan_of(update: str = "head", **options: Any) -> TrainingPlan:
    return small_plan(update, **options)


def decided(
    plan: TrainingPlan, data: Dataset, options: TrainingOptions = OPTIONS, **more: Any
) -> FoldDecision:
    return decide(plan, data, options, borrowed(ReferenceRunner(plan)), silent, **more)


def by_hand(plan: TrainingPlan, data: Dataset, options: TrainingOptions, held: Array) -> list[Any]:
    """(right, loss) of held-out samples, by what a run of its own learns from the others."""
    rest, runner = np.setdiff1d(np.arange(len(data.x_train)), held), ReferenceRunner(plan)
    mine = replace(data, x_train=data.x_train[rest], y_train=data.y_train[rest])
    train(plan, mine, runner, options, silent)
    classes = classes_in_use(plan, runner.state())
    return judged(plan, runner, data.x_train[held], data.y_train[held], classes)


def judged(plan: TrainingPlan, runner: Runner, x: Array, y: Array, classes: int) -> list[Any]:
    """(right, loss) of each sample."""
    found = evaluation(plan, x, y, classes, [answer(plan, runner, sample) for sample in x])
    return list(zip(found.right, found.losses, strict=True))


def assert_as_by_hand(
    plan: TrainingPlan, data: Dataset, options: TrainingOptions = OPTIONS
) -> FoldDecision:
    found = decided(plan, data, options)
    folds = Pool.of(data, False).folds(plan, 1, False)
    first = replace(options, steps=0)
    before = [pair for fold in folds for pair in by_hand(plan, data, first, fold.held)]
    after = [pair for fold in folds for pair in by_hand(plan, data, options, fold.held)]

    assert list(zip(found.before.right, found.before.loss, strict=True)) == before
    assert list(zip(found.after.right, found.after.loss, strict=True)) == after
    assert found.steps == sum(options.epochs * len(fold.learned) for fold in folds)
    return found


def test_each_fold_is_predicted_by_what_learned_from_the_others() -> None:
    found = assert_as_by_hand(plan_of(), samples(5))

    assert found.helps and found.trainings == 5
    assert found.classes == dict.fromkeys(range(CLASSES), 5)


def test_samples_that_are_augmented_are_judged_as_they_are() -> None:
    """And each step has one of its own, so no latents are kept."""
    options = replace(OPTIONS, epochs=1, augment=Augmentation.parse("noise=0.5"))
    found = assert_as_by_hand(plan_of(), samples(5), options)
    plain = decided(plan_of(), samples(5), replace(options, augment=None))

    assert (found.before.loss == plain.before.loss).all()
    assert (found.after.loss != plain.after.loss).any()


def test_frozen_layers_run_once_for_all_folds(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = list[CachedRunner]()

    def seen(*args: Any) -> Any:
        kept.append(in_process.with_host_latents(*args))
        return kept[-1]

    monkeypatch.setattr(fold_guard, "with_host_latents", seen)
    found = decided(plan_of(), samples(5))

    assert kept[0].saving.computed == 5 * CLASSES
    assert kept[0].saving.reused >= found.steps


def test_a_rate_that_breaks_what_was_learned_does_not_help() -> None:
    plan, data = plan_of(), samples(5)
    learned = train(plan, data, ReferenceRunner(plan), replace(OPTIONS, epochs=6), silent).state
    broken = decided(plan, data, replace(OPTIONS, rate=TOO_LARGE), state=learned)
    anew = decided(plan, data, OPTIONS)

    assert anew.helps and not broken.helps
    assert broken.before.mean_loss < anew.before.mean_loss  # judged from the state that was given


def test_the_decision_is_of_the_seed_and_leaves_no_other_mark() -> None:
    plan, data = plan_of(), samples(2)
    one, again, other = (decided(plan, data, replace(OPTIONS, seed=seed)) for seed in (1, 1, 2))
    runner = ReferenceRunner(plan)
    alone = train(plan, data, runner, OPTIONS, silent)
    decide(plan, data, OPTIONS, borrowed(runner), silent)

    assert (one.after.loss == again.after.loss).all()
    assert one.after.mean_loss != other.after.mean_loss
    assert train(plan, data, runner, OPTIONS, silent).state == alone.state


@pytest.mark.slow
def test_the_generated_c_decides_as_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_process, "QUICK_SECONDS", 0.0)
    plan, data = plan_of("last:2"), samples(5)
    in_c = decide(plan, data, OPTIONS, in_process_runner, silent)
    in_python = decided(plan, data)

    assert (in_c.after.loss == in_python.after.loss).all()
    assert (in_c.after.right == in_python.after.right).all()


def test_steps_are_shared_among_the_samples_that_are_left() -> None:
    """A run of 20 steps on 20 samples has 16 on the 16 that a fold learns from."""
    found = decided(plan_of(), samples(5), replace(OPTIONS, steps=20))

    assert found.steps == 5 * 16


def test_a_budget_shortens_each_fold_alike() -> None:
    """20 epochs of 20 samples; a budget of nearly nothing leaves 50 steps, of which a fold has
    four fifths."""
    options = replace(OPTIONS, epochs=20, steps=None)
    whole, cut = (
        decided(plan_of(), samples(5), options),
        decided(plan_of(), samples(5), options, minutes=1e-9),
    )

    assert (whole.shortened, whole.steps) == (None, 5 * 20 * 16)
    assert (cut.shortened, cut.steps) == (50, 5 * 40)
    assert "of the first 50 steps each (--guard-minutes gives more)" in cut.told()
    assert cut.to_json()["shortened_to"] == 50


def test_the_share_that_is_done_never_falls() -> None:
    seen = list[Progress]()
    plan = plan_of()
    decide(plan, samples(5), OPTIONS, borrowed(ReferenceRunner(plan)), seen.append)

    assert {(p.phase, p.total) for p in seen} == {("guard", 100)}
    done = [p.done for p in seen]
    assert done == sorted(done) and done[-1] == 100


# Samples of which there are few.


def taken(data: Dataset, counts: dict[int, int]) -> Dataset:
    """So many samples of each class."""
    keep = np.concatenate([np.flatnonzero(data.y_train == c)[:n] for c, n in counts.items()])
    return replace(data, x_train=data.x_train[keep], y_train=data.y_train[keep])


def test_a_class_of_one_is_learned_from_but_not_judged() -> None:
    found = decided(plan_of(), taken(samples(6), {0: 6, 1: 1, 2: 2, 3: 3}))

    assert found.unjudged == [1] and len(found.before.loss) == 11
    assert "not judged, with one sample each: label 1" in found.told()


def test_a_class_may_be_missing_or_alone() -> None:
    some = decided(plan_of(), taken(samples(6), {0: 6, 2: 6}))
    alone = decided(plan_of(), taken(samples(6), {2: 6}))

    assert some.helps and some.classes == {0: 6, 2: 6}
    assert alone.after.right.all() and not alone.helps


def test_a_new_class_is_in_use_before_it_is_judged() -> None:
    """Its samples are wrong before, not out of range."""
    plan = plan_of(classes=3, spare_classes=2)
    found = decided(plan, samples(5))

    assert len(found.before.loss) == 20 and found.classes[3] == 5
    assert not found.before.right[
        np.isin(np.arange(20), np.flatnonzero(found.before.loss > 9))
    ].any()
    assert found.helps


# Values.


def values() -> Dataset:
    """Targets that follow from the class of a sample."""
    data, rng = samples(3), np.random.default_rng(0)
    table = rng.integers(-60, 60, (CLASSES, CLASSES)).astype(np.int8)
    return replace(data, y_train=table[data.y_train], y_test=table[data.y_test])


def test_values_are_judged_by_their_squared_error() -> None:
    plan = plan_of(loss="mse")
    options = replace(OPTIONS, rate=2.0**-7)
    found = assert_as_by_hand(plan, values(), options)

    assert found.helps and found.metric == "mse"
    assert found.classes == {} and not found.after.right.any()
    assert not decided(plan, values(), replace(options, rate=TOO_LARGE)).helps


def test_a_reconstruction_is_judged_by_its_squared_error() -> None:
    plan = make_plan(parse(autoencoder(), "auto"), PlanOptions("full", loss="reconstruction"))
    rng = np.random.default_rng(0)
    x = (rng.integers(-90, 90, 12) + rng.integers(-9, 9, (10, 12))).astype(np.int8)
    nothing = np.zeros((10, 0), np.int8)
    options = replace(OPTIONS, epochs=3, rate=2.0**-5)
    found = assert_as_by_hand(plan, Dataset(x, nothing, x[:2], nothing[:2]), options)

    assert found.helps and found.metric == "mse"


# Streams.


def stream() -> Dataset:
    """Two old classes, of which there are samples, then two new ones."""
    data = samples(10)
    old = data.y_train < 2
    x, y = data.x_train, data.y_train
    return replace(data, x_train=x[~old], y_train=y[~old], x_old=x[old], y_old=y[old])


@pytest.mark.parametrize("augment", [None, "gain=0.3"])
def test_a_stream_is_judged_by_stretches_of_it(
    augment: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, data = plan_of(), stream()
    options = replace(OPTIONS, augment=None if augment is None else Augmentation.parse(augment))
    given = list[Dataset]()

    def seen(plan: TrainingPlan, data: Dataset, *rest: Any, **more: Any) -> Any:
        given.append(data)
        return train_stream(plan, data, *rest, **more)

    monkeypatch.setattr(fold_guard, "train_stream", seen)
    found = decided(plan, data, options, replay=8, ratio=2)
    pool = Pool.of(data, True)
    folds = pool.folds(plan, 1, True)

    assert found.trainings == len(folds) == 5 and len(given) == 6  # one for the state before
    assert found.classes == dict.fromkeys(range(CLASSES), 10)
    assert found.steps == 5 * 16 * 3  # each new sample, and two replays
    for fold, mine in zip(folds, given[1:], strict=True):
        assert_without(pool, fold, mine)
    last = ReferenceRunner(plan)
    train_stream(plan, given[-1], last, 8, options, silent, 2)
    held = folds[-1].held
    after = judged(plan, last, pool.x[held], pool.y[held], 0)
    assert [loss for _, loss in after] == list(found.after.loss[-len(after) :])


def assert_without(pool: Pool, fold: Fold, mine: Dataset) -> None:
    """The fold's data has all samples of the pool, in their order, but those held out."""
    assert mine.x_old is not None
    assert (np.concatenate([mine.x_old, mine.x_train]) == pool.x[fold.learned]).all()
    assert len(mine.x_old) == (fold.learned < pool.old).sum()


@pytest.mark.parametrize("value", [-128, 0])
def test_samples_that_are_alike_do_not_help(value: int) -> None:
    """Most have one label, which a training without the guard learns to give."""
    plan, data = plan_of(), stream()
    x = np.full_like(data.x_train, value)
    known = ReferenceRunner(plan).predict(x[0])
    y = np.full_like(data.y_train, (known + 1) % CLASSES)
    y[::4] = known
    options = replace(OPTIONS, rate=2.0**-5)
    found = decided(plan, replace(data, x_train=x, y_train=y, x_old=None, y_old=None), options)

    assert found.alike and not found.helps and replace(found, alike=False).helps
    x[0, 0] = 5
    data = replace(data, x_train=x, y_train=y, x_old=None, y_old=None)
    assert not decided(plan, data, options).alike


def test_a_stream_of_one_new_sample_is_judged_by_old_ones() -> None:
    """The fold that holds it out has no step to do."""
    data = stream()
    data = replace(data, x_train=data.x_train[:1], y_train=np.array([0]))
    found = decided(plan_of(), data, replay=8)

    assert found.trainings == 5 and len(found.before.loss) == 21
    assert found.steps == 4 * 2

# SPDX-License-Identifier: Apache-2.0
"""Augmentation: each operation in integers, by hand; what it may be asked for; that it replays."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest

from mcutrain.host.building.library import in_process
from mcutrain.host.training.augmentation import (
    ONE,
    OPERATIONS,
    SUM_OF_FOUR,
    Augmentation,
    Augmenter,
    Draws,
    moved,
    spread,
)
from mcutrain.host.training.dataset import Dataset
from mcutrain.host.training.feed import Feed, augmented_stream, decided_balance, feed_notes
from mcutrain.host.training.loop import train
from mcutrain.host.training.replay import train_stream
from mcutrain.host.training.runners import ReferenceRunner
from mcutrain.host.training.training_options import TrainingOptions
from mcutrain.trainer.errors import DataError
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.interpreter import StepRecord
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import load, parse
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.autoencoder import autoencoder
from tests.support.paths import WATCH
from tests.support.small_models import CLASSES, SHAPE, residual_model

ZERO = 3  # of the small model's input
GOLDEN = [-73, 43, 77, -41, -40, 55, 7, 16, 82, -79, -45, -30]
GOLDEN_SUM = -70689
ALL = "mixup=0.3,flip=0.5,shift=0.2,crop=0.3,gain=0.2,noise=0.1"


@lru_cache
def small(**options: object) -> TrainingPlan:
    return make_plan(parse(residual_model(), "small"), PlanOptions("head", **options))  # type: ignore[arg-type]


@lru_cache
def data(count: int = 24) -> Dataset:
    rng = np.random.default_rng(0)
    x = rng.integers(-90, 90, (count, int(np.prod(SHAPE)))).astype(np.int8)
    y = np.arange(count) % CLASSES
    return Dataset(x, y, x[:4], y[:4])


def augmenter(asked: str, seed: int = 1, of: Dataset | None = None) -> Augmenter:
    return Augmenter(Augmentation.parse(asked), small(), data() if of is None else of, seed)


def images(asked: str, count: int = 60) -> list[Array]:
    """Sample 0 in as many steps, (rows, columns, channels)."""
    make = augmenter(asked)
    return [make(step, 0)[0].reshape(SHAPE[1:]) for step in range(count)]


def original() -> Array:
    return data().x_train[0].reshape(SHAPE[1:])


def test_what_becomes_of_a_sample_never_changes() -> None:
    """Golden values: files of a training that is stopped go on with them, on every computer."""
    sample, target = augmenter(ALL, seed=7)(5, 3)

    assert sample[:12].tolist() == GOLDEN and target == 3
    assert int(sample.astype(np.int64) @ np.arange(len(sample))) == GOLDEN_SUM


def test_it_follows_from_seed_step_and_sample() -> None:
    make = augmenter(ALL)
    first = make(5, 3)[0]

    assert np.array_equal(first, augmenter(ALL)(5, 3)[0])
    others = (augmenter(ALL, seed=2)(5, 3)[0], make(6, 3)[0], make(5, 7)[0])
    assert not any(np.array_equal(first, other) for other in others)


def test_a_shift_moves_along_the_first_axis_and_repeats_the_edge() -> None:
    """A fifth of 9 rows: by one at most."""
    x = original()
    wanted = {by: moved(x, 0, by) for by in (-1, 0, 1)}

    assert np.array_equal(wanted[1], np.concatenate([x[:1], x[:-1]]))
    assert np.array_equal(wanted[-1], np.concatenate([x[1:], x[-1:]]))
    assert np.array_equal(wanted[0], x)
    seen = [
        next(by for by, w in wanted.items() if np.array_equal(w, s)) for s in images("shift=0.2")
    ]
    assert set(seen) == {-1, 0, 1}


def test_a_crop_moves_along_both_axes() -> None:
    """0.3 of 9 x 7: by two at most, each way."""
    padded = np.pad(original(), ((2, 2), (2, 2), (0, 0)), mode="edge")
    wanted = {
        padded[top : top + 9, left : left + 7].tobytes() for top in range(5) for left in range(5)
    }
    seen = {s.tobytes() for s in images("crop=0.3", 400)}

    assert seen == set(wanted)


def test_a_flip_mirrors_every_row_about_as_often_as_asked() -> None:
    """Binomial with n = 400, p = 1/4: standard deviation 8.7, bound 5 of them."""
    found = images("flip=0.25", 400)
    flipped = [np.array_equal(s, original()[:, ::-1]) for s in found]
    same = [np.array_equal(s, original()) for s in found]

    assert sum(flipped) + sum(same) == 400
    assert abs(sum(flipped) - 100) < 44


def test_a_gain_is_about_the_zero_point() -> None:
    x = original().astype(np.int64) - ZERO
    for sample in images("gain=0.25"):
        y = sample.astype(np.int64) - ZERO
        big = np.abs(x) > 60
        factors = (y[big] + np.array([[-0.5], [0.5]])) / x[big]
        low, high = factors.min(axis=0).max(), factors.max(axis=0).min()
        assert low <= high + 1e-9  # one factor explains all of them, rounded to the nearest
        assert low > 0.74 and high < 1.26
        assert (y[x == 0] == 0).all()


def test_noise_has_the_standard_deviation_of_its_channel() -> None:
    """0.5 of each channel's: its own estimate from 3,780 values has a standard error of 1.2 %,
    rounding adds 1/12 to the variance; 6 % is five of them."""
    noise = np.stack(images("noise=0.5")).astype(np.int64) - original()
    channels = data().x_train.reshape(-1, SHAPE[-1]).std(axis=0)

    assert np.allclose(noise.reshape(-1, 3).std(axis=0), 0.5 * channels, rtol=0.06)
    assert np.array_equal(spread(data().x_train.reshape(-1, 3)) >> 16, channels.astype(np.int64))


def test_noise_of_constant_channels_is_none() -> None:
    still = replace(data(), x_train=np.full_like(data().x_train, 5))

    assert (augmenter("noise=2", of=still)(0, 0)[0] == 5).all()


def test_mixup_stays_within_the_class() -> None:
    """Half of another at most: with classes of one value each, nothing else can come in."""
    values = (20 * data().y_train[:, None]).astype(np.int8)
    flat = replace(data(), x_train=np.repeat(values, data().x_train.shape[1], axis=1))
    make = augmenter("mixup=0.5", of=flat)

    for index in range(24):
        sample, target = make(index, index)
        assert (sample == 20 * target).all() and target == flat.y_train[index]
    mixed = {augmenter("mixup=0.5")(step, 0)[0].tobytes() for step in range(20)}
    assert len(mixed) > 15


def test_mixup_mixes_values_that_are_targets() -> None:
    plan = make_plan(parse(residual_model(), "small"), PlanOptions("head", loss="mse"))
    x = np.repeat(np.array([[0], [100]], np.int8), data().x_train.shape[1], axis=1)
    y = np.repeat(np.array([[-50], [50]], np.int8), CLASSES, axis=1)
    make = Augmenter(Augmentation.parse("mixup=0.5"), plan, Dataset(x, y, x, y), 0)
    found = [make(step, 0) for step in range(40)]

    assert all(target.dtype == np.int8 for _, target in found)
    assert all((target == sample[0] - 50).all() for sample, target in found)
    assert max(sample[0] for sample, _ in found) > 30


def test_values_end_at_the_limits_of_int8() -> None:
    loud = replace(data(), x_train=np.full_like(data().x_train, 127))
    found = np.stack([augmenter("gain=1", of=loud)(step, 0)[0] for step in range(40)])

    assert found.max() == 127 and found.min() < 30


def test_the_draws_are_even_and_about_normal() -> None:
    draws = Draws(1, 2, 3)
    counts = np.bincount([draws.below(5) for _ in range(5000)], minlength=5)
    z = draws.normal(20000)

    assert np.abs(counts - 1000).max() < 142  # binomial: 5 standard deviations of 28.3
    assert abs(z.mean()) < 5 * SUM_OF_FOUR / np.sqrt(20000)
    assert abs(z.std() / SUM_OF_FOUR - 1) < 5 / np.sqrt(40000)


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ("blur=1", "--augment: unknown 'blur': give mixup, flip, shift, crop, gain, noise"),
        ("", "--augment: unknown ''"),
        ("noise", "noise is '': give a number above 0, 2 at most, such as noise=0.4"),
        ("noise=nan", "noise is 'nan'"),
        ("noise=inf", "noise is 'inf'"),
        ("shift=0.6", "shift is '0.6': give a number above 0, 0.5 at most, such as shift=0.1"),
        ("gain=0", "gain is '0'"),
        ("flip=-1", "flip is '-1'"),
        ("noise=1,noise=2", "noise is given twice: give it once"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(asked: str, text: str) -> None:
    with pytest.raises(DataError) as found:
        Augmentation.parse(asked)

    assert text in str(found.value) and "\n" not in str(found.value)


def test_each_operation_can_be_asked_for() -> None:
    assert str(Augmentation.parse(ALL)) == ALL
    assert set(Augmentation.parse(ALL).names) == set(OPERATIONS)


@pytest.mark.parametrize("asked", ["flip=0.5", "crop=0.1"])
def test_a_window_in_time_is_no_image(asked: str) -> None:
    plan = make_plan(load(WATCH / "watch.tflite"), PlanOptions("head"))

    with pytest.raises(DataError, match=r"is for an image, but a sample is 50x1x6 .*leave"):
        decided_balance(plan, data(), options(asked), is_stream=False)


def test_features_have_nothing_to_shift_along() -> None:
    plan = make_plan(parse(autoencoder(), "auto"), PlanOptions("head", loss="reconstruction"))

    with pytest.raises(DataError, match="shift is for a window in time, but a sample is 1x1x"):
        decided_balance(plan, data(), options("shift=0.5"), is_stream=False)


def test_a_shift_of_less_than_a_row_would_do_nothing() -> None:
    with pytest.raises(DataError, match=r"shift=0.1 moves the 9 steps .* give shift=0.112 or more"):
        augmenter("shift=0.1")
    augmenter("shift=0.112")


def options(asked: str, **more: object) -> TrainingOptions:
    return TrainingOptions(2, seed=3, augment=Augmentation.parse(asked), **more)  # type: ignore[arg-type]


class Watched(ReferenceRunner):
    """Remembers what it learned from, and what was announced."""

    def __init__(self, plan: TrainingPlan) -> None:
        super().__init__(plan)
        self.seen: list[Array] = []
        self.announced: list[Array] = []

    def announce(self, sample: Array, target: Array) -> None:
        self.announced.append(sample)

    def step(self, sample: Array, target: Array, wants_digest: bool) -> tuple[StepRecord, int]:
        self.seen.append(sample)
        return super().step(sample, target, wants_digest)


def test_a_verified_run_is_equal_in_c_and_goes_on_as_it_would_have() -> None:
    plan, watched = small(), Watched(small())
    whole = train(plan, data(), watched, options(ALL, verify=True), lambda progress: None)
    with in_process(plan) as runner:
        in_c = train(plan, data(), runner, options(ALL, verify=True), lambda progress: None)
    half = train(plan, data(), Watched(plan), options(ALL, steps=17), lambda progress: None)
    rest = Watched(plan)
    train(plan, data(), rest, options(ALL), lambda progress: None, state=half.state)

    assert whole.bit_exact and in_c.bit_exact and in_c.state == whole.state
    assert all(map(np.array_equal, rest.seen, watched.seen[17:]))
    # The first sample of each of the two epochs is not announced.
    following = [*watched.seen[1:24], *watched.seen[25:]]
    assert all(map(np.array_equal, watched.announced, following))
    assert len(watched.announced) == len(following)
    assert len({sample.tobytes() for sample in watched.seen}) == 48


def test_a_stream_changes_a_sample_once_as_it_arrives() -> None:
    plan, stream = small(), replace(data(), x_old=data().x_train[:8], y_old=data().y_train[:8])
    watched = Watched(plan)
    asked = options("noise=0.3", verify=True)
    result, _ = train_stream(plan, stream, watched, 8, asked, lambda progress: None, place="off")
    assert asked.augment is not None
    changed = augmented_stream(plan, stream, asked.augment, 3, 0)
    new = {sample.tobytes() for sample in changed.x_train}
    old = {sample.tobytes() for sample in data().x_train[:8]}

    assert result.bit_exact and {sample.tobytes() for sample in watched.seen} <= new | old
    assert new <= {sample.tobytes() for sample in watched.seen}
    with pytest.raises(DataError, match=r"mixup needs other samples.*leave mixup out"):
        decided_balance(plan, stream, options("mixup=0.1"), is_stream=True)


def test_that_frozen_layers_run_in_every_step_is_said() -> None:
    (note,) = feed_notes(small(), data(), options("gain=0.1"), is_stream=False)

    assert str(note).startswith(
        "note: --augment gives each step a sample of its own, so no latents"
    )
    assert not list(feed_notes(small(), data(), TrainingOptions(), is_stream=False))


def test_a_feed_without_augmentation_gives_the_samples_themselves() -> None:
    feed = Feed(small(), data(), TrainingOptions(1), seed=3, first_step=0)

    for k, index in enumerate(feed.order):
        sample, target = feed.at(k)
        assert sample is not None and np.shares_memory(sample, data().x_train)
        assert target == data().y_train[index]
    assert ONE == 65536

# SPDX-License-Identifier: Apache-2.0
"""Rows of the head from the means of kept latents (SPEC 1.11): what they are, and that the
generated C writes the same."""

from __future__ import annotations

import ctypes
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mcutrain.host.building.library import LibraryRunner, in_process
from mcutrain.trainer.enrolment import ALL_CLASSES, checked_enrolment, enrolled, enrolment_of
from mcutrain.trainer.errors import ModelError
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.latent import FlashLatents
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.generated import small
from tests.support.latent_slots import with_slots
from tests.support.marks import exhaustive

BUSY, LABEL, RANGE, SAMPLE = -1, -2, -4, -7


def latents_of(plan: TrainingPlan, count: int, seed: int = 0, spread: int = 90) -> Array:
    assert plan.latents.tensor is not None
    size = plan.latents.tensor.type.size
    rng = np.random.default_rng(seed)
    return rng.integers(-spread, spread, (count, size)).astype(np.int8)


def test_the_nearest_class_mean_gets_the_greatest_logit() -> None:
    """In float, on latents that have nothing to do with classes; ties within rounding are few."""
    plan = small("head", latent_slots=40)
    x, y = latents_of(plan, 12), np.arange(12) % plan.classes
    reference = Interpreter(plan)
    reference.state = enrolled(plan, reference.state, x, y)
    means = np.stack([x[y == c].mean(axis=0) for c in range(plan.classes)])
    tests = latents_of(plan, 200, seed=1)
    logits = np.stack([reference.infer_from_latent(t) for t in tests]).astype(int)
    distances = ((tests[:, None] - means) ** 2).sum(axis=2)
    margins = np.sort(logits, axis=1)[:, -1] - np.sort(logits, axis=1)[:, -2]

    clear = margins > 1  # quanta
    assert clear.mean() > 0.8
    np.testing.assert_array_equal(logits[clear].argmax(1), distances[clear].argmin(1))


def test_rows_do_not_depend_on_their_order_nor_on_what_was_learned_before() -> None:
    plan = small("head", latent_slots=40)
    x, y = latents_of(plan, 9), np.arange(9) % plan.classes
    reference = Interpreter(plan)
    at_once = enrolled(plan, reference.state, x, y)
    one_by_one = dict(reference.state)
    for label in (2, 0, 1):
        one_by_one = enrolled(plan, one_by_one, x[::-1], y[::-1], label)
    for c in range(3, plan.classes):
        one_by_one = enrolled(plan, one_by_one, x, y, c)

    for tensor, value in at_once.items():
        np.testing.assert_array_equal(value, one_by_one[tensor], err_msg=tensor.name)


@pytest.mark.parametrize("spread", [1, 8, 127])
def test_no_row_passes_its_limit(spread: int) -> None:
    for options in ({}, {"weights": "int8"}):
        plan = small("head", latent_slots=40, **options)
        head = checked_enrolment(plan)
        x = np.full_like(latents_of(plan, 4), -128)
        x[::2] = latents_of(plan, 2, spread=spread)
        x[1, 0] = 127  # one element that is far from all others
        state = enrolled(plan, Interpreter(plan).state, x, np.array([0, 1, 0, 2]))
        rows = state[head.weight].astype(int)
        if head.fraction is not None:
            rows = 256 * rows + state[head.fraction]
        assert head.limit // 4 < np.abs(rows).max() <= head.limit or spread < 127
        assert np.abs(rows).max() <= head.limit
        assert np.abs(state[head.bias]).max() <= 2**30


def kept(runner: LibraryRunner, x: Array, y: Array) -> None:
    """Put latents into slots 0, 1, ..."""
    for slot, (latent, label) in enumerate(zip(x, y, strict=True)):
        runner.model.write_latent(latent)
        assert runner.model.call("keep_latent", slot, int(label)) & 0xFF == 0


def status(runner: LibraryRunner, label: int) -> int:
    return ctypes.c_int8(runner.model.call("enrol", label)).value


MORE: list[dict[str, Any]] = [
    {"accumulate": 3}, {"errors": "e8"}, {"stream_input": True}, {"receive_ahead": True},
    {"precondition": "inputs"},
]  # fmt: skip
VARIANTS: list[Any] = [
    {},
    {"weights": "int8", "classes": 3, "spare_classes": 2, "absent": "keep"},
    *(exhaustive(options, MORE) for options in MORE),
]


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_generated_c_enrols_bit_for_bit(options: dict[str, Any]) -> None:
    plan = with_slots(small("head", **options), 7)
    samples = latents_of(plan, 3, seed=5)
    old = FlashLatents(samples, samples, np.array([0, 1, 1], np.uint16))
    with_flash = replace(plan, latents=replace(plan.latents, flash=old))
    x, y = latents_of(plan, 7), np.array([0, 2, 0, 1, 2, 2, 0])
    with in_process(with_flash) as runner:
        reference = Interpreter(plan)
        for each in (reference, runner):
            each.reset(3)
            if plan.task.active is not None:
                each.set_classes(3)
        refused(runner, plan)
        kept(runner, x, y)
        everything = np.concatenate([x, samples]), np.append(y, old.labels)
        for label in (1, ALL_CLASSES, 2):
            assert status(runner, label) == 0
            reference.state = enrolled(plan, reference.state, *everything, label)
            assert runner.state() == reference.state_bytes()
        assert runner.digest() == reference.digest()
        assert runner.model.call("state_is_valid") & 0xFF != 0
        sample = np.zeros(plan.task.input.type.shape, np.int8)
        record, digest = runner.step(sample, np.int64(1), True)  # what follows is a step
        assert record == reference.step(sample, 1)
        assert digest == reference.digest()


def refused(runner: LibraryRunner, plan: TrainingPlan) -> None:
    """What leaves the state as it was: the flash holds the classes 0 and 1."""
    before = runner.state()
    classes = plan.classes if plan.task.active is None else 3
    assert status(runner, classes) == LABEL
    assert status(runner, 2) == SAMPLE  # no latent of it
    if not plan.options.stream_input:
        runner.model.write_input(np.zeros(plan.task.input.type.shape, np.int8))
        assert runner.model.call("begin", 0) & 0xFF == 0
        assert status(runner, 0) == BUSY
        runner.model.call("reset", 3)
        if plan.task.active is not None:
            runner.set_classes(3)
    assert runner.state() == before


def test_what_cannot_be_enrolled_says_so() -> None:
    for plan in (small("last:2", latent_slots=2), small("head", loss="mse", latent_slots=2)):
        assert enrolment_of(plan) is None
        with pytest.raises(ModelError, match="give --update head"):
            checked_enrolment(plan)
    plan = small("head", latent_slots=2)
    state, x = Interpreter(plan).state, latents_of(plan, 2)
    with pytest.raises(ValueError, match="2 latents of 1 classes"):
        enrolled(plan, state, x, np.zeros(2, int))
    with pytest.raises(ValueError, match="no latent is of class 2"):
        enrolled(plan, state, x, np.arange(2), 2)

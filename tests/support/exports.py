# SPDX-License-Identifier: Apache-2.0
"""Runs that are exported, and what must hold of the files."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mcutrain.trainer.export import export_model
from mcutrain.trainer.formats import Formats
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.options import PlanOptions, Scheme, Section
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import parse
from mcutrain.trainer.training_plan import TrainingPlan
from mcutrain.trainer.training_state import TrainingState, resumed

PARTIAL = Scheme("partial", {0: 0.7, 1: 0.5, 2: 0.25, 3: 1.0}, frozenset({1, 3}))
SCHEMES: dict[str, str | Scheme] = {
    "head": "head", "last:2": "last:2", "bias": "bias", "full": "full", "partial": PARTIAL,
}  # fmt: skip


def micro(data: bytes) -> Any:
    """tflite-micro on a file; the test is skipped where it is missing."""
    pytest.importorskip("tflite_micro.python.tflite_micro.runtime")
    from tests.support.micro import Micro

    return Micro(data)


def sample_of(plan: TrainingPlan, k: int) -> Array:
    rng = np.random.default_rng(k)
    return rng.integers(-128, 128, plan.task.input.type.shape).astype(np.int8)


def train(trained: Interpreter, first: int, last: int) -> Interpreter:
    """Steps ``first`` to ``last`` of one fixed run."""
    for k in range(first, last):
        trained.step(sample_of(trained.plan, k), k % trained.classes)
    return trained


def exported(data: bytes, trained: Interpreter, **options: Any) -> bytes:
    return export_model(data, trained.plan, trained.state, options)


def logits_operator(plan: TrainingPlan) -> int:
    return next(node.index for node in plan.forward if node.output is plan.task.logits)


def assert_micro_equals(data: bytes, trained: Interpreter, count: int = 3) -> None:
    """tflite-micro's logits are the reference's, and the importer reads the same network."""
    run, plan = micro(data), trained.plan
    again = Interpreter(make_plan(parse(data, "again"), PlanOptions("head")))
    for k in range(count):
        sample = sample_of(plan, 1000 + k)
        expected = trained.infer(sample)

        np.testing.assert_array_equal(run.run(sample)[logits_operator(plan)].ravel(), expected)
        np.testing.assert_array_equal(again.infer(sample), expected)


def assert_states_equal(first: Interpreter, second: Interpreter) -> None:
    assert [t.name for t in first.plan.learning.state] == [
        t.name for t in second.plan.learning.state
    ]
    for one, other in zip(first.plan.learning.state, second.plan.learning.state, strict=True):
        np.testing.assert_array_equal(first.state[one], second.state[other], one.name)
    assert first.digest() == second.digest()


def going_on(new: bytes, formats: Formats | None = None, **options: Any) -> Interpreter:
    """A run that continues what the file holds."""
    section = Section(options.get("start"), options.get("end"))
    model = parse(new, "m", "the file", section)
    assert model.training_state is not None
    stored = TrainingState.unpack(model.training_state)
    asked = PlanOptions(stored.scheme, **options)
    asked = asked if formats is None else formats.within(asked)
    plan = resumed(make_plan(model, asked), stored)
    return Interpreter(plan, stored.seed)

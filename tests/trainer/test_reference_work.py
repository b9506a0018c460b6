# SPDX-License-Identifier: Apache-2.0
"""How much a step of the reference does: what it computes anew, and in how many calls."""

from __future__ import annotations

import gc
import weakref
from importlib import import_module
from typing import Any

import numpy as np
import pytest

from mcutrain.trainer.graph.once import once_per_node
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import parse
from tests.support.counting import calls_of
from tests.support.small_models import residual_model

CALLS_PER_NODE = 80  # of Python and NumPy; they were 117 when nodes kept nothing


def trainer() -> Interpreter:
    return Interpreter(make_plan(parse(residual_model(), "small"), PlanOptions("full")))


def sample_of(reference: Interpreter) -> Array:
    shape = reference.plan.task.input.type.shape
    return np.random.default_rng(0).integers(-128, 128, shape).astype(np.int8)


def test_a_step_makes_few_calls_for_each_node() -> None:
    reference = trainer()
    sample = sample_of(reference)
    reference.step(sample, 1)

    calls = calls_of(lambda: reference.step(sample, 1))

    assert calls < CALLS_PER_NODE * len(reference.plan.operations)


def test_tables_of_a_node_are_made_in_its_first_step(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def count(module: str, name: str) -> None:
        function = getattr(import_module(f"mcutrain.trainer.ops.{module}"), name)

        def counted(*args: Any, **options: Any) -> Any:
            made.append(name)
            return function(*args, **options)

        monkeypatch.setattr(f"mcutrain.trainer.ops.{module}.{name}", counted)

    for module, name in (
        ("rescaling", "requants"), ("weighted_gradients", "weight_rates"),
        ("sgd", "bias_rates"), ("conv2d", "weight_fold"),
    ):  # fmt: skip
        count(module, name)
    reference = trainer()
    sample = sample_of(reference)
    reference.step(sample, 1)
    first = set(made)
    made.clear()
    reference.step(sample, 1)

    assert first == {"requants", "weight_rates", "bias_rates", "weight_fold"}
    assert made == []


def test_what_is_kept_belongs_to_a_node_and_its_operator() -> None:
    made: list[str] = []

    class Asked:
        @once_per_node
        def table(self, node: Node) -> list[str]:
            made.append(node.name)
            return [node.name]

    one, other = Asked(), Asked()
    node = Node(None, (), (), "n", 0)  # type: ignore[arg-type]
    assert one.table(node) is one.table(node)
    assert other.table(node) == ["n"]
    assert made == ["n", "n"]

    kept = weakref.ref(node)
    del node
    gc.collect()
    assert kept() is None

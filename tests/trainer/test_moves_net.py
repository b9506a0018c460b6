# SPDX-License-Identifier: Apache-2.0
"""A network of parts, positions and blends of activations, trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mcutrain.trainer import autodiff
from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.ops.gather import GatherGrad
from mcutrain.trainer.ops.resize_bilinear import ResizeBilinearGrad
from mcutrain.trainer.ops.scattered_error import ScatteredError, SumParts
from mcutrain.trainer.ops.sgd import FRACTION
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.planner.memory import ARENA
from mcutrain.trainer.tflite.reader import parse
from tests.support.moves_model import moves_model, steps_model
from tests.support.random_models import samples
from tests.support.steps import assert_steps_are_equal, rate_at


@pytest.mark.parametrize("scheme", ["full", "last:2"])
def test_a_network_of_moves_trains_with_equal_bits(scheme: str, tmp_path: Path) -> None:
    plan = make_plan(parse(moves_model(), "moves"), PlanOptions(scheme))
    reference = assert_steps_are_equal(plan, tmp_path, 14)

    for weight in plan.learning.companions.of(FRACTION):  # the error came all the way
        assert (reference.state[weight] != weight.data).any(), weight.name


def test_the_network_has_every_gradient() -> None:
    plan = make_plan(parse(moves_model(), "moves"), PlanOptions("full"))

    assert {GatherGrad, ResizeBilinearGrad, ScatteredError} <= {
        type(node.op) for node in plan.graph.nodes
    }


def test_every_part_equals_that_of_tflite_micro() -> None:
    from tests.support.micro import Micro  # skips where there is no tflite-micro
    from tests.tools.model_table import reference_outputs

    data = moves_model(in_micro=True)
    model, micro = parse(data, "moves"), Micro(data)
    compared = set()
    for sample in samples(model.input.type.shape, 5, 2):
        micro.run(sample)
        for node, output in reference_outputs(model, sample).items():
            expected = micro.tensor(node.output.file_index)
            np.testing.assert_array_equal(output.ravel(), expected.ravel(), repr(node))
            compared.add(node.output.label)

    assert {"p", "q", "top", "rest", "u0", "u1", "u2", "u3"} <= compared  # all outputs of each


@pytest.mark.parametrize("errors", ["e12", "e8"])
def test_the_errors_of_many_parts_are_summed_without_those_of_the_whole(
    errors: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bits are those of the sum of whole errors, the memory is less."""
    options = PlanOptions("full", errors=errors)
    model = parse(steps_model(), "steps")
    plan = make_plan(model, options)
    reference = assert_steps_are_equal(plan, tmp_path, 8)
    monkeypatch.setattr(autodiff, "saved_by_parts", lambda x, douts: 0)
    whole = make_plan(model, options)
    again = Interpreter(whole, seed=99)
    for step, sample in enumerate(samples(plan.task.input.type.shape, 5, seed=8)[:8]):
        again.set_learning_rate(rate_at(step))
        again.step(sample, step * 7 % again.classes)

    kinds = [{type(node.op) for node in p.graph.nodes} for p in (plan, whole)]
    assert SumParts in kinds[0] and ScatteredError not in kinds[0]
    assert SumParts not in kinds[1] and ScatteredError in kinds[1]
    assert reference.digest() == again.digest()
    assert plan.memory.regions[ARENA] < whole.memory.regions[ARENA]

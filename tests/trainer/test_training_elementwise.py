# SPDX-License-Identifier: Apache-2.0
"""Whole steps of a network that gates, repeats, squares and bends its features."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcutrain.trainer.ops.add import AddGrad
from mcutrain.trainer.ops.lookup import LookupGrad
from mcutrain.trainer.ops.mul import MulGrad
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import parse
from tests.support.gated_model import gated_model
from tests.support.steps import assert_steps_are_equal, changed


@pytest.mark.parametrize("update", ["last:2", "full"])
def test_a_gated_network_trains_bit_exactly(update: str, tmp_path: Path) -> None:
    plan = make_plan(parse(gated_model(), "gated"), PlanOptions(update))
    reference = assert_steps_are_equal(plan, tmp_path, 20)

    assert changed(plan, reference) == {t.name for t in plan.learned}


def test_every_elementwise_gradient_is_in_it() -> None:
    plan = make_plan(parse(gated_model(), "gated"), PlanOptions("full"))
    kinds = [type(node.op) for node in plan.graph.nodes]

    assert kinds.count(LookupGrad) == 4  # hard swish, logistic, leaky, tanh
    assert kinds.count(MulGrad) == 5  # two of the gate, two of the square, one of the factor
    assert kinds.count(AddGrad) == 1

# SPDX-License-Identifier: Apache-2.0
"""The integer gradients of whole networks are those of the loss; see network_gradients.py."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.ops.error import SumErrors
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import parse
from tests.support.float_graph import FloatGraph, Learned
from tests.support.marks import exhaustive
from tests.support.nested_model import nested_model
from tests.tools.network_gradients import MCUNET_49KB, NETS, Data, Gradients, Measurement

pytestmark = pytest.mark.slow
# Samples of each net and scheme here; the command takes 200 for all.
COUNTS = {
    ("resnet8", "full"): 200,
    ("kws", "full"): 60,
    ("watch", "full"): 200,
    ("nested", "last:4"): 60,
    ("nested", "full"): 200,
    ("attention", "full"): 30,
    ("mcunet-5fps", MCUNET_49KB): 20,
}
# Not watch: it has activations of exactly 0 before a RELU, where the loss has no derivative.
SMOOTH = ("resnet8", "kws", "nested", "attention")


def folder_of(request: pytest.FixtureRequest, name: str) -> Path:
    """The folder of real models, where the net needs it."""
    return Path() if NETS[name].is_shipped else request.getfixturevalue("models")


LONG = [("resnet8", "full"), ("mcunet-5fps", MCUNET_49KB)]  # make test has smaller ones


@pytest.fixture(
    scope="module",
    params=[exhaustive(key, LONG) for key in COUNTS],
    ids=lambda key: f"{key[0]}-{Path(key[1]).stem}",
)
def gradients(request: pytest.FixtureRequest) -> list[Gradients]:
    """Of every learned tensor; one net and scheme at a time, for they are many seconds' work."""
    name, scheme = request.param
    net, folder = NETS[name], folder_of(request, name)
    data = net.data(folder, COUNTS[request.param])
    interpreter = net.interpreter(folder, scheme, data)
    found = Measurement.of(interpreter, data).gradients(data)
    assert {g.learned.tensor for g in found} == set(interpreter.plan.learned)
    return found


def test_integer_gradient_is_that_of_the_network(gradients: list[Gradients]) -> None:
    """At the int8 activations, whose rounding the gradient passes straight through."""
    for g in gradients:
        assert g.cosine >= 0.99, g.learned.tensor.name
        # Errors round to 12 bits, and saturate when they outgrow their history.
        assert 0.97 <= g.length <= 1.03, g.learned.tensor.name


def test_update_goes_along_the_gradient(gradients: list[Gradients]) -> None:
    """The update keeps 23 bits of each dW."""
    for g in gradients:
        assert g.cosine_applied >= 0.99, g.learned.tensor.name


def test_loss_of_the_float_network_rises_along_it(gradients: list[Gradients]) -> None:
    """The float network's activations are others, and so is its gradient, most of all early on.

    The command shows that the rounding of the forward pass makes the difference: the float64
    gradient at the int8 activations is as far from the float network's.
    """
    for g in gradients:
        assert g.cosine_real >= 0.95, g.learned.tensor.name
        assert 0.85 <= g.slope <= 1.15, g.learned.tensor.name


def test_the_nested_net_has_branches_in_branches() -> None:
    plan = make_plan(parse(nested_model(), "nested"), PlanOptions("full", precondition="off"))
    readers = [node.op.readers for node in plan.operations if isinstance(node.op, SumErrors)]

    assert {"Add", "Concatenation", "Mean"} <= {type(node.op).__name__ for node in plan.forward}
    assert sorted(readers) == [2, 3, 3]


def directional_derivative(
    twin: FloatGraph, item: Learned, data: Data, d: Array, step: float
) -> float:
    """Of the float network's loss along ``d``, by central differences.

    The step is shortened until no activation crosses a clamp, where the loss is not smooth.
    """
    centre = twin.masks(twin.float_values(data.samples))
    for _ in range(9):
        ends = [shifted(twin, item, sign * step * d) for sign in (1, -1)]
        values = [end.float_values(data.samples) for end in ends]
        if all(same(end.masks(v), centre) for end, v in zip(ends, values, strict=True)):
            above, below = (twin.loss(v, data.labels) for v in values)
            return (above - below) / (2 * step)
        step /= 4
    raise AssertionError(f"{item.tensor.name}: every step crosses a clamp")


def same(masks: list[Array], others: list[Array]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(masks, others, strict=True))


def shifted(twin: FloatGraph, item: Learned, by: Array) -> FloatGraph:
    params = dict(twin.params)
    params[item.name] = params[item.name] + by
    return replace(twin, params=params)


@pytest.mark.parametrize("name", SMOOTH)
def test_float_gradient_is_the_derivative(name: str, request: pytest.FixtureRequest) -> None:
    """The yardstick itself, for each tensor along three directions.

    A step moves the logits by about ``step * |g|``, 1e-3 at most. Central differences leave out
    the square of that over 6, which is 2e-7, and rounding of 2e-16 per operation, of which a
    loss of 20 and 1e4 sums make less than 1e-12, is seen over 1e-4 at least.
    """
    net, folder = NETS[name], folder_of(request, name)
    data = net.data(folder, 2)
    measurement = Measurement.of(net.interpreter(folder, "full", data), data)
    twin, found = measurement.twin, measurement.gradients(data)
    gradient = twin.gradient(twin.float_values(data.samples), data.labels, measurement.learned)
    rng = np.random.default_rng(1)
    for item, integer in zip(measurement.learned, found, strict=True):
        g = gradient[item.tensor]
        length = float(np.linalg.norm(g))
        for direction in (g, integer.integer, rng.normal(size=g.shape)):
            d = direction / np.linalg.norm(direction)
            slope = directional_derivative(twin, item, data, d, 1e-3 / length)

            assert abs(slope - (g * d).sum()) <= 1e-6 * length, item.tensor.name

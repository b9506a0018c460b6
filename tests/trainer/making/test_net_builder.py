# SPDX-License-Identifier: Apache-2.0
"""A network built, trained and quantised here: equal bits in tflite-micro, and as accurate."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.making.float_net import INPUT, accuracy, fit
from mcutrain.trainer.making.net_builder import NetBuilder
from mcutrain.trainer.making.quantiser import quantize_array, quantize_net
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import parse
from tests.support.steps import assert_steps_are_equal

CLASSES = 4
SHAPE = (9, 8, 2)


def pictures(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise with one bright square each; where it lies is the class."""
    rng = np.random.default_rng(seed)
    y = np.arange(count) % CLASSES
    x = rng.normal(0, 0.4, (count, *SHAPE))
    for sample, place in zip(x, y, strict=True):
        row, column = 4 * (place // 2) + rng.integers(2), 4 * (place % 2)
        sample[row : row + 4, column : column + 4] += rng.uniform(0.8, 1.5)
    return x, y


def residual() -> NetBuilder:
    """Every kind of layer, both paddings, all activations, a multiplier, a tensor read twice."""
    build = NetBuilder(SHAPE, seed=3)
    build.conv(8, kernel=(3, 2), stride=(2, 1), activation="relu")
    stem = build.depthwise(kernel=3, activation="relu6")
    build.depthwise(kernel=3, multiplier=2, activation="none")
    branch = build.conv(8, kernel=1, activation="none")
    build.add(stem, branch, activation="relu")
    build.conv(8, kernel=2, padding="valid")
    build.average_pool(kernel=2)
    build.dense(16, activation="relu")
    build.dense(CLASSES)
    return build


def trained() -> tuple[NetBuilder, bytes]:
    build = residual()
    x, y = pictures(400, seed=1)
    fit(build.net, build.params, x, y, epochs=6)
    return build, quantize_net(build.net, build.params, x)


@pytest.fixture(scope="module")
def network() -> tuple[NetBuilder, bytes]:
    return trained()


@pytest.mark.slow
def test_what_is_built_trains_and_keeps_its_accuracy(network: tuple[NetBuilder, bytes]) -> None:
    build, data = network
    x, y = pictures(200, seed=2)
    reference = Interpreter(make_plan(parse(data, "built"), PlanOptions("head")))
    samples = quantize_array(x, reference.plan.task.input.type.quant)
    predicted = np.array([reference.predict(sample) for sample in samples])
    floating = accuracy(build.net, build.params, x, y)

    assert floating > 0.95
    # Four of 200: noise near a border may fall to either side of it in eight bits.
    assert np.mean(predicted == y) >= floating - 0.02


def test_every_operator_equals_tflite_micro(network: tuple[NetBuilder, bytes]) -> None:
    from tests.support.micro import Micro  # skips where there is no tflite-micro
    from tests.tools.model_table import reference_outputs

    model, micro = parse(network[1], "built"), Micro(network[1])
    samples = quantize_array(pictures(20, seed=4)[0], model.input.type.quant)
    kinds = {type(node.op).__name__ for node in model.graph.nodes}

    assert kinds == {
        "Conv2D", "DepthwiseConv2D", "Add", "AveragePool2D", "Reshape", "FullyConnected", "Softmax"
    }  # fmt: skip
    for sample in [*samples[:, None], np.full_like(samples[:1], -128)]:
        micro.run(sample)
        for node, output in reference_outputs(model, sample).items():
            expected = micro.tensor(node.output.file_index)
            np.testing.assert_array_equal(output.ravel(), expected.ravel(), repr(node))


def test_the_device_trains_it_as_the_reference(
    network: tuple[NetBuilder, bytes], tmp_path: Path
) -> None:
    assert_steps_are_equal(make_plan(parse(network[1], "built"), PlanOptions("full")), tmp_path, 3)


def test_the_same_seed_gives_the_same_file(network: tuple[NetBuilder, bytes]) -> None:
    assert trained()[1] == network[1]


def test_shapes_follow_from_what_is_asked() -> None:
    build = residual()

    assert build.shapes == {
        INPUT: SHAPE,
        "conv1": (5, 8, 8),
        "depthwise1": (5, 8, 8),
        "depthwise2": (5, 8, 16),
        "conv2": (5, 8, 8),
        "add1": (5, 8, 8),
        "conv3": (4, 7, 8),
        "pool1": (2, 3, 8),
        "flatten1": (48,),
        "dense1": (16,),
        "dense2": (CLASSES,),
    }
    values = build.net.forward(build.params, np.zeros((2, *SHAPE)))
    assert {name: value.shape[1:] for name, value in values.items()} == build.shapes


REFUSED: dict[str, tuple[str, Callable[[NetBuilder], object]]] = {
    "a kernel beyond the image": ("do not fit 9x8", lambda b: b.conv(4, 10, padding="valid")),
    "a stride of nothing": ("steps of (0, 0)", lambda b: b.conv(4, 3, stride=0)),
    "an unknown padding": ("'full'; give same or valid", lambda b: b.conv(4, 3, padding="full")),
    "an unknown activation": ("'tanh'; give none, relu", lambda b: b.dense(4, activation="tanh")),
    "a layer that is not there": ("no layer 'stem'", lambda b: b.dense(4, source="stem")),
    "a name twice": ("'a' already", lambda b: b.conv(4, name=b.conv(4, name="a"))),
    "shapes that do not add": ("(9, 8, 4) do not add", lambda b: b.add(INPUT, b.conv(4))),
    "a convolution of a row": ("height, width", lambda b: b.conv(4, source=b.dense(4))),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused(case: str) -> None:
    message, build = REFUSED[case]

    with pytest.raises(ValueError) as refusal:  # noqa: PT011
        build(NetBuilder(SHAPE))
    assert message in str(refusal.value)


def test_too_few_samples_for_a_batch_are_refused() -> None:
    build = residual()
    x, y = pictures(20, seed=1)

    with pytest.raises(ValueError, match="20 samples do not fill a batch of 32"):
        fit(build.net, build.params, x, y)

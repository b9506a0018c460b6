# SPDX-License-Identifier: Apache-2.0
"""Public models that keep state: every operator over consecutive inferences of tflite-micro, and
samples of several inputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mcutrain.trainer.graph.tensor import Array, Tensor
from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.model import forward, states_behind
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import load
from tests.support.micro import Micro

INFERENCES = 7
SMALL = ("mww2_vad", "tflm_mnist_lstm_int8", "tflm_keyword_scrambled_8bit")
LARGE = ("mww1_alexa", "mww2_alexa", "tflm_micro_speech_lstm", "coral_keras_lstm_mnist")
MODELS = [*SMALL, *(pytest.param(name, marks=pytest.mark.exhaustive) for name in LARGE)]


def inputs_of(micro: Micro, seed: int) -> list[Array]:
    details = micro.interpreter.get_input_details(0)
    rng, info = np.random.RandomState(seed), np.iinfo(details["dtype"])
    shape = (INFERENCES, *details["shape"])
    return list(rng.randint(info.min, info.max + 1, shape).astype(details["dtype"]))


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_a_stream_has_the_bits_of_tflite_micro(name: str, models: Path) -> None:
    path = models / "zoo" / f"{name}.tflite"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    model, micro = load(path), Micro(path.read_bytes())
    plan = make_plan(model, PlanOptions("head", sequence_length=INFERENCES))
    states: dict[Tensor, Array] = {}
    frames = []
    for given in inputs_of(micro, 5):
        micro.go_on(given)
        frames.append(micro.tensor(model.input.file_index).reshape(model.input.type.shape))
        values = forward(model, frames[-1], states)
        for node in model.graph.nodes:
            expected = micro.tensor(node.output.file_index)
            np.testing.assert_array_equal(values[node.output].ravel(), expected.ravel(), repr(node))
        states = states_behind(model, values)

    assert model.states
    logits = micro.tensor(plan.task.logits.file_index).ravel()
    np.testing.assert_array_equal(Interpreter(plan).infer(np.stack(frames)), logits)

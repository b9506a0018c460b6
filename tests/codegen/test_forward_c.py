# SPDX-License-Identifier: Apache-2.0
"""Single-operator models in generated C: every operator's output equals the reference's.

The reference equals tflite-micro on the same models (test_forward_exact.py).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mcutrain.trainer.graph.graph import Graph
from mcutrain.trainer.model import Model
from mcutrain.trainer.tflite.reader import parse
from tests.support.bench import plan_of
from tests.support.native import NativeModel
from tests.support.random_models import MAKERS, random_model, samples
from tests.tools.model_table import reference_outputs

SEEDS = (range(6), range(16))  # the second with the largest cases of the suite
# A LOG_SOFTMAX stands at the end alone, and is left out: it has no C.
LOWERED = [kind for kind in MAKERS if kind != "LOG_SOFTMAX"]


def prefixed(model: Model, prefix: str) -> Model:
    """The model with names that no other one has."""
    for tensor in model.graph.tensors:
        tensor.name = f"{prefix}_{tensor.name}"
    for node in model.graph.nodes:
        node.name = f"{prefix}_{node.name}"
    return model


@pytest.mark.parametrize("kind", LOWERED)
def test_generated_c_equals_the_reference_over_options(
    kind: str, thorough: bool, tmp_path: Path
) -> None:
    """All models of a kind are one library, and a run of it runs them all."""
    seeds = SEEDS[thorough]
    models = [prefixed(parse(random_model(kind, seed), "net"), f"m{seed}") for seed in seeds]
    nodes = [node for model in models for node in model.graph.nodes]
    plan = plan_of("sweep", Graph(nodes))
    device = NativeModel(plan, tmp_path)
    drawn = [
        samples(model.input.type.shape, 2, seed) for seed, model in zip(seeds, models, strict=True)
    ]
    for round_ in range(len(drawn[0])):
        for model, inputs in zip(models, drawn, strict=True):
            device[model.input][...] = inputs[round_]
        device.step(np.zeros(plan.task.input.type.shape, np.int8), 0)
        for model, inputs in zip(models, drawn, strict=True):
            for node, expected in reference_outputs(model, inputs[round_]).items():
                np.testing.assert_array_equal(device[node.output], expected, f"{kind}: {node!r}")

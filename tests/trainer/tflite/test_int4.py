# SPDX-License-Identifier: Apache-2.0
"""Weights of INT4 in a file: read as int8, computed as tflite-micro does, exported as they were."""

from __future__ import annotations

import numpy as np
import pytest
import tflite

from benchmarks.instructions.four_bits import HAVE_INT4, WEIGHTS, in_range
from mcutrain.trainer.errors import ModelError, UnsupportedOpError
from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.nibbles import nibble_layers
from mcutrain.trainer.options import PlanOptions, Scheme
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.patch import TflitePatch
from mcutrain.trainer.tflite.reader import parse
from tests.support.exports import assert_micro_equals, exported, train
from tests.support.micro import Micro
from tests.support.nibbles import as_int4
from tests.support.random_models import random_model, samples
from tests.support.small_models import residual_model
from tests.tools.model_table import reference_outputs

INT4, INT8 = tflite.TensorType.INT4, tflite.TensorType.INT8
LAYERS = (0, 1, 2, 6)  # operators of the residual model that have weights


def types(data: bytes) -> list[int]:
    """Of the weights of the residual model's layers."""
    patch = TflitePatch(data)
    return [patch.tensor(patch.inputs[operator][WEIGHTS]).type for operator in LAYERS]


@pytest.mark.parametrize("kind", HAVE_INT4)
def test_int4_weights_are_computed_as_tflite_micro_does(kind: str) -> None:
    """Those of FULLY_CONNECTED with a scale for each filter, which it refuses, as its int8 ones."""
    compared = 0
    for seed in range(12):
        plain = random_model(kind, seed)
        data = as_int4(plain)
        model = parse(data, f"{kind} {seed}")
        has_scales = any(len(n.inputs[WEIGHTS].type.quant.scales) > 1 for n in model.weighted)
        micro = Micro(in_range(plain) if has_scales and kind == "FULLY_CONNECTED" else data)
        for sample in samples(model.input.type.shape, 2, seed):
            micro.run(sample)
            for node, output in reference_outputs(model, sample).items():
                expected = micro.tensor(node.output.file_index)
                np.testing.assert_array_equal(output.ravel(), expected.ravel(), repr(node))
                compared += 1
    assert compared >= 24


def test_weights_keep_their_values() -> None:
    plain, small = residual_model(), as_int4(residual_model())
    assert len(small) < len(plain) + 2000 and types(small) == [INT4] * 4

    for a, b in zip(parse(plain, "a").weighted, parse(small, "b").weighted, strict=True):
        w, nibbles = a.inputs[WEIGHTS].data, b.inputs[WEIGHTS].data
        assert w is not None and nibbles is not None and nibbles.dtype == np.int8
        np.testing.assert_array_equal(nibbles, (w & 15 ^ 8) - 8)


@pytest.mark.parametrize("update", ["head", "last:2", "full"])
@pytest.mark.parametrize("classes", [None, 6])
def test_what_learned_is_exported_as_int8_and_what_is_frozen_as_int4(
    update: str, classes: int | None
) -> None:
    data = as_int4(residual_model())
    plan = make_plan(parse(data, "m"), PlanOptions(update, classes))
    learned = {"head": 1, "last:2": 2, "full": 4}[update]
    trained = train(Interpreter(plan, seed=3), 0, 6)
    new = exported(data, trained)

    assert types(new) == [INT4] * (4 - learned) + [INT8] * learned
    assert_micro_equals(new, trained)


def test_a_layer_that_learned_in_part_is_exported_whole() -> None:
    data = as_int4(residual_model())
    scheme = Scheme("half", {2: 0.5, 3: 1.0}, frozenset({3}))
    plan = make_plan(parse(data, "m"), PlanOptions(scheme))
    trained = train(Interpreter(plan, seed=3), 0, 6)
    new = exported(data, trained)

    assert types(new) == [INT4, INT4, INT8, INT8]
    assert_micro_equals(new, trained)


def test_frozen_int4_weights_are_stored_as_such() -> None:
    plan = make_plan(parse(as_int4(residual_model()), "m"), PlanOptions("head", frozen="int4"))

    assert [node.index for node in nibble_layers(plan.operations)] == [0, 1, 2]
    assert not plan.notes


def test_other_tensors_of_int4_are_refused_by_name() -> None:
    patch = TflitePatch(residual_model())
    index = patch.inputs[0][2]
    patch.change_tensor(index, patch.tensor(index).__class__(b"b", (8,), INT4, 0, None))

    with pytest.raises(UnsupportedOpError, match="tensor 'b' is INT4; an int8 model is needed"):
        parse(patch.finish(), "m")


@pytest.mark.parametrize("nbytes", [0, 107, 109, 216])
def test_data_of_another_size_are_refused(nbytes: int) -> None:
    patch = TflitePatch(as_int4(residual_model()))
    patch.set_data(patch.inputs[0][WEIGHTS], bytes(nbytes))

    with pytest.raises(ModelError, match=r"needs 108 bytes of data"):
        parse(patch.finish(), "m")

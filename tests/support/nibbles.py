# SPDX-License-Identifier: Apache-2.0
"""Rows of layers whose frozen weights fit nibbles."""

from __future__ import annotations

from dataclasses import replace

import tflite

from benchmarks.instructions.four_bits import WEIGHTS, into_range, weights_in
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.int4 import paired
from mcutrain.trainer.model import Model
from mcutrain.trainer.ops.weighted import Weighted
from mcutrain.trainer.tflite.patch import TflitePatch
from tests.support.bench import draw_inputs
from tests.support.op_cases import Case

DRAWN = 9  # a round in which they are no extremes


def nibbles_of(
    rows: list[Case], frozen: tuple[int, ...] = (WEIGHTS,)
) -> dict[str, dict[int, Array]]:
    """For each layer that learns whole, if it learns: what its inputs ``frozen`` hold, the weights
    within -8..7."""
    found = {}
    for case in rows:
        if isinstance(case.op, Weighted) and case.op.channels is None:
            values = dict(enumerate(draw_inputs(case, 1, DRAWN)))
            values[WEIGHTS] = into_range(values[WEIGHTS])
            found[case.name] = {k: v for k, v in values.items() if k in frozen}
    return found


def within_nibbles(model: Model) -> Model:
    """The model, with all weights of its layers brought into -8..7."""
    for node in model.weighted:
        w = node.inputs[WEIGHTS]
        assert w.data is not None
        w.data = into_range(w.data)
    return model


def as_int4(data: bytes) -> bytes:
    """The file, with the weights of layers as INT4, after ``into_range``."""
    patch = TflitePatch(data)
    for index in weights_in(patch):
        raw = paired(into_range(patch.contents(index, "<i1").copy())).tobytes()
        patch.change_tensor(index, replace(patch.tensor(index), type=tflite.TensorType.INT4))
        patch.set_data(index, raw)
    return patch.finish()

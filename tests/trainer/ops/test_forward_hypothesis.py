# SPDX-License-Identifier: Apache-2.0
"""The forward pass equals tflite-micro's over the options of every operator, as Hypothesis draws
them: a failure shrinks to few values, small sizes and choices near the first of each list."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from mcutrain.trainer.errors import ModelError
from mcutrain.trainer.tflite.reader import parse
from tests.support.micro import Micro
from tests.support.model_maker import Chance, ModelMaker
from tests.support.random_models import MAKERS, samples
from tests.support.random_moves import NOT_IN_MICRO, PLAIN
from tests.tools.model_table import reference_outputs

CASES = (8, 25)  # of each operator; the second with the largest cases of the suite
SCALES_REFUSED = re.compile("scale|factor")  # that no multiplier expresses
WIDER = 8.0  # times the scales of the makers, and their inverse
# tflite-micro ends the process at extreme scales of FULLY_CONNECTED and ADD, and of layers beyond
# this width.
WIDE = ("CONV_2D", "DEPTHWISE_CONV_2D", "MUL", "RELU", "LEAKY_RELU", "HARD_SWISH", "QUANTIZE")


@dataclass
class Drawn(Chance):
    """Choices that Hypothesis makes; bulk data come from a RandomState of a drawn seed."""

    data: st.DataObject
    is_wide: bool

    def number(self, low: int, high: int) -> int:
        return self.data.draw(st.integers(low, high))

    def pick(self, *choices: Any) -> Any:
        return choices[self.data.draw(st.integers(0, len(choices) - 1))]

    def scale(self, low: float = 0.002, high: float = 0.3) -> float:
        """Log-uniform, beyond the ends where ``is_wide``; the float32 that a file holds."""
        if self.is_wide:
            low, high = low / WIDER, high * WIDER
        share = self.data.draw(st.floats(0, 1, width=32))
        return float(np.float32(np.exp(np.log(low) + share * (np.log(high) - np.log(low)))))

    def zero_point(self) -> int:
        return self.pick(0, -128, 127, self.number(-128, 127))


class DrawnMaker(ModelMaker):
    is_wide: bool


def maker(kind: str, data: st.DataObject) -> DrawnMaker:
    make = DrawnMaker(0)
    source = np.random.RandomState(data.draw(st.integers(0, 2**32 - 1)))
    make.is_wide = kind in WIDE and data.draw(st.booleans())
    make.c = Drawn(source, data, make.is_wide)
    return make


@pytest.mark.parametrize("kind", [kind for kind in MAKERS if kind not in NOT_IN_MICRO | PLAIN])
def test_reference_equals_tflite_micro_as_drawn(kind: str, thorough: bool) -> None:
    @settings(max_examples=CASES[thorough], derandomize=True, database=None)
    @given(data=st.data())
    def equals(data: st.DataObject) -> None:
        assert_equals_micro_as_drawn(kind, data)

    equals()


def assert_equals_micro_as_drawn(kind: str, data: st.DataObject) -> None:
    make = maker(kind, data)
    MAKERS[kind][0](make)
    file = make.finish()
    try:
        parse(file, kind)
    except ModelError as err:
        if not (make.is_wide and SCALES_REFUSED.search(str(err))):
            raise
        reject()
    assert_equals_micro(file, kind)


def assert_equals_micro(file: bytes, name: str) -> None:
    model, micro = parse(file, name), Micro(file)
    for sample in samples(model.input.type.shape, 1, 0):
        micro.run(sample)
        for node, output in reference_outputs(model, sample).items():
            expected = micro.tensor(node.output.file_index)
            np.testing.assert_array_equal(output.ravel(), expected.ravel(), repr(node))

# SPDX-License-Identifier: Apache-2.0
"""Damaged model files: the importer raises ModelError, and nothing else, whatever the bytes."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path

import pytest

from mcutrain.codegen.program import lay_out
from mcutrain.trainer.errors import Error, ModelError
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import parse
from tests.support.damage import mutate
from tests.support.random_models import random_model
from tests.support.small_models import residual_model


def only_model_errors(data: bytes) -> bool:
    """Whether ``data`` could be read; whatever cannot must be a ModelError."""
    try:
        model = parse(data, "fuzz")
    except ModelError:
        return False
    with contextlib.suppress(Error):  # what was read must plan and print, or be refused as well
        lay_out(make_plan(model, PlanOptions("full")))
    return True


@pytest.mark.filterwarnings("error")
def test_a_file_cut_short_anywhere_is_a_model_error() -> None:
    data = residual_model()
    assert only_model_errors(data)
    read = [length for length in range(0, len(data), 97) if only_model_errors(data[:length])]

    assert not read


@pytest.mark.filterwarnings("error")
def test_a_real_file_cut_short_is_a_model_error(models: Path) -> None:
    data = (models / "mlperf-tiny" / "kws_ref_model.tflite").read_bytes()
    for length in range(0, len(data), 97 * 7):
        only_model_errors(data[:length])


@pytest.mark.slow
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", ["residual", "CONV_2D", "FULLY_CONNECTED", "ADD", "SOFTMAX"])
def test_a_damaged_file_is_a_model_error(kind: str) -> None:
    data = residual_model() if kind == "residual" else random_model(kind, 1)
    rng = random.Random(kind)
    for _ in range(150):
        only_model_errors(mutate(data, rng))

# SPDX-License-Identifier: Apache-2.0
"""Whole steps: generated C and the NumPy reference hold the same state after every one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import parse
from tests.support.awkward_model import awkward_model
from tests.support.small_models import residual_model
from tests.support.steps import assert_steps_are_equal, changed

SCHEMES = {
    "head": None,
    "last:2": None,
    "bias": None,
    "full": None,
    # By index and by name: two of three channels, half of a depthwise layer's, a quarter.
    "partial": "bias_last = 2\n[weights]\n0 = 0.7\ndw_w = 0.5\n2 = 0.25\n",
    # Nothing but a few channels in the middle: no head, no bias.
    "middle": "head = false\n[weights]\n1 = 0.3\n",
    "biases": "head = false\nbias_last = 3\n",
}


def scheme_in(folder: Path, name: str) -> str:
    text = SCHEMES.get(name)
    if text is None:
        return name
    path = folder / f"{name}.toml"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize("name", SCHEMES)
def test_generated_c_trains_bit_exactly_as_the_reference(name: str, tmp_path: Path) -> None:
    plan = make_plan(parse(residual_model(), "small"), PlanOptions(scheme_in(tmp_path, name)))
    reference = assert_steps_are_equal(plan, tmp_path, 20)

    assert changed(plan, reference) == {t.name for t in plan.learned}


@pytest.mark.parametrize(("update", "classes"), [("last:2", 2), ("full", 9)])
def test_a_new_head_trains_bit_exactly(update: str, classes: int, tmp_path: Path) -> None:
    plan = make_plan(parse(residual_model(), "small"), PlanOptions(update, classes))
    reference = assert_steps_are_equal(plan, tmp_path, 12)

    assert plan.classes == classes
    assert changed(plan, reference) == {t.name for t in plan.learned}


@pytest.mark.parametrize("name", ["full", "parts"])
def test_an_awkward_network_trains_bit_exactly(name: str, tmp_path: Path) -> None:
    model = awkward_model()
    scheme = "full"
    if name == "parts":
        scheme = str(tmp_path / "parts.toml")
        Path(scheme).write_text(
            "bias_last = 2\nhead = false\n[weights]\n0 = 0.5\n1 = 0.5\n2 = 0.4\n"
        )
    plan = make_plan(model, PlanOptions(scheme))
    reference = assert_steps_are_equal(plan, tmp_path, 20)
    dw, great = (t for t in plan.learned if t.name.startswith("depthwise"))

    assert {dw.name, great.name} <= changed(plan, reference)
    # Dead channels never learn: by scale 2, by bias 1 and 4.
    unchanged = np.flatnonzero(reference.state[great] == great.data)
    assert {1, 2, 4} <= set(unchanged.tolist())
    if name == "full":
        same = (reference.state[dw] == dw.data).all(axis=(0, 1, 2))
        assert {1, 2, 4} <= set(np.flatnonzero(same).tolist())

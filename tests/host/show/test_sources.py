# SPDX-License-Identifier: Apache-2.0
"""Where the figures of a report come from: movement, work, datasheets, drawings."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from mcutrain.host.prediction.power import Work, board_estimates, datasheets
from mcutrain.host.show.drawings import drawing
from mcutrain.host.show.work import OTHER, Counts, WorkSource
from mcutrain.trainer.interpreter import unpack_state
from tests.support.guarded import small_plan
from tests.support.reports import usual_outcome


def test_movement_is_the_difference_of_the_states() -> None:
    result, plan = usual_outcome().result, usual_outcome().plan
    assert result.movement is not None
    before = {t: t.data for t in plan.learned}
    after = unpack_state(plan, result.state)
    found = {each.tensor: each for each in result.movement.moved}

    assert found.keys() == {t.name for t in plan.learned}
    for tensor in plan.learned:
        far = np.abs(after[tensor].astype(int) - before[tensor])
        one = found[tensor.name]
        assert (one.changed, one.most) == (np.count_nonzero(far), far.max())
        assert one.mean == pytest.approx(far.mean())


def test_layers_and_the_rest_are_the_whole_step() -> None:
    found = WorkSource(small_plan("full")).to_json()

    assert found["layers"][-1]["name"] == OTHER
    whole = sum(sum(row["instructions"].values()) for row in found["layers"])
    assert whole == pytest.approx(found["step"], rel=0.001)
    assert found["is_like"] and {b["core"] for b in found["boards"]} >= {"cortex-m0", "cortex-m4"}


def test_what_was_counted_stands_before_what_is_predicted() -> None:
    plan = small_plan("full")
    found = WorkSource(plan, Counts(step=1234)).to_json()

    assert found["step"] == 1234 and found["step_is_counted"]
    assert found["inference"] == WorkSource(plan).to_json()["inference"]


def test_an_estimate_is_by_its_formula() -> None:
    (found,) = board_estimates({"cortex-m0": Work(1_000_000, 1000, True, 2.0)})
    told, sheet = found.to_json(), found.sheet

    assert told["step_seconds"] == pytest.approx(1e6 * 2.0 / (sheet.clock_mhz * 1e6))
    watts = sheet.current_ma / 1000 * sheet.volts
    assert told["step_joules"] == pytest.approx(told["step_seconds"] * watts)


def test_each_datasheet_is_named() -> None:
    assert all(s.source and s.clock_mhz > 0 < s.current_ma for s in datasheets())
    assert len({s.chip for s in datasheets()}) == len(datasheets())


def test_a_drawn_image_has_its_pixels() -> None:
    pixels = np.random.default_rng(0).integers(-128, 128, (20, 24)).astype(np.int8)
    found = drawing(pixels.reshape(-1), (1, 20, 24, 1))
    image = np.asarray(Image.open(io.BytesIO(base64.b64decode(found["data"]))))

    assert (found["kind"], found["media"]) == ("image", "png")
    np.testing.assert_array_equal(image[..., 0].astype(int) - 128, pixels)


def test_time_goes_right_in_a_spectrogram_and_a_trace() -> None:
    rising = np.repeat(np.arange(-64, 64, 2).astype(np.int8), 10)
    found = drawing(rising, (1, 64, 10, 1))
    image = np.asarray(Image.open(io.BytesIO(base64.b64decode(found["data"])))).astype(int)

    assert image.shape == (10, 64, 3)
    assert image[0, 0].sum() < image[0, -1].sum()
    (points,) = drawing(rising[::10], (1, 64, 1, 1))["traces"]
    heights = [float(each.split(",")[1]) for each in points.split()]
    assert heights == sorted(heights, reverse=True) and points.startswith("0,98")

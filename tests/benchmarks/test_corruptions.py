# SPDX-License-Identifier: Apache-2.0
"""The corruptions of CIFAR-10-C on synthetic images: against their definitions, value by value."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.data import corruptions
from benchmarks.data.corruptions import CORRUPTIONS, SEVERITIES, corrupt, disk, plasma, zoom_weights
from mcutrain.trainer.graph.tensor import Array

GRADED = [name for name in CORRUPTIONS if name != "upside_down"]


@pytest.fixture(scope="module")
def images() -> Array:
    """(40, 32, 32, 3): smooth shapes with some texture, most of them bright on dark."""
    rng = np.random.default_rng(0)
    coarse = np.kron(rng.random((40, 8, 8, 3)), np.ones((1, 4, 4, 1)))
    fine = 0.2 * rng.random((40, 32, 32, 3))
    return np.asarray((255 * (0.1 + 0.6 * coarse + fine)).astype(np.uint8))


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_shape_and_determinism(images: Array, name: str) -> None:
    out = corrupt(images, name, 3, seed=1)
    assert out.shape == images.shape and out.dtype == np.uint8
    np.testing.assert_array_equal(out, corrupt(images, name, 3, seed=1))
    assert (out != images).mean() > 0.01


@pytest.mark.parametrize("name", GRADED)
def test_distance_grows_with_severity(images: Array, name: str) -> None:
    clean = images.astype(np.float64)
    distances = [np.square(corrupt(images, name, k) - clean).mean() for k in SEVERITIES]
    assert distances == sorted(distances) and distances[0] > 0.5


@pytest.mark.parametrize("name", ["gaussian_noise", "shot_noise", "impulse_noise", "fog"])
def test_seeds_differ(images: Array, name: str) -> None:
    assert (corrupt(images, name, 5, seed=0) != corrupt(images, name, 5, seed=1)).any()


def test_blocks_draw_other_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corruptions, "BLOCK", 2)
    grey = np.full((4, 8, 8, 3), 128, np.uint8)
    out = corrupt(grey, "gaussian_noise", 5)
    assert (out[:2] != out[2:]).any()


@pytest.mark.parametrize(("name", "severity"), [("sepia", 1), ("fog", 0), ("fog", 6)])
def test_unknown_is_refused(images: Array, name: str, severity: int) -> None:
    with pytest.raises(ValueError, match="no corruption"):
        corrupt(images, name, severity)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_noise_has_its_deviation(severity: int) -> None:
    grey = np.full((40, 32, 32, 3), 102, np.uint8)  # 0.4: far from both ends
    found = corrupt(grey, "gaussian_noise", severity).std() / 255
    assert found == pytest.approx(corruptions.GAUSSIAN_NOISE[severity - 1], rel=0.02)
    found = corrupt(grey, "shot_noise", severity).std() / 255
    expected = np.sqrt(0.4 / corruptions.SHOT_NOISE[severity - 1])  # Poisson: variance is the mean
    assert found == pytest.approx(expected, rel=0.02)
    salted = corrupt(grey, "impulse_noise", severity)
    share = corruptions.IMPULSE_NOISE[severity - 1]
    deviation = np.sqrt(share / 2 / grey.size)  # of a rare event's share
    assert (salted == 0).mean() == pytest.approx(share / 2, abs=4 * deviation)
    assert (salted == 255).mean() == pytest.approx(share / 2, abs=4 * deviation)
    assert set(np.unique(salted)) == {0, 102, 255}


def test_defocus_blur_of_a_point() -> None:
    """Severity 5: a disk of radius 1.5 is 3 x 3 pixels, and its smoothing has next to no width."""
    point = np.zeros((1, 9, 9, 3), np.uint8)
    point[0, 4, 4] = 252
    out = corrupt(point, "defocus_blur", 5)
    np.testing.assert_array_equal(out[0, 3:6, 3:6], 28)
    assert out.astype(int).sum() == 3 * 252


def test_disk() -> None:
    cross = disk(1, 0.2)
    assert cross.shape == (5, 5)
    np.testing.assert_allclose(cross[2, 1:4], 0.2, atol=1e-5)  # exp(-12.5) is the next tap
    tap = np.exp(-1 / (2 * 0.4**2))
    taps = np.array([tap, 1, tap]) / (1 + 2 * tap)
    np.testing.assert_allclose(disk(0.3, 0.4), np.outer(taps, taps), atol=1e-12)


def test_zoom_weights() -> None:
    np.testing.assert_array_equal(zoom_weights(32, 1.0), np.eye(32))
    # 1.25: 26 of 32 points, from the third on, become round(32.5) = 32 (half to even), no cut.
    ramp = zoom_weights(32, 1.25) @ np.arange(32)
    np.testing.assert_allclose(ramp, 3 + np.linspace(0, 25, 32), atol=1e-9)
    for factor in 1 + 0.01 * np.arange(26):
        np.testing.assert_allclose(zoom_weights(32, factor).sum(1), 1)


def test_zoom_factors_are_the_published_ranges() -> None:
    ends = (1.06, 1.11, 1.16, 1.21, 1.26)
    assert tuple(len(np.arange(1, end, 0.01)) for end in ends) == corruptions.ZOOM_BLUR


def test_contrast_keeps_the_mean() -> None:
    row = np.array([40, 80, 120, 160], np.uint8)
    image = np.broadcast_to(row[None, :, None, None], (1, 4, 4, 3)).copy()
    np.testing.assert_array_equal(corrupt(image, "contrast", 2)[0, :, 0, 0], [70, 90, 110, 130])


def test_fog_lies_between_haze_and_brightest() -> None:
    """Severity 4 adds 0 to 1 and halves what is brightest at 1: black becomes 0 to 127."""
    image = np.zeros((1, 32, 32, 3), np.uint8)
    image[0, 0, 0] = 255
    out = corrupt(image, "fog", 4)[0]
    assert (out[..., 0] == out[..., 1]).all() and (out[..., 0] == out[..., 2]).all()
    black = out[..., 0].ravel()[1:]
    assert black.min() <= 5 and 120 <= black.max() <= 127


def test_plasma_is_smooth_and_fills_its_range() -> None:
    clouds = plasma(20, 32, 3, np.random.default_rng(0))
    np.testing.assert_array_equal(clouds.min((1, 2)), 0)
    np.testing.assert_array_equal(clouds.max((1, 2)), 1)
    neighbours = np.abs(np.diff(clouds, axis=1)).mean()
    assert neighbours < 0.3 * np.abs(clouds[:, :16] - clouds[:, 16:]).mean()


def test_upside_down(images: Array) -> None:
    np.testing.assert_array_equal(corrupt(images, "upside_down")[:, 0], images[:, -1])

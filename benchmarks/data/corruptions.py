# SPDX-License-Identifier: Apache-2.0
"""Corruptions of CIFAR-10-C, five severities each, and images upside down.

Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations", ICLR 2019, with the constants of its CIFAR-10-C. Random numbers are others, so
images are not those of the published files. Of its corruptions, those are here that NumPy alone
can do. All take and give uint8 (N, H, H, C).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

import numpy as np

from benchmarks.data.images import linear_weights, resample
from mcutrain.trainer.graph.tensor import Array

SEVERITIES = range(1, 6)
BLOCK = 500  # images that are corrupted at a time: bounds memory

# Standard deviations of the noise; images are in [0, 1] everywhere below.
GAUSSIAN_NOISE = (0.04, 0.06, 0.08, 0.09, 0.10)
# Photons at full brightness.
SHOT_NOISE = (500, 250, 100, 75, 50)
# Share of values that turn black or white.
IMPULSE_NOISE = (0.01, 0.02, 0.03, 0.05, 0.07)
# Radius of the disk, and standard deviation of the blur that smooths its edge.
DEFOCUS_BLUR = ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1))
# Zoom factors are 1.00, 1.01, ...: how many. The published ranges end before 1.06, 1.11, 1.16,
# 1.21 and 1.26, but the first two take their end in, by rounding.
ZOOM_BLUR = (7, 12, 16, 21, 26)
# What is left of the contrast.
CONTRAST = (0.75, 0.5, 0.4, 0.3, 0.15)
# How much fog there is, and by how much its detail fades with each octave.
FOG = ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75))

Corruption = Callable[[Array, int, np.random.Generator], Array]


def corrupt(images: Array, name: str, severity: int = 5, seed: int = 0) -> Array:
    """``images`` uint8 (N, H, H, C) under corruption ``name`` at ``severity`` 1 to 5: uint8.

    Same arguments, same images. Upside down has one severity, whatever is asked for. Raises
    ValueError for a name that is not in CORRUPTIONS, or another severity.
    """
    if name not in CORRUPTIONS or severity not in SEVERITIES:
        raise ValueError(f"no corruption '{name}' of severity {severity}; {', '.join(CORRUPTIONS)}")
    out = np.empty_like(images)
    for start in range(0, len(images), BLOCK):
        block = slice(start, start + BLOCK)
        rng = np.random.default_rng([seed, zlib.crc32(name.encode()), severity, start])
        real = CORRUPTIONS[name](images[block] / 255, severity, rng)
        # A hair added before truncating, so that a value that is not changed stays.
        out[block] = (np.clip(real, 0, 1) * 255 + 1e-6).astype(np.uint8)
    return out


def gaussian_noise(x: Array, severity: int, rng: np.random.Generator) -> Array:
    return x + rng.normal(0, GAUSSIAN_NOISE[severity - 1], x.shape)


def shot_noise(x: Array, severity: int, rng: np.random.Generator) -> Array:
    """Poisson noise of so many photons."""
    photons = SHOT_NOISE[severity - 1]
    return rng.poisson(x * photons) / photons


def impulse_noise(x: Array, severity: int, rng: np.random.Generator) -> Array:
    """Salt and pepper, in each channel on its own, as much of one as of the other."""
    half = IMPULSE_NOISE[severity - 1] / 2
    draw = rng.random(x.shape)
    return np.where(draw < half, 0.0, np.where(draw < 2 * half, 1.0, x))


def defocus_blur(x: Array, severity: int, rng: np.random.Generator) -> Array:
    """Convolution with a disk; the border is mirrored, its outermost pixel not repeated."""
    kernel = disk(*DEFOCUS_BLUR[severity - 1])
    reach, size = len(kernel) // 2, x.shape[1]
    padded = np.pad(x, ((0, 0), (reach, reach), (reach, reach), (0, 0)), "reflect")
    out = np.zeros_like(x)
    for (i, j), weight in np.ndenumerate(kernel):
        if weight:
            out += weight * padded[:, i : i + size, j : j + size]
    return out


def disk(radius: float, deviation: float) -> Array:
    """A disk of sum 1 on the pixel grid, its edge smoothed by 3 x 3 taps of a Gaussian."""
    reach = int(radius) + 1  # one more than the disk, for the smoothing
    grid = np.arange(-reach, reach + 1)
    inside = (grid[:, None] ** 2 + grid**2 <= radius**2).astype(np.float64)
    taps = np.exp(-(np.array([-1.0, 0, 1]) ** 2) / (2 * deviation**2))
    smooth = sum(tap * np.eye(len(grid), k=k) for k, tap in zip((-1, 0, 1), taps, strict=True))
    return np.asarray(smooth @ inside @ smooth / (inside.sum() * taps.sum() ** 2))


def zoom_blur(x: Array, severity: int, rng: np.random.Generator) -> Array:
    """The mean of the image and of its centre at each zoom factor."""
    factors = 1 + 0.01 * np.arange(ZOOM_BLUR[severity - 1])
    total = x + sum(resample(x, zoom_weights(x.shape[1], factor)) for factor in factors)
    return np.asarray(total / (len(factors) + 1))


def zoom_weights(size: int, factor: float) -> Array:
    """(size, size): the centre ``ceil(size / factor)`` points, zoomed corner to corner and cut."""
    count = int(np.ceil(size / factor))
    zoomed = round(count * factor)
    cut = (zoomed - size) // 2
    step = (count - 1) / (zoomed - 1)
    positions = (size - count) // 2 + step * (cut + np.arange(size))
    return linear_weights(positions, size)


def contrast(x: Array, severity: int, rng: np.random.Generator) -> Array:
    """Each channel nearer to its mean over the image."""
    means = x.mean((1, 2), keepdims=True)
    return np.asarray(means + CONTRAST[severity - 1] * (x - means))


def fog(x: Array, severity: int, rng: np.random.Generator) -> Array:
    """Plasma added to all channels, then scaled so that the brightest could be as before."""
    amount, fading = FOG[severity - 1]
    brightest = x.max((1, 2, 3), keepdims=True)
    side = 1 << (x.shape[1] - 1).bit_length()
    clouds = plasma(len(x), side, fading, rng)[:, : x.shape[1], : x.shape[2], None]
    return np.asarray((x + amount * clouds) * brightest / (brightest + amount))


def plasma(count: int, side: int, fading: float, rng: np.random.Generator) -> Array:
    """(count, side, side) in [0, 1]: fractal noise by diamond and square steps on a torus.

    Fournier, Fussell and Carpenter 1982. ``side`` is a power of two. A new point is the mean of
    its four neighbours and a random term, uniform in +-amplitude squared; the amplitude begins
    at 100 and is divided by ``fading`` with each octave.
    """
    height = np.zeros((count, side, side))
    amplitude, step = 100.0, side

    def displaced(sums: Array) -> Array:
        return np.asarray(sums / 4 + amplitude * rng.uniform(-amplitude, amplitude, sums.shape))

    while step >= 2:
        half = step // 2
        corners = height[:, ::step, ::step]
        pairs = corners + np.roll(corners, -1, 1)
        centres = displaced(pairs + np.roll(pairs, -1, 2))
        height[:, half::step, half::step] = centres
        # Each edge point lies between two corners and, across the edge, two centres.
        upper = corners + np.roll(corners, -1, 2) + centres + np.roll(centres, 1, 1)
        height[:, ::step, half::step] = displaced(upper)
        left = corners + np.roll(corners, -1, 1) + centres + np.roll(centres, 1, 2)
        height[:, half::step, ::step] = displaced(left)
        step, amplitude = half, amplitude / fading
    height -= height.min((1, 2), keepdims=True)
    return np.asarray(height / height.max((1, 2), keepdims=True))


def upside_down(x: Array, severity: int, rng: np.random.Generator) -> Array:
    """Rows in reverse order; no corruption of CIFAR-10-C."""
    return x[:, ::-1]


CORRUPTIONS: dict[str, Corruption] = {
    "gaussian_noise": gaussian_noise,
    "shot_noise": shot_noise,
    "impulse_noise": impulse_noise,
    "defocus_blur": defocus_blur,
    "zoom_blur": zoom_blur,
    "contrast": contrast,
    "fog": fog,
    "upside_down": upside_down,
}

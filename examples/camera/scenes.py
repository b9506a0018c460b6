# SPDX-License-Identifier: Apache-2.0
"""Pictures of small parts on a conveyor belt, made up: what a camera above the belt sees.

A place says how the camera is mounted and what the light is like there. Each picture has one part
of one of six kinds, which lies anywhere near the middle and is turned by any angle.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mcutrain.trainer.graph.tensor import Array

SIZE = 32  # pixels a side
FINE = 2  # rays for each pixel, a side: edges are not jagged
Mask = npt.NDArray[np.bool_]
CLASSES = ("washer", "nut", "screw", "bracket", "plate", "gear")


@dataclass(frozen=True)
class Place:
    """Brightness is 0 for black and 1 for white; each pair is a range that a picture draws from.

    ``tilt`` is how much the belt's far side is smaller than its near side, as a share. ``slope`` is
    what the light gains from one edge to the other. ``grain`` and ``stripes`` are the contrast of
    the belt's texture. ``noise`` is the deviation of a pixel; ``blur`` a share of the neighbours.
    """

    part: tuple[float, float]
    belt: tuple[float, float]
    tilt: tuple[float, float]
    slope: tuple[float, float]
    scale: tuple[float, float]  # half of a part's length, as a share of half of the picture
    grain: float
    stripes: float
    noise: float
    blur: float


FACTORY = Place(
    part=(0.15, 0.45), belt=(0.65, 0.95), tilt=(0.0, 0.1), slope=(-0.1, 0.1), scale=(0.65, 0.9),
    grain=0.04, stripes=0.0, noise=0.03, blur=0.0,
)  # fmt: skip
# Darker, seen at an angle and from further away, with light from one side and a ribbed belt.
MOVED = Place(
    part=(0.05, 0.2), belt=(0.4, 0.55), tilt=(0.15, 0.3), slope=(0.1, 0.2), scale=(0.6, 0.8),
    grain=0.05, stripes=0.06, noise=0.03, blur=0.1,
)  # fmt: skip


def covers(kind: int, u: Array, v: Array) -> Mask:
    """Whether a part covers the points (u, v), from -1 to 1, of its own axes."""
    radius, angle = np.hypot(u, v), np.arctan2(v, u)
    match CLASSES[kind]:
        case "washer":
            return np.asarray(np.abs(radius - 0.7) < 0.2)
        case "nut":
            sides = [np.abs(u * np.cos(a) + v * np.sin(a)) for a in np.arange(3) * np.pi / 3]
            return np.asarray((np.max(sides, 0) < 0.8) & (radius > 0.25))
        case "screw":
            head = (np.abs(u + 0.75) < 0.22) & (np.abs(v) < 0.5)
            return head | ((np.abs(v) < 0.2) & (np.abs(u) < 0.95))
        case "bracket":
            upright = (np.abs(u + 0.6) < 0.25) & (np.abs(v) < 0.85)
            return upright | ((np.abs(v - 0.6) < 0.25) & (np.abs(u) < 0.85))
        case "plate":
            holes = np.hypot(np.abs(u) - 0.4, np.abs(v) - 0.4) < 0.18
            return (np.maximum(np.abs(u), np.abs(v)) < 0.75) & ~holes
        case _:  # gear
            rim = 0.72 + 0.22 * np.sign(np.cos(7 * angle))
            return np.asarray((radius < rim) & (radius > 0.22))


def picture(kind: int, place: Place, rng: np.random.Generator) -> Array:
    """(SIZE, SIZE) float64 from 0 to 1."""
    fine = SIZE * FINE
    axis = (np.arange(fine) + 0.5) / fine * 2 - 1
    y, x = np.meshgrid(axis, axis, indexing="ij")
    # A point of the picture lies further away on the belt the higher it is.
    distance = 1 - rng.uniform(*place.tilt) * y
    belt_x, belt_y = x * distance, y * distance
    turn, scale = rng.uniform(0, 2 * np.pi), rng.uniform(*place.scale)
    dx, dy = (
        (belt_x - rng.uniform(-0.15, 0.15)) / scale,
        (belt_y - rng.uniform(-0.15, 0.15)) / scale,
    )
    u, v = dx * np.cos(turn) + dy * np.sin(turn), dy * np.cos(turn) - dx * np.sin(turn)
    is_part = covers(kind, u, v)

    shade = rng.uniform(*place.part) + 0.1 * rng.uniform() * u  # its surface is not flat
    ribs = place.stripes * np.sign(np.sin(2 * np.pi * (4 * belt_x + rng.uniform())))
    grain = place.grain * np.kron(rng.normal(size=(fine // 4, fine // 4)), np.ones((4, 4)))
    seen = np.where(is_part, shade, rng.uniform(*place.belt) + ribs + grain)
    seen = seen + rng.uniform(*place.slope) * x
    pixels = seen.reshape(SIZE, FINE, SIZE, FINE).mean((1, 3))
    around = sum(np.roll(pixels, step, side) for step in (-1, 1) for side in (0, 1)) / 4
    pixels = (1 - place.blur) * pixels + place.blur * around
    return np.asarray(np.clip(pixels + place.noise * rng.normal(size=pixels.shape), 0, 1))


def pictures(place: Place, per_class: int, seed: int) -> tuple[Array, Array]:
    """x (N, SIZE, SIZE, 1) float64 and y (N,): so many of each kind, one kind after the other in
    turn."""
    rng = np.random.default_rng(seed)
    y = np.tile(np.arange(len(CLASSES)), per_class)
    return np.stack([picture(int(kind), place, rng) for kind in y])[..., None], y

# SPDX-License-Identifier: Apache-2.0
"""Float optimisers, each over a list of gradients; a first axis may hold several runs."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

SGD, MOMENTUM, ADAM = "SGD", "momentum", "Adam"


class Sgd:
    """The gradient itself."""

    def directions(self, gradients: list[Tensor]) -> list[Tensor]:
        """What a step at rate 1 takes from each parameter."""
        return gradients


class Momentum:
    """Polyak 1964 with 0.9, as deep learning writes it: v = 0.9 v + g."""

    def __init__(self) -> None:
        self.velocities: list[Tensor] = []

    def directions(self, gradients: list[Tensor]) -> list[Tensor]:
        kept = self.velocities or [g * 0 for g in gradients]
        self.velocities = [0.9 * v + g for v, g in zip(kept, gradients, strict=True)]
        return self.velocities


class Adam:
    """Kingma and Ba 2015, algorithm 1, with its constants."""

    def __init__(self) -> None:
        self.first: list[Tensor] = []
        self.second: list[Tensor] = []
        self.steps = 0

    def directions(self, gradients: list[Tensor]) -> list[Tensor]:
        self.steps += 1
        first = self.first or [g * 0 for g in gradients]
        second = self.second or [g * 0 for g in gradients]
        self.first = [0.9 * m + 0.1 * g for m, g in zip(first, gradients, strict=True)]
        self.second = [0.999 * v + 0.001 * g * g for v, g in zip(second, gradients, strict=True)]
        even, odd = 1 - 0.9**self.steps, 1 - 0.999**self.steps
        pairs = zip(self.first, self.second, strict=True)
        return [m / even / ((v / odd).sqrt() + 1e-8) for m, v in pairs]


OPTIMISERS: dict[str, Callable[[], Sgd | Momentum | Adam]] = {
    SGD: Sgd,
    MOMENTUM: Momentum,
    ADAM: Adam,
}

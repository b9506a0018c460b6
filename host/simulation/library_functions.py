# SPDX-License-Identifier: Apache-2.0
"""The functions of a model in a shared library, which this computer executes itself."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np

from mcutrain.host.building.library import LibraryModel
from mcutrain.host.errors import EmulationError
from mcutrain.trainer.training_plan import TrainingPlan


class LibraryFunctions:
    """A Functions (host/simulation/function_device.py) over a library of ``plan``. A library that
    is loaded twice is one model."""

    def __init__(self, plan: TrainingPlan, library: Path) -> None:
        self._library = LibraryModel(plan, library)
        self.name, self.model = str(library), plan.name

    def has(self, function: str) -> bool:
        """The compiler of a shared library drops nothing."""
        return True

    def call(self, function: str, *arguments: int) -> int:
        return int(self._library.call(function, *arguments)) & 0xFFFFFFFF

    def count(self, function: str, *arguments: int) -> tuple[int, int]:
        raise EmulationError(
            f"{self.name}: this computer does not count its instructions; give "
            "--target unicorn:CORE"
        )

    def stop_counting(self) -> None:
        """There is nothing to stop."""

    def push(self, function: str, data: bytes) -> int:
        return self._library.push(function, 0, np.frombuffer(data, np.int8))

    def loss(self) -> tuple[int, int]:
        found = self._library.loss()
        return int(found.sum), int(found.distance)

    def recall_latent(self, slot: int) -> tuple[int, int]:
        label = ctypes.c_uint32()
        status = self._library.recall_latent(slot, label)
        return status, int(label.value)

    def read(self, region: str, offset: int, nbytes: int) -> bytes:
        return self._library.regions[region][offset : offset + nbytes].tobytes()

    def write(self, region: str, offset: int, data: bytes) -> None:
        self._library.regions[region][offset : offset + len(data)] = np.frombuffer(data, np.uint8)

# SPDX-License-Identifier: Apache-2.0
"""The finished phases of a work in a folder, so that the same command goes on after them.

Each lies in a file of its own, whose name has a hash of all that it depends on: of the model, the
inputs, the options and the phases before it. A file is put in place whole, so that there is none
that a killed process left half done; what cannot be read is made again.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from mcutrain.host.files import write_whole
from mcutrain.host.npz import DAMAGED
from mcutrain.trainer.graph.tensor import Array

TOLD = "told"  # the array that holds a phase's JSON


@dataclass(frozen=True)
class Phase:
    """What a phase came to: arrays by name, and what is said of them, as JSON."""

    arrays: Mapping[str, Array]
    told: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Phases:
    """The phases of one work, whose ``key`` is a hash of all that they depend on; the files of
    another size of the same model have ``suffix`` in their names."""

    folder: Path
    key: str
    suffix: str = ""

    def behind(self, **depends: Any) -> Phases:
        """The phases that depend on more: on a choice, on what a phase was asked for."""
        return replace(self, key=digest(self.key, depends))

    def of(self, suffix: str) -> Phases:
        return replace(self, suffix=suffix)

    def done(self, name: str, work: Callable[[], Phase]) -> Phase:
        """What the phase ``name`` came to, or comes to now by ``work``. Raises Error, as ``work``
        does too."""
        kind = f"{name}{self.suffix}"
        path = self.folder / f"{kind}-{digest(self.key, name)}.npz"
        found = read(path)
        if found is None:
            found = work()
            write_whole(path, packed(found))
            for old in self.folder.glob(f"{kind}-*.npz"):
                if old != path:
                    with suppress(OSError):
                        old.unlink()
        return found


def digest(*parts: Any) -> str:
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def packed(phase: Phase) -> bytes:
    buffer = io.BytesIO()
    told = np.frombuffer(json.dumps(phase.told).encode(), np.uint8)
    np.savez(buffer, **{TOLD: told, **phase.arrays})  # type: ignore[arg-type]
    return buffer.getvalue()


def read(path: Path) -> Phase | None:
    """None if there is no such file, or it is damaged."""
    try:
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files}
        told = json.loads(arrays.pop(TOLD).tobytes())
    except (OSError, KeyError, UnicodeDecodeError, *DAMAGED):
        return None
    return Phase(arrays, told) if isinstance(told, dict) else None

# SPDX-License-Identifier: Apache-2.0
"""`mcutrain calibrate`: a model file whose activation ranges fit the user's samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from mcutrain.host.data.options import DEFAULT_DATA_OPTIONS, DataOptions
from mcutrain.host.files import write_whole
from mcutrain.host.training.dataset import load_samples
from mcutrain.host.training.ranges import End
from mcutrain.trainer.calibration import calibrate
from mcutrain.trainer.graph.tensor import QuantParams
from mcutrain.trainer.tflite.reader import load


def calibrated(
    path: Path,
    data: Path,
    count: int,
    output: Path,
    done: Callable[[int, int], None],
    reading: DataOptions = DEFAULT_DATA_OPTIONS,
) -> dict[str, Any]:
    """Write ``output``, the model in ``path`` fitted to ``count`` training samples of ``data`` from
    all over them; what was changed, for people. Raises Error."""
    model = load(path)
    x, notes = load_samples(data, End(model.input.type, pixels=model.pixels), reading)
    chosen = np.unique(np.linspace(0, len(x) - 1, min(count, len(x))).round().astype(int))
    found = calibrate(path.read_bytes(), x[chosen], done)
    write_whole(output, found.data)
    return {
        "output": str(output),
        "samples": len(chosen),
        "clipped": max((n.figure for n in notes if n.kind == "clipped"), default=0.0),
        "notes": [asdict(note) for note in notes],
        "tensors": [
            {"name": name, "before": span(old), "after": span(new)}
            for name, (old, new) in found.changes.items()
        ],
    }


def span(quant: QuantParams) -> list[float]:
    """The real values at the ends of int8."""
    return [(end - quant.zero_point) * quant.scale for end in (-128, 127)]

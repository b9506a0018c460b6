# SPDX-License-Identifier: Apache-2.0
"""The published int8 models that benchmarks start from, which the project does not ship."""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks.data.fetch import DataUnavailable

VARIABLE = "MCUTRAIN_MODELS"
BESIDE = Path(__file__).parents[3] / "shared" / "models"


def model_file(name: str) -> Path:
    """The path of ``name`` (``mlperf-tiny/...``) in the folder of real models."""
    folder = Path(os.environ.get(VARIABLE) or BESIDE)
    path = folder / name
    if not path.is_file():
        raise DataUnavailable(f"{name}: not found; set {VARIABLE} to the folder that holds it")
    return path

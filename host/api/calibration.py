# SPDX-License-Identifier: Apache-2.0
"""Fits a model's activations to samples."""

from __future__ import annotations

import os
from pathlib import Path

from mcutrain.host.api.data import Data, load_data
from mcutrain.host.api.errors import raises_errors
from mcutrain.host.api.model import ModelFile, load
from mcutrain.host.training.calibration import calibrated
from mcutrain.host.training.reporter import nothing
from mcutrain.trainer.errors import Error


@raises_errors
def calibrate(
    model: ModelFile, data: Data, output: str | os.PathLike[str], samples: int = 200
) -> Path:
    """Write a copy of a model whose activation ranges fit your samples; do so before you train it.

    A model holds what its activations reached on the data that it was quantised with. Where yours
    reach less or more, it trains better with ranges of their own. Weights stay as they are.

    Args:
        model: The model, or its path.
        data: The data, of which ``x_train`` alone is looked at.
        output: The .tflite file to write.
        samples: How many training samples are looked at, from all over them.

    Returns:
        The path of the new model.

    Raises:
        Error: The samples do not fit the model, or the file cannot be written.
    """
    read, path = load(model), Path(output)
    if samples < 1:
        raise Error(f"samples is {samples}: give 1 or more")
    if path.resolve() == read.path.resolve():
        raise Error(f"output {path} is the model itself: give another file")
    found = load_data(data)
    calibrated(read.path, found.path, samples, path, nothing, found.reading)
    return path

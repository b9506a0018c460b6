# SPDX-License-Identifier: Apache-2.0
"""What a model file holds beside its network."""

from __future__ import annotations

from typing import Any

from mcutrain.trainer.errors import ModelError
from mcutrain.trainer.tflite.buffers import contents

MAX_METADATA = 1 << 12  # entries
MAX_TEXT = 80  # bytes
CALIBRATION = "mcutrain.calibration"  # and a model whose ranges were fitted to samples
TRAINING_STATE = "mcutrain.training_state"  # name of the metadata that an export holds


def training_state(file: Any, where: str) -> bytes | None:
    """The bytes of a TrainingState, unchecked; None if the file has none."""
    return entry(file, where, TRAINING_STATE)


def calibration(file: Any, where: str) -> str | None:
    """With how many samples the ranges of the file were calibrated, in words; None if nobody
    says that they were."""
    found = entry(file, where, CALIBRATION)
    if found is None:
        return None
    text = found[:MAX_TEXT].decode("ascii", "replace")
    return text if text.isprintable() else "damaged metadata"


def entry(file: Any, where: str, name: str) -> bytes | None:
    """The bytes of a metadata entry; None if the file has none."""
    if file.MetadataLength() > MAX_METADATA:
        raise ModelError(f"{where} has {file.MetadataLength()} metadata entries")
    for each in map(file.Metadata, range(file.MetadataLength())):
        if each.Name() == name.encode():
            return contents(file, each.Buffer(), f"{where}: the metadata {name}") or None
    return None

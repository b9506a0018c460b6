# SPDX-License-Identifier: Apache-2.0
"""What a model file holds beside its network."""

from __future__ import annotations

from typing import Any

from mcutrain.trainer.errors import ModelError

MAX_METADATA = 1 << 12  # entries
TRAINING_STATE = "mcutrain.training_state"  # name of the metadata that an export holds


def training_state(file: Any, where: str) -> bytes | None:
    """The bytes of a TrainingState, unchecked; None if the file has none."""
    if file.MetadataLength() > MAX_METADATA:
        raise ModelError(f"{where} has {file.MetadataLength()} metadata entries")
    for entry in map(file.Metadata, range(file.MetadataLength())):
        if entry.Name() == TRAINING_STATE.encode():
            if entry.Buffer() >= file.BuffersLength():
                raise ModelError(f"{where}: the metadata {TRAINING_STATE} has no buffer")
            data = file.Buffers(entry.Buffer()).DataAsNumpy()
            return None if isinstance(data, int) else bytes(data.tobytes())
    return None

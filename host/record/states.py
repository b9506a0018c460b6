# SPDX-License-Identifier: Apache-2.0
"""A state as a record has it: the same bytes on every chip."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np

from mcutrain.trainer.graph.tensor import Array, Tensor
from mcutrain.trainer.interpreter import pack_state, unpack_state
from mcutrain.trainer.training_plan import TrainingPlan


def state_bytes(plan: TrainingPlan, region: bytes) -> bytes:
    """The tensors of a state region, little-endian, one behind the other in the plan's order: a
    region has gaps between them where a chip wants them."""
    return values_bytes(plan, unpack_state(plan, region))


def values_bytes(plan: TrainingPlan, values: Mapping[Tensor, Array]) -> bytes:
    """The same of tensors."""
    arrays = (values[tensor] for tensor in plan.learning.state)
    return b"".join(a.astype(a.dtype.newbyteorder("<")).tobytes() for a in arrays)


def region_of(plan: TrainingPlan, found: bytes) -> bytes:
    """The state region of ``state_bytes``. Raises ValueError if they are not of the plan's size."""
    values, start = {}, 0
    for tensor in plan.learning.state:
        raw = found[start : start + tensor.type.nbytes]
        if len(raw) != tensor.type.nbytes:
            raise ValueError(f"{len(found)} bytes are too few")
        flat = np.frombuffer(raw, tensor.type.dtype.np.newbyteorder("<"))
        values[tensor] = flat.astype(tensor.type.dtype.np).reshape(tensor.type.shape)
        start += len(raw)
    if start != len(found):
        raise ValueError(f"{len(found) - start} bytes are too many")
    return pack_state(plan, values)


def state_hash(plan: TrainingPlan, region: bytes) -> bytes:
    """The SHA-256 of ``state_bytes``."""
    return hashlib.sha256(state_bytes(plan, region)).digest()

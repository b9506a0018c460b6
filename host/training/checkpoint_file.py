# SPDX-License-Identifier: Apache-2.0
"""Files of checkpoints: all that a run needs to go on where it stopped.

A file is an .npz, not packed, without pickles:

    checkpoint   uint8: JSON with "magic", "version", "identity" (what makes the run this one),
                 "decided" (what was found before the first step), "reached" (how far it has come,
                 null before its first step) and "extra" (positions of whoever goes along with it)
    KIND/TENSOR  a state by the names of its tensors: of KIND "from" (that the run began with), and
                 of a run that has begun "now", "first" (before its first step) and "best" (of the
                 guard); "from" and "best" only where there is one
    losses       float64: of each step so far
    codes, predicted   int8, int64: what the first state made of the test samples, if it was asked
    sha256       uint8 (32,): over the name, type, shape and bytes of all others, sorted by name

States are stored by tensor, so that a run can go on where they lie elsewhere in memory.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mcutrain.host.failure import reason
from mcutrain.host.files import write_whole
from mcutrain.host.npz import DAMAGED, NpzFile
from mcutrain.trainer.errors import DataError, ModelError
from mcutrain.trainer.graph.tensor import Array, Tensor
from mcutrain.trainer.interpreter import pack_state, unpack_state
from mcutrain.trainer.training_plan import TrainingPlan
from mcutrain.trainer.training_state import check_state

MAGIC, VERSION = "mcutrain checkpoint", 1
HEADER, DIGEST = "checkpoint", "sha256"
FROM, NOW, FIRST, BEST = "from", "now", "first", "best"  # kinds of states
LOSSES, CODES, PREDICTED = "losses", "codes", "predicted"
# What JSON of another form, though its digest is right, makes Python raise.
MISFORMED = (ValueError, TypeError, LookupError, AttributeError, RecursionError, OverflowError)
BEGIN_ANEW = "--fresh begins anew"

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds; ``path`` is for messages. ``arrays`` are all but header and digest."""

    path: Path
    identity: Mapping[str, str]
    decided: Json
    reached: Json | None = None
    extra: Json = field(default_factory=dict)
    arrays: Mapping[str, Array] = field(default_factory=dict)

    def has(self, kind: str) -> bool:
        return any(name.startswith(f"{kind}/") for name in self.arrays)

    def state(self, plan: TrainingPlan, kind: str) -> bytes:
        """A state as it lies in the memory of ``plan``. Raises DataError if it is none of it."""
        values: dict[Tensor, Array] = {}
        for tensor in plan.learning.state:
            value = self.arrays.get(f"{kind}/{tensor.name}")
            fits = value is not None and value.shape == tensor.type.shape
            if value is None or not fits or value.dtype != tensor.type.dtype.np:
                raise self.damaged(f"the tensor {tensor.name} is missing or misshapen")
            values[tensor] = value
        try:
            check_state(plan, values)
        except ModelError as err:
            raise self.damaged(str(err)) from err
        return pack_state(plan, values)

    def damaged(self, why: str) -> DataError:
        return DataError(f"the checkpoint {self.path} is damaged: {why}; {BEGIN_ANEW}")


def state_arrays(plan: TrainingPlan, kind: str, state: bytes) -> dict[str, Array]:
    """A packed state as arrays of a checkpoint."""
    return {f"{kind}/{tensor.name}": v for tensor, v in unpack_state(plan, state).items()}


def write_checkpoint(checkpoint: Checkpoint) -> None:
    """Put it in the place of the one before, whole and at once. Raises Error if that cannot be;
    the one before is then still there."""
    header = {
        "magic": MAGIC,
        "version": VERSION,
        "identity": dict(checkpoint.identity),
        "decided": checkpoint.decided,
        "reached": checkpoint.reached,
        "extra": checkpoint.extra,
    }
    raw = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    arrays: dict[str, Any] = {HEADER: np.frombuffer(raw, np.uint8), **checkpoint.arrays}
    arrays[DIGEST] = np.frombuffer(digest_of(arrays.items()), np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    write_whole(checkpoint.path, buffer.getvalue())


def begins_as_checkpoint(path: Path) -> bool:
    """Whether a file is a checkpoint by its first bytes: those of a zip whose first member is the
    header. Raises DataError if it cannot be read."""
    try:
        with path.open("rb") as file:
            head = file.read(64)
            return head.startswith(b"PK\3\4") and f"{HEADER}.npy".encode() in head
    except OSError as err:
        raise DataError(f"cannot read the checkpoint {path}: {reason(err)}") from err


def read_checkpoint(path: Path) -> Checkpoint:
    """Raises DataError for a file that cannot be read, is damaged, or no checkpoint."""
    if path.is_file() and not begins_as_checkpoint(path):
        raise DataError(f"{path} is no checkpoint: give another file")
    try:
        with NpzFile(path) as file:
            if HEADER not in file or DIGEST not in file:
                raise DataError(f"{path} is no checkpoint: give another file")
            arrays = {name: file[name].read() for name in file.names}
    except OSError as err:
        raise DataError(f"cannot read the checkpoint {path}: {err.strerror or err}") from err
    except DAMAGED as err:
        raise DataError(
            f"the checkpoint {path} is damaged, or no checkpoint: give another file; {BEGIN_ANEW} "
            "in it"
        ) from err
    found, raw = arrays.pop(DIGEST), arrays.pop(HEADER).tobytes()
    checkpoint = Checkpoint(path, {}, {})
    told: dict[str, Any] = {HEADER: np.frombuffer(raw, np.uint8), **arrays}
    if found.tobytes() != digest_of(told.items()):
        raise checkpoint.damaged("its digest is not that of what it holds")
    try:
        header = json.loads(raw)
        if header["magic"] != MAGIC or type(header["version"]) is not int:
            raise ValueError("it does not begin as one")
        if header["version"] != VERSION:
            raise DataError(
                f"the checkpoint {path} has version {header['version']}, and this program reads "
                f"{VERSION}: go on with the version that wrote it, or {BEGIN_ANEW}"
            )
        identity = {str(key): str(value) for key, value in header["identity"].items()}
        reached, extra = header["reached"], dict(header["extra"])
        if reached is not None:
            counts = [reached[name] for name in ("steps", "planned", "epochs")]
            if not all(type(count) is int and count >= 0 for count in counts):
                raise ValueError(f"{counts} steps, steps in all and epochs")
        return Checkpoint(path, identity, dict(header["decided"]), reached, extra, arrays)
    except DataError:
        raise
    except MISFORMED as err:
        raise checkpoint.damaged(f"its header cannot be read ({err})") from err


def digest_of(arrays: Iterable[tuple[str, Array]]) -> bytes:
    """The SHA-256 of arrays with their names, types and shapes."""
    found = hashlib.sha256()
    for name, array in sorted(arrays, key=lambda pair: pair[0]):
        told = f"{name} {array.dtype.str} {list(array.shape)} {array.nbytes}\n"
        found.update(told.encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.digest()

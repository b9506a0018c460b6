# SPDX-License-Identifier: Apache-2.0
"""Files of training state: what was learned, to go on with or to export."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mcutrain.host.files import write_whole
from mcutrain.host.npz import DAMAGED, NpzFile
from mcutrain.host.request import Request, read_options
from mcutrain.trainer.errors import DataError, Error, ModelError
from mcutrain.trainer.graph.tensor import Array, Tensor
from mcutrain.trainer.interpreter import pack_state, unpack_state
from mcutrain.trainer.training_plan import TrainingPlan
from mcutrain.trainer.training_state import TrainingState, check_state

HASH_KEY, PLAN_KEY = "numerics_hash", "training_state"


def save_state(path: Path, plan: TrainingPlan, state: bytes, request: Request) -> None:
    """Write the state as an .npz: each tensor by its name, and what the plan was made from."""
    tensors = unpack_state(plan, state)
    stored = TrainingState.of(plan, tensors, request.stored()).pack()
    arrays: Any = {tensor.name: value for tensor, value in tensors.items()}
    arrays[HASH_KEY] = np.frombuffer(plan.numerics_hash, np.uint8)
    arrays[PLAN_KEY] = np.frombuffer(stored, np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    write_whole(path, buffer.getvalue())


@contextmanager
def opened(path: Path) -> Iterator[NpzFile]:
    """Raises DataError where the file of a state cannot be read."""
    try:
        with NpzFile(path) as file:
            yield file
    except OSError as err:
        raise DataError(
            f"cannot read the state {path}: {err.strerror or err}; give a file that "
            "`mcutrain train --save` wrote"
        ) from err
    except DAMAGED as err:
        raise DataError(
            f"{path} is damaged, or not a file that `mcutrain train --save` wrote"
        ) from err


@dataclass(frozen=True)
class SavedState:
    """A file that ``save_state`` wrote; its tensors are read when the plan is known."""

    path: Path
    said: dict[str, Array]  # beside the tensors

    @classmethod
    def read(cls, path: Path) -> SavedState:
        """Raises DataError."""
        with opened(path) as file:
            said = {key: file[key].read() for key in (HASH_KEY, PLAN_KEY) if key in file}
        saved = cls(path, said)
        saved.raw(HASH_KEY)
        return saved

    def raw(self, key: str) -> bytes:
        found = self.said.get(key)
        if found is None or found.dtype != np.uint8:
            raise DataError(
                f"{self.path} was not written by `mcutrain train --save`: give one that was"
            )
        return found.tobytes()

    def request(self, model: Path) -> Request:
        """What the plan of the state is made from, with the model in ``model``. Raises Error."""
        stored = self.stored()
        return read_options(stored.options, model).but(update=stored.scheme)

    def stored(self) -> TrainingState:
        """What was saved beside the tensors. Raises Error."""
        with self._named():
            return TrainingState.unpack(self.raw(PLAN_KEY))

    @property
    def absent(self) -> str:
        """What it does with classes without samples: the option of that name. Raises Error."""
        return read_options(self.stored().options).options.absent

    def described(self) -> str:
        """The options that make the plan of the state, as far as the file tells."""
        try:
            request = self.request(Path())
        except Error:
            return "the options that it was trained with"
        return " ".join(["--update", request.options.update_name, *request.options.arguments()])

    def state(self, plan: TrainingPlan) -> bytes:
        """The state of ``plan``. Raises DataError if the file is another plan's."""
        if self.raw(HASH_KEY) != plan.numerics_hash:
            raise DataError(
                f"{self.path} is not the state of this plan: give the model that it was trained "
                f"from, and {self.described()}"
            )
        values: dict[Tensor, Array] = {}
        with opened(self.path) as file:
            for tensor in plan.learning.state:
                value = file.get(tensor.name)
                fits = value is not None and value.shape == tensor.type.shape
                if value is None or not fits or value.dtype != tensor.type.dtype.np:
                    raise DataError(
                        f"{self.path} is damaged: the tensor {tensor.name} is missing or misshapen"
                    )
                values[tensor] = value.read()
        with self._named():
            check_state(plan, values)
        self._check_digest(plan, values)
        return pack_state(plan, values)

    def _check_digest(self, plan: TrainingPlan, values: dict[Tensor, Array]) -> None:
        """Raises DataError unless the tensors are those that were saved, by their digest; those
        that it does not cover are there twice."""
        stored = self.stored()
        found = TrainingState.of(plan, values, stored.options)
        pairs = zip(found.arrays, stored.arrays, strict=False)
        if (
            found.digest != stored.digest
            or len(found.arrays) != len(stored.arrays)
            or not all(np.array_equal(one, other) for one, other in pairs)
        ):
            raise DataError(
                f"{self.path} is damaged: what it holds is not what was learned, by its digest; "
                "take another copy of it, or train again"
            )

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Errors in here are told with the file."""
        try:
            yield
        except ModelError as err:
            raise ModelError(f"{self.path}: {err}") from err

# SPDX-License-Identifier: Apache-2.0
"""What training needs beside the weights to go on where it stopped, as bytes.

magic "MCTS", version u16, 0 u16, bytes of the header u32     all numbers little-endian
header       JSON: scheme, options, digest, and the type and shape of each tensor
tensors      companions, histories, classes in use if any are spare, SGD state: by the plan;
             which classes were seen is said anew by the data of each training
CRC-32       u32 over everything before it
"""

from __future__ import annotations

import json
import math
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mcutrain.trainer.errors import ModelError
from mcutrain.trainer.graph.tensor import Array, DType, Role, Tensor
from mcutrain.trainer.interpreter import state_digest
from mcutrain.trainer.ops.weighted import Weighted
from mcutrain.trainer.options import Scheme
from mcutrain.trainer.training_plan import TrainingPlan

MAGIC, VERSION = b"MCTS", 1
PREFIX = struct.Struct("<4sHHII")
SGD_SHAPE = (4,)
MAX_NAME = 255
# What hostile JSON, or JSON of another form, makes Python raise.
HEADER_ERRORS = (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError)


@dataclass(frozen=True)
class TrainingState:
    """A scheme with its channels, the state beside weights and biases, and the caller's options.

    ``arrays`` are in the order of ``unlearned``. ``digest`` is the plan's (SPEC 1.5): it says
    which weights the state belongs to.
    """

    scheme: Scheme
    arrays: tuple[Array, ...]
    digest: int
    options: dict[str, Any]

    @property
    def seed(self) -> int:
        return int(self.arrays[-1][0])

    @property
    def steps(self) -> int:
        return int(self.arrays[-1][1])

    @classmethod
    def of(
        cls, plan: TrainingPlan, state: Mapping[Tensor, Array], options: Mapping[str, Any]
    ) -> TrainingState:
        """What ``state`` holds of the plan; ``options`` must be JSON.

        Where every spare class is in use, their number is left out: an export has no spare ones.
        Classes taken out of use again are left out too, and come back untrained.
        """
        state = without_unused_rows(plan, state)
        counted = plan.task.active
        if counted is not None and int(state[counted][0]) == plan.classes:
            rest = [t for t in plan.learning.state if t is not counted]
            plan = replace(
                plan,
                task=replace(plan.task, active=None),
                learning=replace(plan.learning, state=rest),
            )
        arrays = tuple(state[tensor] for tensor in unlearned(plan))
        return cls(chosen_scheme(plan), arrays, state_digest(plan, state), dict(options))

    def pack(self) -> bytes:
        """As bytes; the same state gives the same bytes."""
        header = {
            "scheme": scheme_json(self.scheme),
            "options": self.options,
            "tensors": [[DType.of(a).value, list(a.shape)] for a in self.arrays],
        }
        text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
        raw = PREFIX.pack(MAGIC, VERSION, 0, self.digest, len(text)) + text
        raw += b"".join(a.astype(a.dtype.newbyteorder("<")).tobytes() for a in self.arrays)
        return raw + struct.pack("<I", zlib.crc32(raw))

    @classmethod
    def unpack(cls, raw: bytes) -> TrainingState:
        """The inverse of ``pack``. Raises ModelError for any other bytes."""
        if len(raw) < PREFIX.size + 4 or raw[:4] != MAGIC:
            raise ModelError("the training state is damaged: it does not begin as one")
        _, version, _, digest, length = PREFIX.unpack_from(raw)
        if version != VERSION:
            raise ModelError(f"the training state has version {version}; this is {VERSION}")
        if zlib.crc32(raw[:-4]) != struct.unpack("<I", raw[-4:])[0]:
            raise ModelError("the training state is damaged: its CRC-32 is wrong")
        try:
            header = json.loads(raw[PREFIX.size : PREFIX.size + length])
            arrays = tuple(read_arrays(header["tensors"], raw[PREFIX.size + length : -4]))
            options = header["options"]
            if not isinstance(options, dict):
                raise ValueError("no options")
            if arrays[-1].shape != SGD_SHAPE or arrays[-1].dtype != np.uint32:
                raise ValueError("no seed and step")
            return cls(read_scheme(header["scheme"]), arrays, digest, options)
        except (*HEADER_ERRORS, IndexError) as err:
            raise ModelError(f"the training state is damaged: {err}") from err


def without_unused_rows(plan: TrainingPlan, state: Mapping[Tensor, Array]) -> dict[Tensor, Array]:
    """The state with zeros for the outputs of the head that are not in use."""
    changed = dict(state)
    if plan.task.active is None:
        return changed
    in_use = int(state[plan.task.active][0])
    head = [node for node in plan.forward if isinstance(node.op, Weighted)][-1]
    for tensor in head.inputs[1:3]:
        for part in (tensor, *plan.learning.companions.beside(tensor).values()):
            if part in changed and part.type.shape == tensor.type.shape:
                changed[part] = changed[part].copy()
                changed[part][in_use:] = 0
    return changed


def read_arrays(described: Any, raw: bytes) -> Iterator[Array]:
    """The tensors behind the header. Raises ValueError if they are not those it describes."""
    start = 0
    for name, dims in described:
        dtype = DType(name).np
        if not all(type(d) is int and 0 < d <= len(raw) for d in dims) or len(dims) > 8:
            raise ValueError(f"a tensor of shape {dims!r}")
        end = start + math.prod(dims) * dtype.itemsize
        if end > len(raw):
            raise ValueError(f"{len(raw)} bytes of tensors are too few")
        flat = np.frombuffer(raw[start:end], dtype.newbyteorder("<"))
        yield flat.astype(dtype).reshape(dims)
        start = end
    if start != len(raw):
        raise ValueError(f"{len(raw) - start} bytes are left")


def scheme_json(scheme: Scheme) -> dict[str, Any]:
    """A scheme as JSON; ``read_scheme`` reads it."""
    return {
        "name": scheme.name,
        "ratios": {str(k): ratio for k, ratio in sorted(scheme.ratios.items())},
        "biases": sorted(scheme.biases),
        "channels": {str(k): list(c) for k, c in sorted(scheme.channels.items())},
    }


def read_scheme(described: Any) -> Scheme:
    """A scheme of whole and positive numbers; whether it fits a model, ``apply_scheme`` says."""
    ratios = {int(k): float(ratio) for k, ratio in described["ratios"].items()}
    channels = {int(k): tuple(c) for k, c in described["channels"].items()}
    biases = frozenset(described["biases"])
    integers = [*biases, *(c for chosen in channels.values() for c in chosen)]
    if not all(type(i) is int and i >= 0 for i in (*integers, *ratios, *channels)):
        raise ValueError("layers or channels that are no numbers")
    if not all(0 < ratio <= 1 for ratio in ratios.values()) or not set(channels) <= set(ratios):
        raise ValueError("ratios out of range")
    name = described["name"]
    if not isinstance(name, str) or not name.isprintable() or len(name) > MAX_NAME:
        raise ValueError("a scheme without a proper name")
    return Scheme(name, ratios, biases, channels)


def unlearned(plan: TrainingPlan) -> list[Tensor]:
    """The state beside weights and biases, in the order of the plan's; SGD state is the last."""
    others = {*plan.learned, plan.task.seen}
    return [tensor for tensor in plan.learning.state if tensor not in others]


def chosen_scheme(plan: TrainingPlan) -> Scheme:
    """The plan's scheme with the channels that learn in each layer learned in part.

    Trained weights have other norms: the ratios alone would choose other channels.
    """
    layers = [(node, node.op) for node in plan.forward if isinstance(node.op, Weighted)]
    channels = {
        k: op.channels
        for k, (node, op) in enumerate(layers)
        if op.channels and op.split_inputs(node)[2].role is Role.PARAM
    }
    return replace(plan.scheme, channels=channels)


def resumed(plan: TrainingPlan, stored: TrainingState) -> TrainingPlan:
    """The plan, whose state at reset is now the stored one; but reset sets the seed.

    ``plan`` must be made of the exported model with ``stored.scheme`` and the same options.
    Raises ModelError if the state is not that of the plan and its weights.
    """
    tensors = unlearned(plan)
    if [t.type.shape for t in tensors] != [a.shape for a in stored.arrays] or any(
        t.type.dtype.np != a.dtype for t, a in zip(tensors, stored.arrays, strict=True)
    ):
        raise ModelError(
            f"the training state holds {len(stored.arrays)} tensors that are not the "
            f"{len(tensors)} of this plan: resume with the scheme and options of the export"
        )
    values = dict(zip(tensors, stored.arrays, strict=True))
    state = {t: t.data for t in plan.learning.state if t.data is not None} | values
    check_state(plan, state)
    if state_digest(plan, state) != stored.digest:
        raise ModelError(
            "the training state is not that of the model's weights: the file was changed since "
            "its export, or the options are others"
        )
    for tensor, value in values.items():
        tensor.data = value.copy()
    return plan


def check_state(plan: TrainingPlan, state: Mapping[Tensor, Array]) -> None:
    """Raises ModelError for values that training never leaves behind (SPEC 4)."""
    for check in plan.state_checks:
        if not check.passes(state):
            raise ModelError(
                f"the training state is damaged: {check.failure}, as training never leaves it"
            )

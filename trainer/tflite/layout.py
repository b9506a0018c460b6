# SPDX-License-Identifier: Apache-2.0
"""Where the objects of a ``.tflite`` file lie, and what refers to what: all that its root leads to.

FlatBuffers, "Internals": a table has a distance back to its vtable, which says where its fields
are; a field is a scalar, or a distance forward to a table, a vector or a string.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

import tflite

from mcutrain.trainer.errors import ModelError
from mcutrain.trainer.tflite.buffers import NO_PLACE

HEADER_BYTES = 8
TABLE_ALIGNMENT, DATA_ALIGNMENT = 8, 16
# The fields that are no scalars, by their number: a table by its name, a vector of tables by its
# name in brackets, a vector of scalars by their bytes, a string by "s" (TFLite schema, version 3).
# A table that is not listed has none.
OFFSETS: dict[str, dict[int, str]] = {
    "Model": {
        1: "[OperatorCode]", 2: "[SubGraph]", 3: "s", 4: "[Buffer]", 5: "4", 6: "[Metadata]",
        7: "[SignatureDef]", 8: "[ExternalBufferGroup]", 9: "[ExternalBuffer]",
    },
    "OperatorCode": {1: "s"},
    "SubGraph": {0: "[Tensor]", 1: "4", 2: "4", 3: "[Operator]", 4: "s"},
    "Buffer": {0: "1"},
    "Metadata": {0: "s"},
    "SignatureDef": {0: "[TensorMap]", 1: "[TensorMap]", 2: "s"},
    "TensorMap": {0: "s"},
    "ExternalBufferGroup": {0: "s"},
    "ExternalBuffer": {4: "s"},
    "Tensor": {
        0: "4", 3: "s", 4: "QuantizationParameters", 6: "SparsityParameters", 7: "4",
        9: "[VariantSubType]",
    },
    "QuantizationParameters": {0: "4", 1: "4", 2: "4", 3: "8"},
    "CustomQuantization": {0: "1"},
    "SparsityParameters": {0: "4", 1: "4", 2: "[DimensionMetadata]"},
    "VariantSubType": {0: "4"},
    "Int32Vector": {0: "4"},
    "Uint16Vector": {0: "2"},
    "Uint8Vector": {0: "1"},
    "Operator": {1: "4", 2: "4", 5: "1", 7: "1", 8: "4"},
    "BucketizeOptions": {0: "4"},
    "ConcatEmbeddingsOptions": {1: "4", 2: "4"},
    "ReshapeOptions": {0: "4"},
    "SqueezeOptions": {0: "4"},
    "VarHandleOptions": {0: "s", 1: "s"},
    "StableHLOCompositeOptions": {0: "s", 2: "1"},
    "StablehloBroadcastInDimOptions": {0: "8"},
    "StablehloConvolutionOptions": {
        0: "8", 1: "8", 2: "8", 3: "8", 4: "1", 7: "8", 10: "8", 13: "8", 16: "4",
    },
    "StablehloCustomCallOptions": {0: "s", 2: "s", 4: "4", 5: "1"},
    "StablehloDotGeneralOptions": {0: "8", 1: "8", 2: "8", 3: "8", 4: "4"},
    "StablehloDynamicSliceOptions": {0: "8"},
    "StablehloGatherOptions": {0: "8", 1: "8", 2: "8", 4: "8"},
    "StablehloPadOptions": {0: "8", 1: "8", 2: "8"},
    "StablehloReduceOptions": {0: "8"},
    "StablehloReduceWindowOptions": {0: "8", 1: "8", 2: "8", 3: "8", 4: "8"},
    "StablehloScatterOptions": {1: "8", 2: "8", 3: "8"},
    "StablehloSliceOptions": {0: "8", 1: "8", 2: "8"},
    "StablehloTransposeOptions": {0: "8"},
}  # fmt: skip
# Fields whose table is named by the number in another field: (table, field) to (enum, that field).
UNIONS = {
    ("Operator", 4): ("BuiltinOptions", 3),
    ("Operator", 12): ("BuiltinOptions2", 11),
    ("QuantizationParameters", 5): ("QuantizationDetails", 4),
    ("DimensionMetadata", 3): ("SparseIndexVector", 2),
    ("DimensionMetadata", 5): ("SparseIndexVector", 4),
}
# Data that lie behind the FlatBuffer: the fields with their place, from the file's beginning, and
# with their size, each of 64 bits.
PLACES = {"Buffer": (1, 2), "Operator": (9, 10)}
# The bytes of fields that the schema has gained, of external buffers in other files.
LATER = {
    "Model": {8: 4, 9: 4}, "Tensor": {10: 4}, "ExternalBufferGroup": {0: 4},
    "ExternalBuffer": {0: 4, 1: 4, 2: 8, 3: 8, 4: 4},
}  # fmt: skip


@dataclass(frozen=True)
class Extent:
    """The bytes from ``start`` to ``end``, whose place modulo ``align`` matters. ``refers``:
    offsets lie in it."""

    start: int
    end: int
    align: int
    refers: bool


@dataclass
class Layout:
    """What a file's root leads to.

    ``slots`` are the distances forward (4 bytes) and to what they lead; ``vtables`` the tables and
    their vtables; ``places`` the places from the file's beginning (8 bytes).
    """

    data: bytes
    extents: set[Extent] = field(default_factory=set)
    slots: dict[int, int] = field(default_factory=dict)
    vtables: dict[int, int] = field(default_factory=dict)
    places: dict[int, int] = field(default_factory=dict)

    @classmethod
    def of(cls, data: bytes) -> Layout:
        """Raises ModelError for offsets that lead out of the file, and for tables and fields of a
        newer schema, which may refer to anything."""
        found = cls(data)
        found.add(0, HEADER_BYTES, 4, refers=True)
        todo = [(found.follow(0), "Model")]
        seen = set(todo)
        while todo:
            for target in found.walk(*todo.pop()):
                if target not in seen:
                    seen.add(target)
                    todo.append(target)
        return found

    def users(self) -> Counter[int]:
        """How many offsets lead to each object."""
        return Counter(self.slots.values())

    def check(self, at: int, nbytes: int) -> None:
        if not 0 <= at <= len(self.data) - nbytes:
            raise ModelError(f"byte {at} lies outside the model's {len(self.data)} bytes")

    def number(self, kind: str, at: int) -> int:
        """The scalar of this ``struct`` format."""
        self.check(at, struct.calcsize(kind))
        return int(struct.unpack_from(f"<{kind}", self.data, at)[0])

    def follow(self, slot: int) -> int:
        """Where the offset at ``slot`` leads, which is taken note of."""
        self.slots[slot] = target = slot + self.number("I", slot)
        if len(self.slots) > len(self.data) // 4:
            raise ModelError("the objects of the model file overlap")
        return target

    def add(self, start: int, end: int, align: int, *, refers: bool = False) -> None:
        self.check(start, max(0, end - start))
        self.extents.add(Extent(start, end, align, refers))

    def walk(self, at: int, kind: str) -> list[tuple[int, str]]:
        """Take note of an object; those that it leads to."""
        if kind == "s":
            self.add(at, at + 4 + self.number("I", at) + 1, 4)
        elif kind.isdigit():
            count, size = self.number("I", at), int(kind)
            align = DATA_ALIGNMENT if size == 1 else max(4, size)
            # A vector of bytes is aligned where its data are: 4 bytes behind the count.
            self.add(at, at + 4 + count * size, align)
        elif kind.startswith("["):
            count = self.number("I", at)
            self.add(at, at + 4 + 4 * count, 4, refers=True)
            return [(self.follow(at + 4 * k), kind[1:-1]) for k in range(1, count + 1)]
        else:
            return self.walk_table(at, kind)
        return []

    def walk_table(self, at: int, kind: str) -> list[tuple[int, str]]:
        vtable = at - self.number("i", at)
        nbytes = self.number("H", vtable)
        self.add(vtable, vtable + max(4, nbytes), 4)
        self.vtables[at] = vtable
        fields = {
            number: at + distance
            for number in range((nbytes - 4) // 2)
            if (distance := self.number("H", vtable + 4 + 2 * number))
        }
        known = field_bytes(kind)
        if not fields.keys() <= known.keys():
            raise ModelError(f"the model file has a {kind} of a newer TFLite schema")
        # A vtable says how long a table is, too; writers are not exact there.
        ends = [at + 4, *(slot + known[number] for number, slot in fields.items())]
        self.add(at, max(ends), TABLE_ALIGNMENT, refers=True)
        self.note_place(kind, fields)
        return [
            (self.follow(slot), target)
            for number, slot in fields.items()
            if (target := self.target(kind, number, fields))
        ]

    def target(self, kind: str, number: int, fields: dict[int, int]) -> str:
        """What a field of a table leads to; "" for a scalar, and for a union of nothing."""
        if (kind, number) not in UNIONS:
            return OFFSETS.get(kind, {}).get(number, "")
        enum, type_field = UNIONS[kind, number]
        code = self.number("B", fields[type_field]) if type_field in fields else 0
        if not code:
            return ""
        if code not in members_of(enum):
            raise ModelError(f"the model file has {enum} of a newer TFLite schema")
        return members_of(enum)[code]

    def note_place(self, kind: str, fields: dict[int, int]) -> None:
        """Take note of data behind the FlatBuffer."""
        offset, size = (fields.get(k) for k in PLACES.get(kind, (-1, -1)))
        start = self.number("Q", offset) if offset else 0
        if offset and start > NO_PLACE:
            nbytes = self.number("Q", size) if size else 0
            self.places[offset] = start
            self.add(start, start + nbytes, DATA_ALIGNMENT)


class FieldSizes:
    """Stands for a FlatBuffers builder: takes note of how many bytes each field has."""

    def __init__(self) -> None:
        self.found: dict[int, int] = {}

    def __getattr__(self, name: str) -> Callable[..., None]:
        """``PrependInt32Slot`` and its kin, of which the first argument is a field's number."""
        bits = "".join(filter(str.isdigit, name))
        nbytes = int(bits) // 8 if bits else 1 if "Bool" in name else 4
        return lambda number, *_: self.found.update({number: nbytes})


@cache
def field_bytes(kind: str) -> dict[int, int]:
    """The bytes of each field that a table can have.

    >>> field_bytes("Buffer"), field_bytes("LeakyReluOptions")
    ({0: 4, 1: 8, 2: 8}, {0: 4})
    """
    sizes = FieldSizes()
    for name, add in vars(tflite).items():
        if name.startswith(f"{kind}Add"):
            add(sizes, 0)
    return sizes.found | LATER.get(kind, {})


@cache
def members_of(enum: str) -> dict[int, str]:
    """The tables that a union can be, by their number."""
    names = vars(getattr(tflite, enum))
    return {v: k for k, v in names.items() if isinstance(v, int) and v and hasattr(tflite, k)}

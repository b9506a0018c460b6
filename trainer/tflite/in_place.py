# SPDX-License-Identifier: Apache-2.0
"""Other shapes, scales, constants and options for a file, written over the old ones where these are
no larger and have one owner; else they get objects of their own."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np

from mcutrain.trainer.errors import ModelError
from mcutrain.trainer.graph.tensor import Array, QuantParams
from mcutrain.trainer.tflite.declared import FileTensor
from mcutrain.trainer.tflite.layout import Layout
from mcutrain.trainer.tflite.patch import TflitePatch

SHAPE, QUANTIZATION, SIGNATURE = 0, 4, 7  # fields of a Tensor
LEAST, GREATEST, SCALE, ZERO_POINT = range(4)  # of QuantizationParameters
STORED = {2: "<i4", 4: "<i8", 9: "<i1"}  # int32, int64 and int8, as a tensor declares them
COMPUTES = "PACK"  # of shapes that are computed, what makes them of single numbers


class InPlace(TflitePatch):
    """A TflitePatch that knows which objects of the file have one owner."""

    @cached_property
    def users(self) -> Counter[int]:
        return Layout.of(bytes(self.patch.old)).users()

    def vector_at(self, table_at: int, number: int) -> tuple[int, int]:
        """(where a vector of a table has its first element, its length); (0, 0) without one."""
        slot = self.patch.field(table_at, number)
        if not slot:
            return 0, 0
        at = self.patch.follow(slot)
        return at + 4, self.patch.unsigned(at)

    def has_room(self, table_at: int, numbers: Sequence[int], count: int) -> bool:
        """Whether vectors of a table, as far as they are there, have one owner and ``count``
        elements."""
        found = (self.vector_at(table_at, number) for number in numbers)
        return all(not at or (self.users[at - 4] == 1 and length >= count) for at, length in found)

    def overwrite(self, table_at: int, number: int, raw: bytes, count: int) -> None:
        at, _ = self.vector_at(table_at, number)
        if at:
            self.patch.write(at - 4, struct.pack("<I", count) + raw)

    def table_of(self, index: int) -> int:
        """Where the table of a tensor lies; 0 if it is declared anew."""
        at = self.tensors[index]
        return at if isinstance(at, int) and index not in self.records else 0

    def set_shape(self, index: int, shape: tuple[int, ...]) -> None:
        """Declare a tensor in another shape of as many axes; what its signature leaves open stays
        so."""
        old, table, rank = self.tensor(index), self.table_of(index), len(shape)
        if old.shape == shape:
            return
        told = zip(old.signature, old.shape, shape, strict=False)
        signature = tuple(new if told == size else told for told, size, new in told)
        new = replace(old, shape=shape, signature=signature)
        if not table or not self.has_room(table, (SHAPE, SIGNATURE), rank):
            self.change_tensor(index, new)
            return
        self.overwritten[index] = new
        self.overwrite(table, SHAPE, struct.pack(f"<{rank}i", *shape), rank)
        self.overwrite(table, SIGNATURE, struct.pack(f"<{len(signature)}i", *signature), rank)

    def set_quant(self, index: int, quant: QuantParams) -> None:
        """Declare a tensor with other scales. Ranges that were seen in training are forgotten."""
        old, table = self.tensor(index), self.table_of(index)
        if old.quant == quant:
            return
        new = replace(old, quant=quant)
        slot = self.patch.field(table, QUANTIZATION) if table else 0
        at = self.patch.follow(slot) if slot else 0
        count, is_along = len(quant.scales), quant.axis is not None
        has_room = at and self.users[at] == 1 and self.has_room(at, (LEAST, GREATEST), 0)
        if (
            not has_room
            or not self.has_room(at, (SCALE,), count)
            or old.quant is None
            or (is_along and old.quant.axis != quant.axis)
        ):
            self.change_tensor(index, new)
            return
        zeros = min(count, self.vector_at(at, ZERO_POINT)[1])
        if not self.has_room(at, (ZERO_POINT,), zeros):
            self.change_tensor(index, new)
            return
        self.overwritten[index] = new
        self.overwrite(at, SCALE, np.array(quant.scales, "<f4").tobytes(), count)
        self.overwrite(at, ZERO_POINT, np.full(zeros, quant.zero_point, "<i8").tobytes(), zeros)
        for number in (LEAST, GREATEST):
            self.overwrite(at, number, b"", 0)

    def set_constant(
        self, operator: int, position: int, data: Array, quant: QuantParams | None
    ) -> None:
        """Give a constant at an input of an operator another value, in little-endian order."""
        index = self.inputs[operator][position]
        old = self.tensor(index)
        is_same = old.shape in (data.shape, ()) and old.quant == (quant or old.quant)
        if is_same and self.contents(index, data.dtype.str).tobytes() == data.tobytes():
            return
        index = self.own_input(operator, position)
        if old.shape:
            self.set_shape(index, data.shape)
        if quant is not None:
            self.set_quant(index, quant)
        self.set_data(index, data.tobytes())

    def add_constant(self, operator: int, position: int, new: FileTensor, raw: bytes) -> None:
        """Give an operator an input ``position``, which it has not, behind its others."""
        buffer = self.add_buffer(raw)
        self.buffer_users[buffer] = 1
        index = self.add_tensor(replace(new, buffer=buffer))
        self.set_inputs(operator, [*self.inputs[operator][:position], index])

    def set_told(self, operator: int, position: int, values: Array) -> None:
        """Change a constant that an operator is told at an input, or what PACK makes it of, to
        ``values`` beyond its zero point; an integer of -1 is found out by itself."""
        inputs = self.inputs[operator]
        if position >= len(inputs) or inputs[position] < 0:
            return
        index, declared = inputs[position], self.tensor(inputs[position])
        if declared.type not in STORED:
            return
        old = self.contents(index, STORED[declared.type])
        if declared.quant is not None:
            values = values + declared.quant.zero_point
        elif old.size == values.size:
            values = np.where(old == -1, -1, values.ravel()).reshape(declared.shape)
        if old.size:
            new = values.astype(STORED[declared.type])
            self.set_constant(operator, position, new, None)
        for k, outputs in enumerate(self.outputs[:operator]):
            if not old.size and index in outputs and self.kind(k) == COMPUTES:
                for part, value in enumerate(values.ravel()):
                    self.set_told(k, part, np.array(value))

    def set_option(self, operator: int, number: int, value: int) -> None:
        """Change an int32 among the options of an operator. Raises ModelError if it has not got
        it."""
        slot, raw = self.options_slot(operator), struct.pack("<i", value)
        table = self.patch.follow(slot) if slot else 0
        at = self.patch.field(table, number) if slot else 0
        if not at:
            raise ModelError(f"operator {operator} has no option {number}")
        if self.users[table] == 1:
            self.patch.write(at, raw)
        else:
            self.patch.point(slot, self.patch.copied(table, {number: raw}))

    def tell_new_shape(self, operator: int, shape: Sequence[int]) -> None:
        """Change the shape in a RESHAPE's options, if there is one."""
        old = self.new_shape(operator)
        new = [told if told == -1 else size for told, size in zip(old, shape, strict=False)]
        if len(old) != len(shape) or new == old:
            return
        table = self.patch.follow(self.options_slot(operator))
        if self.users[table] == 1 and self.has_room(table, (0,), len(new)):
            self.overwrite(table, 0, struct.pack(f"<{len(new)}i", *new), len(new))
        else:
            self.set_new_shape(operator, new)

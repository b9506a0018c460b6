# SPDX-License-Identifier: Apache-2.0
"""What an operator of a file says and its import rule does not ask for: it would be misread.

Fields that the schema has gained since the reader's are found by their number.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import cache
from typing import Any

import tflite
from flatbuffers.number_types import SOffsetTFlags, VOffsetTFlags

# Fields that change nothing here: what they say is in the tensors as declared, or of other types.
SILENT = {
    "KeepNumDims", "NewShape", "SqueezeDims", "ValuesCount", "OutType", "AsymmetricQuantizeInputs",
    "PotScaleInt16", "QuantizedBiasType", "NumSplits",
}  # fmt: skip
# The newest version of each operator that is known (TFLite, register.cc). A converter asks for a
# version only where an operator uses what that version brought.
VERSIONS = {
    "ABS": 5, "ADD": 5, "AVERAGE_POOL_2D": 3, "BATCH_MATMUL": 4, "CONCATENATION": 4, "CONV_2D": 8,
    "DEPTHWISE_CONV_2D": 7, "DEQUANTIZE": 6, "ELU": 1, "EXPAND_DIMS": 1, "FULLY_CONNECTED": 14,
    "GATHER": 7, "GELU": 2, "HARD_SWISH": 1, "L2_NORMALIZATION": 2, "LEAKY_RELU": 2, "LOGISTIC": 4,
    "LOG_SOFTMAX": 2, "MAXIMUM": 4, "MAX_POOL_2D": 3, "MEAN": 3, "MINIMUM": 4, "MUL": 7, "NEG": 2,
    "PACK": 4, "PAD": 4, "PADV2": 4, "PRELU": 1, "QUANTIZE": 4, "REDUCE_MAX": 3, "RELU": 4,
    "RELU6": 4, "RELU_0_TO_1": 1, "RELU_N1_TO_1": 1, "RESHAPE": 2, "RESIZE_BILINEAR": 4,
    "RESIZE_NEAREST_NEIGHBOR": 4, "RSQRT": 3, "SHAPE": 1, "SLICE": 6, "SOFTMAX": 4, "SPLIT": 4,
    "SPLIT_V": 2, "SQUARE": 1, "SQUARED_DIFFERENCE": 3, "SQUEEZE": 2, "STRIDED_SLICE": 8, "SUB": 5,
    "SUM": 2, "TANH": 4, "TILE": 3, "TRANSPOSE": 6, "UNPACK": 4,
}  # fmt: skip
INTERMEDIATES = "Intermediates"  # of an operator; as if it were one of its options
VERSIONS |= {"SVDF": 4, "UNIDIRECTIONAL_SEQUENCE_LSTM": 5}
VERSIONS |= dict.fromkeys(("ASSIGN_VARIABLE", "CALL_ONCE", "READ_VARIABLE", "VAR_HANDLE"), 1)
# Fields that the schema has gained and that are known here: external buffers, in other files.
KNOWN_FIELDS = {"Model": 10, "Tensor": 11}
EXTERNAL_BUFFER = 10  # of a Tensor
EMPTY = bytes([4, 0, 4, 0, 4, 0, 0, 0])  # a FlatBuffers table without fields, at 4
NOT_FIELDS = ("GetRootAs", "Init")
VIEWS = ("AsNumpy", "Length", "IsNone", "BufferHasIdentifier")


def unread(operator: Any, options: str, asked: Collection[str]) -> Iterator[str]:
    """What nobody asked for, each as the end of a sentence about the operator.

    ``options`` is the schema's name of the options that it may have, ``asked`` the fields of them
    that were read.
    """
    if operator.CustomOptionsLength() or operator.LargeCustomOptionsSize():
        yield "has custom options"
    if operator.IntermediatesLength() and INTERMEDIATES not in asked:
        yield "has intermediate tensors"
    if any(map(operator.MutatingVariableInputs, range(operator.MutatingVariableInputsLength()))):
        yield "changes one of its inputs"
    if operator.BuiltinOptions2Type():
        yield "has a second table of options"
    if newer_fields(operator, "Operator"):
        yield "has fields of a newer TFLite schema"
    table = operator.BuiltinOptions()
    found = getattr(tflite, options, None)
    if table is None or found is None:
        return
    given, default = found(), found()
    given.Init(table.Bytes, table.Pos)
    default.Init(EMPTY, 4)
    if newer_fields(given, options):
        yield "has options of a newer TFLite schema"
    for name in fields_of(options):
        if name not in SILENT and name not in asked and value(given, name) != value(default, name):
            yield f"has the option {name} {value(given, name)}, which is not supported"


def value(table: Any, name: str) -> Any:
    """A field's value; of a vector its length."""
    length = getattr(table, f"{name}Length", None)
    return length() if length else getattr(table, name)()


@cache
def fields_of(table: str) -> tuple[str, ...]:
    """The fields of a table of the schema.

    >>> fields_of("LeakyReluOptions"), fields_of("ReshapeOptions")
    (('Alpha',), ('NewShape',))
    """
    names = [name for name in vars(getattr(tflite, table)) if name[0].isupper()]
    return tuple(n for n in names if not n.startswith(NOT_FIELDS) and not n.endswith(VIEWS))


class FieldCounter:
    """Stands for a FlatBuffers builder: takes note of how many fields a table can have."""

    def StartObject(self, count: int) -> None:
        self.count = count


@cache
def field_count(table: str) -> int:
    """How many fields a table of the schema has.

    >>> field_count("LeakyReluOptions")
    1
    """
    counter = FieldCounter()
    getattr(tflite, f"{table}Start")(counter)
    return counter.count


def newer_fields(table: Any, name: str) -> bool:
    """Whether a table has a field behind those that are known."""
    tab = table._tab
    vtable = tab.Pos - tab.Get(SOffsetTFlags, tab.Pos)
    entries = tab.Get(VOffsetTFlags, vtable) // 2 - 2
    known = max(field_count(name), KNOWN_FIELDS.get(name, 0))
    return any(tab.Offset(4 + 2 * k) for k in range(known, entries))


def is_in_another_file(tensor: Any) -> bool:
    """Whether a tensor's data are those of an external buffer."""
    tab = tensor._tab
    return bool(tab.Offset(4 + 2 * EXTERNAL_BUFFER))

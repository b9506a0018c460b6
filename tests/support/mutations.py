# SPDX-License-Identifier: Apache-2.0
"""Model files spoilt at random: bytes moved and overwritten, or fields that make no sense."""

from __future__ import annotations

import copy
import random
import struct
from collections.abc import Callable, Iterator
from typing import Any

import flatbuffers
import numpy as np
import pytest

schema: Any = pytest.importorskip(
    "tflite_micro.tensorflow.lite.micro.python.schema_py_generated",
    reason="the schema's object API comes with tflite-micro, for Linux x86-64 only",
)

WORDS = (0, 1, -1, 2, 4, 255, 65535, 2**30, 2**31 - 1, -(2**31))
INTEGERS = (*WORDS, -2, 3, 5, 7, 8, 16, 127, 128, -128, -129, 4096, 4097, 65536, 2**20)
SCALES = (
    0.0, -0.5, float("nan"), float("inf"), 1e-45, 1e-38, 3e38, 2.0**-99, 2.0**99, 1e-9, 1e9,
    1e-4, 0.02, 1.0, 64.0, 1 / 256, 1 / 128,
)  # fmt: skip
NAMES = (None, b"", b"\xff\xfe\0", b"two\nlines", b"*/ int x; /*", b"n" * 70000, b"%s {0} \\")
CALLS = (("If", 118), ("While", 119), ("CallOnce", 129))  # the schema's codes
BIG = 1 << 12  # bytes of a vector that is data rather than structure


# Bytes.


def structure(data: bytes) -> list[tuple[int, int]]:
    """The spans of a file outside its long buffers: where offsets and fields lie."""
    import tflite

    file, spans, end = tflite.Model.GetRootAsModel(data, 0), [], 0
    places = []
    for k in range(file.BuffersLength()):
        values = file.Buffers(k).DataAsNumpy()
        if not isinstance(values, int) and values.size > 64:
            start = values.__array_interface__["data"][0]
            places.append((start, start + values.size))
    base = np.frombuffer(data, np.uint8).__array_interface__["data"][0]
    for start, stop in sorted((a - base, b - base) for a, b in places):
        spans.append((end, start))
        end = stop
    return [(a, b) for a, b in (*spans, (end, len(data))) if b - a >= 8]


def somewhere(spans: list[tuple[int, int]], length: int, rng: random.Random) -> int:
    """A position: mostly in the structure."""
    if rng.random() < 0.1:
        return rng.randrange(length - 8)
    low, high = rng.choices(spans, [b - a for a, b in spans])[0]
    return rng.randrange(low, high - 4)


def spoilt_bytes(data: bytes, spans: list[tuple[int, int]], rng: random.Random) -> bytes:
    """One or a few changes: a bit, a byte, an extreme word, a moved offset, a copied range."""
    new = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        at, kind = somewhere(spans, len(data), rng), rng.randrange(8)
        if kind == 0:
            new[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            new[at] = rng.randrange(256)
        elif kind == 2:
            at -= at % 4 * rng.randrange(2)
            new[at : at + 4] = struct.pack("<i", rng.choice(WORDS))
        elif kind == 3:  # an offset or a length, moved
            at -= at % 4
            (word,) = struct.unpack_from("<I", new, at)
            moved = word + rng.choice((-64, -4, -1, 1, 4, 64, len(data), 2**20, 2**31))
            struct.pack_into("<I", new, at, moved & 0xFFFFFFFF)
        elif kind == 4:
            size, source = rng.choice((4, 16, 64)), somewhere(spans, len(data), rng)
            part = bytes(new[source : source + size])[: len(new) - at]
            new[at : at + len(part)] = part
        elif kind == 5:
            other = somewhere(spans, len(data), rng)
            one, two = bytes(new[at : at + 4]), bytes(new[other : other + 4])
            new[at : at + 4], new[other : other + 4] = two, one
        elif kind == 6:
            (half,) = struct.unpack_from("<H", new, at)
            moved = half + rng.choice((-4, -2, 2, 4, 2**15))
            struct.pack_into("<H", new, at, moved & 0xFFFF)
        elif rng.random() < 0.3:
            del new[rng.randrange(len(new)) :]
            break
    return bytes(new)


# Fields. Each takes the file's objects and changes one thing at random.


def unpacked(data: bytes) -> Any:
    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))


def packed(file: Any) -> bytes:
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(file.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def any_tensor(file: Any, rng: random.Random) -> Any:
    """One of the tensors; those that operators write are as likely as all others."""
    graph = file.subgraphs[0]
    if len(file.subgraphs) > 1 and rng.random() < 0.2:  # what runs once
        graph = rng.choice(file.subgraphs[1:])
    if rng.random() < 0.5:
        written = [t for op in graph.operators for t in op.outputs if 0 <= t < len(graph.tensors)]
        if written:
            return graph.tensors[rng.choice(written)]
    return rng.choice(graph.tensors)


def any_operator(file: Any, rng: random.Random) -> Any:
    graph = file.subgraphs[0]
    if len(file.subgraphs) > 1 and rng.random() < 0.2:  # what runs once
        graph = rng.choice(file.subgraphs[1:])
    return rng.choice(graph.operators)


def spoil_wire(file: Any, rng: random.Random) -> None:
    """An operator reads or writes another tensor: of another, of its own, of none."""
    graph, op = file.subgraphs[0], any_operator(file, rng)
    targets = [*range(len(graph.tensors)), -1, -2, len(graph.tensors), 2**31 - 1]
    later = [t for other in graph.operators for t in other.outputs]
    name = rng.choice(("inputs", "inputs", "inputs", "outputs"))
    wires = [int(t) for t in getattr(op, name)]
    kind = rng.randrange(4)
    if kind == 0 and wires:
        del wires[rng.randrange(len(wires))]
    elif kind == 1 or not wires:
        wires.insert(rng.randrange(len(wires) + 1), rng.choice(targets))
    else:
        wires[rng.randrange(len(wires))] = int(rng.choice(later if kind == 2 else targets))
    setattr(op, name, wires)


def spoil_shape(file: Any, rng: random.Random) -> None:
    tensor = any_tensor(file, rng)
    shape = [int(d) for d in tensor.shape] if tensor.shape is not None else []
    kind = rng.randrange(6)
    if kind == 0 and shape:
        del shape[rng.randrange(len(shape))]
    elif kind == 1 or not shape:
        shape.insert(rng.randrange(len(shape) + 1), rng.choice((1, *INTEGERS)))
    elif kind == 2:
        rng.shuffle(shape)
    elif kind == 3:
        shape = [rng.choice((1, 2, 3, 300, 4096)) for _ in range(rng.choice((0, 1, 4, 5, 9, 40)))]
    elif kind == 4:
        shape[rng.randrange(len(shape))] *= rng.choice((2, 3, 64, 1000))
    else:
        shape[rng.randrange(len(shape))] = rng.choice(INTEGERS)
    tensor.shape = [max(-(2**31), min(d, 2**31 - 1)) for d in shape]


def spoil_scale(file: Any, rng: random.Random) -> None:
    quant = any_tensor(file, rng).quantization
    if quant is None or quant.scale is None or not len(quant.scale):
        return
    scales = [float(s) for s in quant.scale]
    kind = rng.randrange(5)
    if kind == 0:
        scales[rng.randrange(len(scales))] = rng.choice(SCALES)
    elif kind == 1:
        scales = [s * 2.0 ** rng.uniform(-30, 30) for s in scales]
    else:
        factor = 2.0 ** rng.uniform(-8, 8) if kind < 4 else rng.choice(SCALES)
        scales = [s * factor for s in scales]
    with np.errstate(over="ignore"):
        quant.scale = np.array(scales, np.float32)


def spoil_quantisation(file: Any, rng: random.Random) -> None:
    tensor = any_tensor(file, rng)
    quant = tensor.quantization
    if quant is None or rng.random() < 0.1:
        other = rng.choice(file.subgraphs[0].tensors).quantization
        tensor.quantization = copy.deepcopy(other)
        return
    kind = rng.randrange(5)
    zeros = [] if quant.zeroPoint is None else [int(z) for z in quant.zeroPoint]
    scales = [] if quant.scale is None else [float(s) for s in quant.scale]
    if kind < 2 and zeros:
        zeros[rng.randrange(len(zeros))] = rng.choice((*INTEGERS, 2**63 - 1, -(2**63)))
    elif kind == 2:
        quant.quantizedDimension = rng.choice(INTEGERS)
    elif kind == 3 and scales:
        scales = rng.choice((scales[:-1], [*scales, 1.0], scales * 2, scales[:1], []))
        zeros = rng.choice((zeros, [0] * len(scales)))
    else:
        tensor.quantization = None
    quant.scale, quant.zeroPoint = np.array(scales, np.float32), np.array(zeros, np.int64)


def spoil_option(file: Any, rng: random.Random) -> None:
    op = any_operator(file, rng)
    kind, options = rng.randrange(8), op.builtinOptions
    if kind == 0:
        op.builtinOptions, op.builtinOptionsType = None, 0
    elif kind == 1:
        op.builtinOptionsType = rng.randrange(130)
    elif kind == 2:
        other = any_operator(file, rng)
        op.builtinOptions, op.builtinOptionsType = other.builtinOptions, other.builtinOptionsType
    elif options is not None and vars(options):
        name = rng.choice(sorted(vars(options)))
        old = getattr(options, name)
        if isinstance(old, float):
            setattr(options, name, float(rng.choice(SCALES)))
        elif isinstance(old, bool):
            setattr(options, name, not old)
        elif isinstance(old, int):
            setattr(options, name, rng.choice((0, 1, 2, 3, 4, *INTEGERS)))


def spoil_code(file: Any, rng: random.Random) -> None:
    if rng.random() < 0.6:
        count = len(file.operatorCodes)
        any_operator(file, rng).opcodeIndex = rng.choice((*range(count), count, 2**31))
    else:
        code = rng.choice(file.operatorCodes)
        code.builtinCode = code.deprecatedBuiltinCode = rng.randrange(128)
        if rng.random() < 0.2:
            code.builtinCode = rng.choice((-1, 300, 2**31 - 1))


def spoil_type(file: Any, rng: random.Random) -> None:
    any_tensor(file, rng).type = rng.choice((*range(20), 127, -1))


def spoil_buffer(file: Any, rng: random.Random) -> None:
    tensor, count = any_tensor(file, rng), len(file.buffers)
    buffer = rng.choice(file.buffers)
    kind = rng.randrange(4)
    if kind == 0:
        tensor.buffer = rng.choice((0, count, 2**32 - 1, rng.randrange(count)))
    elif kind == 1:
        buffer.data = None
    elif buffer.data is not None:
        raw = bytes(np.asarray(buffer.data, np.uint8))
        cut = rng.randrange(len(raw) + 1)
        raw = raw[:cut] if kind == 2 else raw + raw[:cut]
        buffer.data = np.frombuffer(raw, np.uint8)


def spoil_place(file: Any, rng: random.Random) -> None:
    """Data elsewhere in the file: inside, at its end, beyond, twice, or of no place."""
    buffer = rng.choice(file.buffers)
    size = 0 if buffer.data is None else len(buffer.data)
    if rng.random() < 0.8:
        buffer.data = None
    places = (0, 1, 2, 8, 64, 1 << 10, 1 << 12, 2**31, 2**32 - 4, 2**63, 2**64 - 1)
    buffer.offset, buffer.size = rng.choice(places), rng.choice((size, size, size + 1, *places))


def spoil_subgraphs(file: Any, rng: random.Random) -> None:
    """More subgraphs, and operators that call them, or each other's, or none that there is."""
    graph = file.subgraphs[0]
    file.subgraphs = [*file.subgraphs, *(copy.deepcopy(graph) for _ in range(rng.choice((1, 2))))]
    for each in file.subgraphs:
        if each.operators and rng.random() < 0.7:
            operator = rng.choice(each.operators)
            name, kind = rng.choice(CALLS)
            options = getattr(schema, f"{name}OptionsT")()
            for field in vars(options):
                setattr(
                    options, field, rng.choice((0, 0, 1, 2, len(file.subgraphs), -1, 2**31 - 1))
                )
            operator.builtinOptions = options
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, f"{name}Options")
            code = copy.deepcopy(file.operatorCodes[0])
            code.builtinCode, code.deprecatedBuiltinCode = kind, min(kind, 127)
            file.operatorCodes = [*file.operatorCodes, code]
            operator.opcodeIndex = len(file.operatorCodes) - 1


def spoil_weights(file: Any, rng: random.Random) -> None:
    """Other values of the same constants."""
    spots = [b for b in file.buffers if b.data is not None and len(b.data)]
    if not spots:
        return
    buffer = rng.choice(spots)
    raw, source = np.array(buffer.data, np.uint8), np.random.RandomState(rng.randrange(2**31))
    kind = rng.randrange(5)
    if kind == 0:
        raw = source.randint(0, 256, raw.size).astype(np.uint8)
    elif kind == 1:
        raw[:] = rng.choice((0, 1, 0x7F, 0x80, 0xFF))
    elif kind == 2 and raw.size >= 4:
        at = 4 * rng.randrange(raw.size // 4)
        raw[at : at + 4] = np.frombuffer(struct.pack("<i", rng.choice(INTEGERS)), np.uint8)
    elif kind == 3:
        raw[source.randint(0, 2, raw.size) == 0] = 0
    else:
        raw = source.choice([0x80, 0x7F], raw.size).astype(np.uint8)
    buffer.data = raw


def spoil_integers(file: Any, rng: random.Random) -> None:
    """Axes, widths, sizes, permutations: short constants of int32."""
    graph = file.subgraphs[0]
    found = [
        file.buffers[t.buffer]
        for t in graph.tensors
        if t.type == 2 and t.buffer < len(file.buffers)
    ]
    found = [b for b in found if b.data is not None and 4 <= len(b.data) <= 64]
    if not found:
        spoil_option(file, rng)
        return
    buffer = rng.choice(found)
    raw = bytearray(np.asarray(buffer.data, np.uint8).tobytes())
    at = 4 * rng.randrange(len(raw) // 4)
    raw[at : at + 4] = struct.pack("<i", rng.choice(INTEGERS))
    buffer.data = np.frombuffer(bytes(raw), np.uint8)


def spoil_graph(file: Any, rng: random.Random) -> None:
    graph = file.subgraphs[0]
    kind = rng.randrange(8)
    if kind < 3:
        name = rng.choice(("inputs", "outputs"))
        count = len(graph.tensors)
        values = rng.choice(([], [0, 0], [count], [-1], [rng.randrange(count)], [2**31 - 1]))
        setattr(graph, name, values)
    elif kind == 3:
        del graph.operators[rng.randrange(len(graph.operators))]
    elif kind == 4:
        position = rng.randrange(len(graph.operators))
        copies = rng.choice((1, 1, 1, 50, 3000))
        graph.operators[position:position] = [graph.operators[position]] * copies
    elif kind == 5:
        rng.shuffle(graph.operators)
    elif kind == 6:
        file.subgraphs = rng.choice(([], [graph, graph], None))
    else:
        graph.tensors = rng.choice(([], graph.tensors[:-1], None))


def spoil_batch(file: Any, rng: random.Random) -> None:
    batch = rng.choice((0, 2, 3, 2**31 - 1))
    for tensor in file.subgraphs[0].tensors:
        if tensor.shape is not None and len(tensor.shape) and tensor.shape[0] == 1:
            tensor.shape = [batch, *tensor.shape[1:]]


def spoil_name(file: Any, rng: random.Random) -> None:
    any_tensor(file, rng).name = rng.choice(NAMES)


def spoil_metadata(file: Any, rng: random.Random) -> None:
    entry = schema.MetadataT()
    entry.name = rng.choice((b"mcutrain.training_state", b"min_runtime_version", None))
    entry.buffer = rng.choice((0, rng.randrange(len(file.buffers)), 2**32 - 1))
    file.metadata = [*(file.metadata or []), entry] * rng.choice((1, 1, 40))


Change = Callable[[Any, random.Random], None]
HARMLESS: tuple[Change, ...] = (spoil_weights, spoil_scale)
CHANGES: tuple[Change, ...] = (
    spoil_wire, spoil_wire, spoil_shape, spoil_shape, spoil_scale, spoil_scale,
    spoil_quantisation, spoil_quantisation, spoil_option, spoil_option, spoil_code, spoil_type,
    spoil_buffer, spoil_weights, spoil_weights, spoil_integers, spoil_integers, spoil_graph,
    spoil_batch, spoil_name, spoil_metadata, spoil_place, spoil_subgraphs,
)  # fmt: skip


def spoilt_fields(file: Any, rng: random.Random) -> Iterator[str]:
    """Change one or a few fields in place; yields the name of each kind of change."""
    changes = HARMLESS if rng.random() < 0.3 else CHANGES
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        change = rng.choice(changes)
        try:
            change(file, rng)
        except (IndexError, TypeError, ValueError, AttributeError):
            continue  # an earlier change left nothing to change
        yield change.__name__

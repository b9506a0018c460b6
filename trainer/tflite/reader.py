# SPDX-License-Identifier: Apache-2.0
"""Reads an int8 .tflite into a forward Model. Files are hostile: everything is checked here."""

from __future__ import annotations

import re
import struct
import unicodedata
from pathlib import Path

import tflite

from mcutrain.trainer.errors import ModelError, UnsupportedOpError
from mcutrain.trainer.graph.graph import Graph
from mcutrain.trainer.graph.op import Op
from mcutrain.trainer.graph.tensor import QuantParams, Role, Tensor, TensorType
from mcutrain.trainer.model import Model, trim
from mcutrain.trainer.ops.float_function import FloatFunction
from mcutrain.trainer.ops.softmax import Softmax
from mcutrain.trainer.ops.weighted import Weighted
from mcutrain.trainer.tflite.bounds import MAX_OPERANDS, MAX_OPERATORS, require_bounded
from mcutrain.trainer.tflite.folding import FOLDS
from mcutrain.trainer.tflite.islands import float_islands
from mcutrain.trainer.tflite.listing import CONVERSIONS, FLOATS, Listing
from mcutrain.trainer.tflite.metadata import calibration, training_state
from mcutrain.trainer.tflite.obstacles import Obstacles
from mcutrain.trainer.tflite.operator import FileOperator
from mcutrain.trainer.tflite.remedies import REMEDIES
from mcutrain.trainer.tflite.tensors import FULL_INTEGER, TYPE_NAMES, FileTensors

MAX_FILE_BYTES = 256 << 20
NO_INT8 = "the converter has no int8 form of it: put another operator in its place"
LEFT_FLOAT = "see that full-integer quantisation covers it when the model is converted"
# What the flatbuffer reader raises on offsets that lead nowhere.
READER_ERRORS = (struct.error, IndexError, TypeError, ValueError, AttributeError, OverflowError)
CONVERT = "copy it again, or write it with the TensorFlow Lite converter"


def load(path: str | Path) -> Model:
    """The forward model of an int8 ``.tflite`` file.

    Raises ModelError if the file is not one, UnsupportedOpError (naming operator, index
    and tensor) for what is not supported.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ModelError(f"{path} is larger than {MAX_FILE_BYTES >> 20} MiB")
        data = path.read_bytes()
    except OSError as err:
        raise ModelError(
            f"cannot read model {path}: {err.strerror}", "give the path of an int8 .tflite file"
        ) from err
    return parse(data, path.stem, str(path))


def parse(data: bytes, name: str, where: str = "the model") -> Model:
    """As ``load``, from the file's bytes."""
    if len(data) < 16 or data[4:8] != b"TFL3":
        raise ModelError(f"{where} is not a .tflite file (no TFL3 identifier)", CONVERT)
    try:
        return Reader(data, identifier(name), where).model()
    except READER_ERRORS as err:
        raise ModelError(f"{where} is damaged or truncated: {err}", CONVERT) from err


def output_tensors(path: Path) -> list[int]:
    """The index of the tensor that each operator of the file writes."""
    subgraph = tflite.Model.GetRootAsModel(path.read_bytes(), 0).Subgraphs(0)
    return [subgraph.Operators(k).Outputs(0) for k in range(subgraph.OperatorsLength())]


def input_tensor(path: Path) -> int:
    """The index of the file's tensor that is the model's input, behind an edge from float too."""
    reader = Reader(path.read_bytes(), path.stem, str(path))
    return reader.listing.inner_input(reader.subgraph.Inputs(0))


def identifier(name: str) -> str:
    """``name`` as the start of C identifiers that no symbol of the firmware has; letters go without
    their marks.

    >>> identifier("mcunet-5fps_int8"), identifier("5 fps"), identifier("Überwachung")
    ('mcunet_5fps_int8', 'm_5_fps', 'uberwachung')
    """
    letters = "".join(
        c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c)
    )
    cleaned = re.sub(r"\W+", "_", letters, flags=re.ASCII).strip("_").lower() or "model"
    is_taken = cleaned.startswith("mct")
    return cleaned if cleaned[0].isalpha() and not is_taken else f"m_{cleaned}"


def importers(base: type[Op] = Op) -> dict[str, type[Op]]:
    """The operators that can be read, by their name in the TFLite schema."""
    found = {base.tflite_name: base} if "tflite_name" in vars(base) and base.tflite_name else {}
    for kind in base.__subclasses__():
        found |= importers(kind)
    return found


class Reader:
    """Reads a file to its end: what cannot be read is collected, and what is behind it is read as
    the file declares it, so that all obstacles of a file are found at once."""

    def __init__(self, data: bytes, name: str, where: str) -> None:
        self.name, self.where = name, where
        self.file = tflite.Model.GetRootAsModel(data, 0)
        if not self.file.SubgraphsLength():
            raise ModelError(f"{where} has 0 subgraphs; one is supported")
        self.subgraph = self.file.Subgraphs(0)
        self.graph = Graph()
        self.declared = FileTensors(self.file, self.subgraph, where)
        self.listing = Listing(self.declared)
        self.obstacles = Obstacles(where)
        self.unknown: set[int] = set()  # tensors that cannot be read, of which that was said
        self.last_index = -1

    def model(self) -> Model:
        if len(self.listing) > MAX_OPERATORS:
            raise ModelError(
                f"{self.where} has {len(self.listing)} operators; {MAX_OPERATORS} are supported"
            )
        for k in range(len(self.listing)):
            self.declared.writers.update(dict.fromkeys(self.listing.outputs_of(k), k))
        source = self.read_ends()
        self.read_operators()
        if not self.obstacles:
            assert source is not None
            with self.obstacles.collected():
                return self.whole(source)
        raise self.obstacles.error()

    def whole(self, source: Tensor) -> Model:
        """The model of operators that were all read. Raises ModelError."""
        output = self.declared.tensors.get(self.last_index)
        if output is None or not self.graph.nodes:
            raise ModelError(f"{self.where}: no operator writes the output")
        last = self.graph.producer(output)
        logits = last.inputs[0] if last and isinstance(last.op, Softmax) else output
        require_bounded(self.graph, self.where)
        model = Model(
            self.name, self.graph, source, logits, output, training_state(self.file, self.where),
            self.pixels(self.subgraph.Inputs(0)), self.tied(), calibration(self.file, self.where),
        )  # fmt: skip
        if not trim(model).weighted:
            raise ModelError(
                f"{self.where} has no layer with weights: nothing can learn",
                "take a model with a convolution or a fully connected layer",
            )
        return model

    def read_ends(self) -> Tensor | None:
        """The model's input, if it can be read; what the file says as a whole is checked."""
        g, collected = self.subgraph, self.obstacles.collected
        with collected():
            self.listing.require_known_file()
        with collected():
            if g.InputsLength() != 1 or g.OutputsLength() != 1:
                raise ModelError(
                    f"{self.where} has {g.InputsLength()} inputs and {g.OutputsLength()} outputs; "
                    "models with one of each are supported",
                    "convert the part of the network from one input to one output",
                )
        for k in range(min(g.OutputsLength(), MAX_OPERANDS)):
            with collected():
                inner = self.listing.inner_output(g.Outputs(k))
                self.last_index = inner if k == 0 else self.last_index
        source = None
        for k in range(min(g.InputsLength(), MAX_OPERANDS)):
            index = int(g.Inputs(k))
            self.unknown.add(index)
            with collected():
                index = self.listing.inner_input(index)
                self.unknown.add(index)
                if self.listing.is_float_model or self.declared.type_of(index) not in FLOATS:
                    source = self.read_input(index)
                    self.unknown.discard(index)
        return source

    def read_input(self, index: int) -> Tensor:
        """The model's input. Raises ModelError."""
        source = self.declared.read_tensor(index, "input", Role.INPUT)
        self.declared.require_int8(source, "input")
        if source.type.shape[0] != 1:
            raise ModelError(
                f"{self.where}: the input's batch is {source.type.shape[0]}; use 1",
                "convert it with a batch of 1",
            )
        open_axes = self.declared.open_axes(index)
        if any(axis > 0 for axis in open_axes):
            raise UnsupportedOpError(
                f"{self.where}: the input '{source.label}' leaves the size of its axes "
                f"{', '.join(map(str, open_axes))} open",
                "convert it with a fixed input shape",
            )
        return source

    def read_operators(self) -> None:
        islands = float_islands(self.listing)
        inside = {k for island in islands.values() for k in island}
        gates = [k for k in range(len(self.listing)) if self.is_gate(k) and k not in inside]
        for index in range(len(self.listing)):
            if index in self.listing.edges or index in inside.difference(islands):
                continue
            before = len(self.obstacles.found)
            with self.obstacles.collected(index, self.listing.kind(index)):
                if index in islands:
                    self.read_island(islands[index])
                else:
                    self.read_operator(index)
            if len(self.obstacles.found) > before or not self.is_read(index):
                self.go_on_behind(index)
        if gates and not self.obstacles:
            site = self.listing.site(gates[0])
            with self.obstacles.collected(gates[0], self.listing.kind(gates[0])):
                raise UnsupportedOpError(
                    f"{self.where}: {site} converts to or from FLOAT32 inside the model",
                    FULL_INTEGER,
                )

    def is_gate(self, index: int) -> bool:
        """Whether an operator only converts between floats and integers, inside the model."""
        is_conversion = self.listing.kind(index) in CONVERSIONS
        return is_conversion and index not in self.listing.edges and self.listing.is_float(index)

    def is_read(self, index: int) -> bool:
        known = {*self.declared.tensors, *self.declared.folded}
        return known.issuperset(self.listing.outputs_of(index))

    def read_operator(self, index: int) -> None:
        """Append an operator; nothing for one of which the cause was said. Raises ModelError."""
        self.listing.require_sound(index)
        kind, site, known = self.listing.kind(index), self.listing.site(index), importers()
        is_known = kind in known or kind in FOLDS
        if self.is_gate(index):
            return
        floats = self.listing.floats_of(index)
        if floats and not self.listing.is_float_model:
            label = self.declared.label(floats[0])
            raise UnsupportedOpError(
                f"{self.where}: {site} stayed in floating point in a model of int8: '{label}' is "
                f"{TYPE_NAMES[self.declared.type_of(floats[0])]}",
                LEFT_FLOAT if is_known else REMEDIES.get(kind, NO_INT8),
            )
        if not is_known:
            names = ", ".join(sorted({*known, *FOLDS}))
            own = REMEDIES.get(kind, f"supported are {names}")
            raise UnsupportedOpError(f"{self.where}: {site} is not supported", own)
        if self.unknown.intersection(self.listing.inputs_of(index)):
            return
        self.listing.output_of(index)
        if self.is_read(index):
            raise ModelError(f"{self.where}: {site} writes a tensor that is already there")
        self.append(index)

    def read_island(self, operators: tuple[int, ...]) -> None:
        """Append what operators compute in floating point between conversions, as one table."""
        read = [self.source_of(k) for k in operators]
        for k, each in zip(operators, read, strict=True):
            self.listing.require_sound(k)
            each.input_index(0)
            each.require_all_read()
        if self.unknown.intersection(self.listing.inputs_of(operators[0])):
            return
        self.declared.require_int8(read[-1].out, read[-1].site)
        assert read[-1].out.type.quant is not None
        source = read[0].activation(0)
        for k in operators[:-1]:
            shape = self.declared.shape_of(self.listing.output_of(k))
            if shape != source.type.shape:
                raise ModelError(
                    f"{self.where}: {self.listing.site(k)} is declared as float32 {shape}, "
                    f"but computes {source.type.shape}"
                )
        functions = tuple(each.kind for each in read[1:-1])
        op = FloatFunction(read[-1].out.type.quant, functions)
        self.add(op, (source,), read[-1], operators[-1])

    def source_of(self, index: int) -> FileOperator:
        kind, is_last = self.listing.kind(index), self.last_index in self.listing.outputs_of(index)
        return FileOperator(
            self.declared, self.listing.operator(index), kind, self.listing.site(index),
            f"{kind.lower()}_{index}", is_last,
        )  # fmt: skip

    def append(self, index: int) -> None:
        source = self.source_of(index)
        if source.kind in FOLDS:
            folded = FOLDS[source.kind](source)
            source.require_all_read()
            self.declared.folded[self.listing.output_of(index)] = folded
            return
        self.declared.require_int8(source.out, source.site)
        op, inputs = importers()[source.kind].from_tflite(source)
        source.require_all_read()
        self.add(op, inputs, source, index)

    def add(self, op: Op, inputs: tuple[Tensor, ...], source: FileOperator, index: int) -> None:
        """Append an operator that was read, if it computes what the file declares."""
        try:
            (out,) = self.graph.add(op, *inputs, name=source.name, index=index)
        except ModelError as err:
            remedy = "quantise the model again, with samples like those that it will meet"
            raise ModelError(f"{self.where}: {err}", remedy) from err
        declared = source.out.type
        if out.type.shape != declared.shape or out.type.quant != declared.quant:
            raise ModelError(
                f"{self.where}: {source.site} is declared as {describe(declared)}, "
                f"but computes {describe(out.type)}"
            )
        out.label = source.out.label
        self.declared.tensors[self.listing.output_of(index)] = out

    def go_on_behind(self, index: int) -> None:
        """Take the outputs of an operator that cannot be read as the file declares them."""
        for out in self.listing.outputs_of(index):
            try:
                tensor = self.declared.read_tensor(out, f"unread_{out}", Role.ACTIVATION)
                self.declared.require_int8(tensor, "it")
                self.declared.tensors.setdefault(out, tensor)
            except ModelError:
                self.unknown.add(out)

    def pixels(self, index: int) -> QuantParams | None:
        """The quantisation of the file's input ``index``, if it is uint8."""
        if self.declared.type_of(index) != tflite.TensorType.UINT8:
            return None
        table = self.subgraph.Tensors(index)
        quant = self.declared.read_quant(
            table, self.declared.label(index), self.declared.shape_of(index)
        )
        return quant if quant is not None and len(quant.scales) == 1 else None

    def tied(self) -> tuple[tuple[int, ...], ...]:
        """The operators that have one buffer of weights, each time they are several."""
        readers: dict[int, list[int]] = {}
        for node in self.graph.nodes:
            if isinstance(node.op, Weighted):
                weights = self.listing.inputs_of(node.index)[1]
                buffer = int(self.subgraph.Tensors(weights).Buffer())
                readers.setdefault(buffer, []).append(node.index)
        return tuple(tuple(found) for found in readers.values() if len(found) > 1)


def describe(type_: TensorType) -> str:
    quant = type_.quant
    scale = f", scale {quant.scales[0]:.6g}, zero point {quant.zero_point}" if quant else ""
    return f"{type_.dtype.np.name} {type_.shape}{scale}"

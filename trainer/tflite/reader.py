# SPDX-License-Identifier: Apache-2.0
"""Reads an int8 .tflite into a forward Model. Files are hostile: everything is checked here."""

from __future__ import annotations

import re
import struct
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import tflite

from mcutrain.trainer.errors import ModelError, UnsupportedOpError
from mcutrain.trainer.graph.graph import Graph
from mcutrain.trainer.graph.op import Op
from mcutrain.trainer.graph.tensor import QuantParams, Role, Tensor, TensorType
from mcutrain.trainer.model import Model, logits_of, trim
from mcutrain.trainer.ops.float_function import FloatFunction
from mcutrain.trainer.ops.weighted import Weighted
from mcutrain.trainer.options import WHOLE, Section
from mcutrain.trainer.tflite import unsigned
from mcutrain.trainer.tflite.bounds import MAX_OPERATORS, require_bounded
from mcutrain.trainer.tflite.ends import Ends
from mcutrain.trainer.tflite.folding import FOLDS
from mcutrain.trainer.tflite.islands import float_islands
from mcutrain.trainer.tflite.listing import CONVERSIONS, FLOATS, Listing
from mcutrain.trainer.tflite.metadata import calibration, training_state
from mcutrain.trainer.tflite.obstacles import Obstacles
from mcutrain.trainer.tflite.operator import FileOperator
from mcutrain.trainer.tflite.remedies import REMEDIES
from mcutrain.trainer.tflite.tensors import FULL_INTEGER, INTEGERS, TYPE_NAMES, FileTensors
from mcutrain.trainer.tflite.variables import Variables
from mcutrain.trainer.tflite.wiring import SHAPE

MAX_FILE_BYTES = 256 << 20
NO_INT8 = "the converter has no int8 form of it: put another operator in its place"
LEFT_FLOAT = "see that full-integer quantisation covers it when the model is converted"
# What the flatbuffer reader raises on offsets that lead nowhere.
READER_ERRORS = (struct.error, IndexError, TypeError, ValueError, AttributeError, OverflowError)
CONVERT = "copy it again, or write it with the TensorFlow Lite converter"


def load(path: str | Path, section: Section = WHOLE) -> Model:
    """The forward model of an int8 ``.tflite`` file, or a section of it: then nothing else of the
    file is judged.

    Raises ModelError if the file is not one, UnsupportedOpError (naming operator, index
    and tensor) for what is not supported.
    """
    path = Path(path)
    return parse(read_file(path), path.stem, str(path), section)


def read_file(path: Path) -> bytes:
    """The bytes of a model's file. Raises ModelError."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ModelError(f"{path} is larger than {MAX_FILE_BYTES >> 20} MiB")
        return path.read_bytes()
    except OSError as err:
        raise ModelError(
            f"cannot read model {path}: {err.strerror}", "give the path of an int8 .tflite file"
        ) from err


def parse(data: bytes, name: str, where: str = "the model", section: Section = WHOLE) -> Model:
    """As ``load``, from the file's bytes."""
    with opened(data, where):
        return Reader(data, identifier(name), where, section).model()


@contextmanager
def opened(data: bytes, where: str) -> Iterator[None]:
    """What is read inside of a file is damaged where the flatbuffer reader fails. Raises
    ModelError."""
    if len(data) < 16 or data[4:8] != b"TFL3":
        raise ModelError(f"{where} is not a .tflite file (no TFL3 identifier)", CONVERT)
    try:
        yield
    except READER_ERRORS as err:
        raise ModelError(f"{where} is damaged or truncated: {err}", CONVERT) from err


def stored_state(path: Path) -> bytes | None:
    """The training state that a file holds, unchecked, whatever its network is. Raises
    ModelError."""
    data = read_file(path)
    with opened(data, str(path)):
        return training_state(tflite.Model.GetRootAsModel(data, 0), str(path))


def input_tensor(path: Path, section: Section = WHOLE) -> int:
    """The index of the file's tensor that is the model's input, behind an edge from float too."""
    reader = Reader(read_file(path), path.stem, str(path), section)
    reader.model()
    return reader.source_index


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
    """Reads a section of a file to its end: what cannot be read is collected, and what is behind it
    is read as the file declares it, so that all obstacles are found at once."""

    def __init__(self, data: bytes, name: str, where: str, section: Section = WHOLE) -> None:
        self.name, self.where, self.section = name, where, section
        self.file = tflite.Model.GetRootAsModel(data, 0)
        if not self.file.SubgraphsLength():
            raise ModelError(f"{where} has 0 subgraphs; one is needed")
        self.subgraph = self.file.Subgraphs(0)
        self.graph = Graph()
        self.declared = FileTensors(self.file, self.subgraph, where)
        self.listing = Listing(self.declared)
        self.obstacles = Obstacles(where)
        self.variables = Variables(self.listing)
        self.unknown: set[int] = set()  # tensors that cannot be read, of which that was said
        self.unread: set[int] = set()  # operators
        self.source_index = self.last_index = -1

    def model(self) -> Model:
        if len(self.listing) > MAX_OPERATORS:
            raise ModelError(
                f"{self.where} has {len(self.listing)} operators; {MAX_OPERATORS} are supported"
            )
        for k in range(len(self.listing)):
            self.declared.writers.update(dict.fromkeys(self.listing.outputs_of(k), k))
        ends = Ends(self.listing, self.obstacles, self.section)
        self.last_index, self.listing.read = ends.output, ends.operators
        self.declared.is_unsigned = unsigned.is_unsigned(self.listing)
        source = self.read_source(ends)
        self.read_operators(ends)
        if not self.obstacles:
            assert source is not None
            with self.obstacles.collected():
                return self.whole(source, ends)
        raise self.obstacles.error()

    def whole(self, source: Tensor, ends: Ends) -> Model:
        """The model of operators that were all read. Raises ModelError."""
        self.declared.states += self.variables.finish()
        output = self.declared.tensors.get(self.last_index)
        if output is None or not self.graph.nodes:
            raise ModelError(f"{self.where}: no operator writes the output")
        require_bounded(self.graph, self.where)
        model = Model(
            self.name, self.graph, source, logits_of(self.graph, output), output,
            training_state(self.file, self.where), self.pixels(ends.inputs[0]), self.tied(),
            calibration(self.file, self.where), tuple(self.declared.states), self.section,
            self.declared.is_unsigned, ends.held(),
        )  # fmt: skip
        if not trim(model).weighted:
            place = f" {self.section.place}" if self.section.place else ""
            raise ModelError(
                f"{self.where} has no layer with weights{place}: nothing can learn",
                "take a model with a convolution or a fully connected layer",
            )
        return model

    def read_source(self, ends: Ends) -> Tensor | None:
        """The tensor that the section begins with, if it can be read."""
        source = None
        for index in ends.inputs:
            self.unknown.add(index)
            with self.obstacles.collected():
                self.source_index = index = self.listing.inner_input(index)
                self.unknown.add(index)
                if self.listing.is_float_model or self.declared.type_of(index) not in FLOATS:
                    source = self.read_input(index)
                    self.unknown.discard(index)
        return source

    def read_input(self, index: int) -> Tensor:
        """The model's input. Raises ModelError."""
        source = self.declared.read_tensor(index, "input", Role.INPUT)
        what = "input" if self.section.start is None else f"'{self.section.start}'"
        self.declared.require_int8(source, what)
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

    def read_operators(self, ends: Ends) -> None:
        islands = float_islands(self.listing)
        inside = {k for island in islands.values() for k in island}
        gates = [k for k in self.listing.read if self.is_gate(k) and k not in inside]
        for index in self.listing.read:
            if index in self.listing.edges or index in inside.difference(islands):
                continue
            before = len(self.obstacles.found)
            with self.obstacles.collected(index, self.listing.kind(index)):
                ends.require_behind_start(index)
                if index in islands:
                    self.read_island(islands[index])
                else:
                    self.read_operator(index)
            if len(self.obstacles.found) > before or not self.is_read(index):
                self.unread.add(index)
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
        known = {*self.declared.tensors, *self.declared.folded, *self.variables.handles.keys}
        return known.issuperset(self.listing.outputs_of(index))

    def read_operator(self, index: int) -> None:
        """Append an operator; nothing for one of which the cause was said. Raises ModelError."""
        self.listing.require_sound(index)
        kind, site, known = self.listing.kind(index), self.listing.site(index), importers()
        is_known = kind in known or kind in FOLDS or kind in self.variables.operators
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
        if kind != SHAPE and self.unknown.intersection(self.listing.inputs_of(index)):
            return
        outputs = self.listing.outputs_of(index)
        there = {*self.declared.tensors, *self.declared.folded}
        if there.intersection(outputs) or len(set(outputs)) < len(outputs):
            raise ModelError(f"{self.where}: {site} writes a tensor that is already there")
        source = self.source_of(index)
        if kind in self.variables.operators:
            self.variables.take(source)
        elif not outputs:
            raise ModelError(f"{self.where}: {site} has no output")
        elif kind in FOLDS and (kind not in known or self.declared.type_of(outputs[0]) in INTEGERS):
            self.fold(source, outputs)
        else:
            self.append(source, outputs)

    def source_of(self, index: int) -> FileOperator:
        return FileOperator(
            self.declared, self.listing.operator(index), self.listing.kind(index),
            self.listing.site(index), index, self.last_index in self.listing.outputs_of(index),
            self.graph,
        )  # fmt: skip

    def read_island(self, operators: tuple[int, ...]) -> None:
        """Append what operators compute in floating point between conversions, as one table."""
        read = [self.source_of(k) for k in operators]
        for k, each in zip(operators, read, strict=True):
            self.listing.require_sound(k)
            each.input_index(0)
            each.require_all_read()
        if self.unknown.intersection(self.listing.inputs_of(operators[0])):
            return
        last = read[-1]
        self.declared.require_int8(last.out, last.site)
        assert last.out.type.quant is not None
        source = read[0].activation(0)
        for k in operators[:-1]:
            shape = self.declared.shape_of(self.listing.output_of(k))
            if shape != source.type.shape:
                raise ModelError(
                    f"{self.where}: {self.listing.site(k)} is declared as float32 {shape}, "
                    f"but computes {source.type.shape}"
                )
        functions = tuple(each.kind for each in read[1:-1])
        op = FloatFunction(last.out.type.quant, functions)
        outputs = self.listing.outputs_of(operators[-1])
        self.declare(last, outputs, (last.add(op, source),))

    def fold(self, source: FileOperator, outputs: list[int]) -> None:
        """Compute an operator of integers. Raises ModelError."""
        found = FOLDS[source.kind](source)
        source.require_all_read()
        require_as_many(source, len(found), len(outputs))
        self.declared.folded.update(zip(outputs, found, strict=True))

    def append(self, source: FileOperator, outputs: list[int]) -> None:
        """Append the nodes of an operator of activations. Raises ModelError."""
        for out in source.outs:
            self.declared.require_int8(out, source.site)
        kind = importers()[source.kind]
        is_unsigned = self.declared.is_unsigned
        found = unsigned.imported(kind, source) if is_unsigned else kind.imported(source)
        source.require_all_read()
        require_as_many(source, len(found), len(outputs))
        self.declare(source, outputs, found)

    def declare(self, source: FileOperator, outputs: list[int], found: tuple[Tensor, ...]) -> None:
        """Take what was appended for the file's tensors, if it is what these are declared as."""
        for k, (index, declared, out) in enumerate(zip(outputs, source.outs, found, strict=True)):
            if out.type.shape != declared.type.shape or out.type.quant != declared.type.quant:
                which = f"{source}, output {k}," if k else str(source)
                raise ModelError(
                    f"{which} is declared as {describe(declared.type)}, "
                    f"but computes {describe(out.type)}"
                )
            out.label, out.file_index = declared.label, index
            self.declared.tensors[index] = out

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


def require_as_many(source: FileOperator, found: int, declared: int) -> None:
    """Raises ModelError unless an operator has as many outputs as it makes."""
    if found != declared:
        raise ModelError(f"{source} makes {found} outputs, but {declared} are declared")


def describe(type_: TensorType) -> str:
    quant = type_.quant
    scale = f", scale {quant.scales[0]:.6g}, zero point {quant.zero_point}" if quant else ""
    return f"{type_.dtype.np.name} {type_.shape}{scale}"

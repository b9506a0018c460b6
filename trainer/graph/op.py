# SPDX-License-Identifier: Apache-2.0
"""What an operator is: a few rules over tensors, with its attributes as fields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from enum import Enum
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np

from mcutrain.trainer.graph.call import ByChannels, KernelCall
from mcutrain.trainer.graph.cutting import KeptAxis, along_last
from mcutrain.trainer.graph.tensor import Array, DType, QuantParams, Tensor, TensorType


class ErrorTensor(NamedTuple):
    """Gradient of the loss by a tensor: ``value * 2**exponent`` (SPEC 1.3)."""

    value: Tensor
    exponent: Tensor


class Halves(NamedTuple):
    """An operator in two: one makes a tensor of ``inputs``, the other the outputs of that tensor
    and ``others``."""

    first: Op
    inputs: tuple[Tensor, ...]
    second: Op
    others: tuple[Tensor, ...]


class OutputScale(Enum):
    """What scale and zero point an output has: the inputs', the inputs' and that of a constant
    which is in the file alone, any, or one by definition."""

    SAME = "same"
    HELD = "held"
    FREE = "free"
    FIXED = "fixed"


class Layout(Enum):
    """How the frozen weights of an operator lie in flash."""

    FILE = "file"  # int8, in the order of the model file
    PACKED = "packed"  # in the order and width in which the kernels of a chip read them fastest
    NIBBLES = "nibbles"  # two of them, which lie within -8..7, in a byte


class BehindHead(Enum):
    """Whether an operator may stand behind a head that is made anew, and what it does there."""

    NO = "no"
    CHANNELS = "channels"  # each class is one channel of it, in the head's scale
    SCORES = "scores"  # scores of all classes, in a scale of its own
    OUTPUT = "output"  # only behind the logits, in the model file


@dataclass(frozen=True)
class Op:
    """Base of all operators. Instances are attributes only; they hold no data.

    ``tflite_name`` is the operator's name in the TFLite schema, for those a file can hold.
    ``mutates`` lists the inputs changed in place, ``output_suffixes`` the endings of
    the names of the new outputs. ``alias`` ops only rename their input's bytes.
    Of the operators of a forward model: ``output_scale``, ``behind_head``; ``is_activation``, a
    function that makes a network more than linear; ``clamps``, one whose limits are part of it;
    ``is_frozen``, one without a gradient, before which nothing learns; ``keeps``, the inputs that
    are state: what they are in the next inference are the outputs behind the first.

    A child of an operator that ``needs`` features of an instruction set is a *variant* of it: the
    same bits by other kernels, those of ``kernels/<unit>.c`` and of the units that it has for
    ``helpers``. It overrides ``lower`` and, where
    its kernels differ in them, scratch memory, rows, channels and overlays; a plan for a chip that
    has the features puts it in the operator's place wherever it ``covers`` the node. A child of an
    operator or of a variant has frozen weights in another ``layout``: in PACKED those of a variant,
    in NIBBLES those of either. Its kernels are handed a table in place of the weights.
    """

    tflite_name: ClassVar[str] = ""
    mutates: ClassVar[tuple[int, ...]] = ()
    output_suffixes: ClassVar[tuple[str, ...]] = ("",)
    alias: ClassVar[bool] = False
    output_scale: ClassVar[OutputScale] = OutputScale.SAME
    behind_head: ClassVar[BehindHead] = BehindHead.NO
    is_activation: ClassVar[bool] = False
    clamps: ClassVar[bool] = False
    is_frozen: ClassVar[bool] = False
    keeps: ClassVar[tuple[int, ...]] = ()
    needs: ClassVar[frozenset[str]] = frozenset()
    unit: ClassVar[str] = ""
    helpers: ClassVar[tuple[str, ...]] = ()
    layout: ClassVar[Layout] = Layout.FILE

    @classmethod
    def covers(cls, node: Node) -> bool:
        """Whether a variant can compute this node; if not, what it is a variant of does."""
        return True

    @classmethod
    def from_tflite(cls, source: OperatorSource) -> tuple[Op, tuple[Tensor, ...]]:
        """The op and its inputs, read from a model file. Raises ModelError."""
        raise NotImplementedError

    @classmethod
    def imported(cls, source: OperatorSource) -> tuple[Tensor, ...]:
        """The outputs of the operator in a model file, by nodes that ``source`` appends.

        One node, unless an operator of the file is several here. Raises ModelError."""
        op, inputs = cls.from_tflite(source)
        return (source.add(op, *inputs),)

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        """Types of the new outputs. Raises ValueError on a mismatch."""
        raise NotImplementedError

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        """Bit-exact NumPy semantics, one array per output: what the C kernel must equal."""
        raise NotImplementedError

    def vjp(
        self, node: Node, error: ErrorTensor, tape: Tape
    ) -> Iterator[tuple[Tensor, ErrorTensor]]:
        """Append gradient and update nodes; yield the error of each input that needs one."""
        raise NotImplementedError(f"{type(self).__name__} has no gradient")

    def lower(self, node: Node) -> KernelCall | None:
        """The kernel call that computes this node on the device; None for an alias."""
        raise NotImplementedError

    def by_rows(self, node: Node) -> KernelCall | None:
        """The call that computes one row of the output, from rows of the inputs that are not
        constant; None if there is none. The last argument is the ``Row`` that it writes."""
        return None

    def by_channels(self, node: Node) -> ByChannels | None:
        """The calls that compute it by groups of channels; None if there are none."""
        return None

    def halves(self, node: Node) -> Halves | None:
        """The operator in two, of which the first can go by groups of its input's channels."""
        return None

    def macs(self, node: Node) -> int:
        """Multiply-accumulates, for the cost report."""
        return 0

    def reads(self, node: Node) -> tuple[int, int]:
        """(taps of its windows, values that the windows read at all positions), if it has any."""
        return 0, 0

    def scratch_bytes(self, node: Node) -> int:
        """Working memory the call needs beside its tensors."""
        return 0

    def packing_saves(self, node: Node) -> int:
        """About how many instructions an operator that is packed saves."""
        return 0

    def rings(self, node: Node) -> dict[Tensor, int]:
        """Bytes of the tensors of which the call keeps a few rows only (planner.row_region)."""
        return {}

    def overlays(self, node: Node) -> dict[tuple[int, int], int]:
        """(output, input) pairs that may share bytes, if the input is not needed any more.

        The value K says how: the output's address + K <= the input's (ops.overlap). The bits
        are those of separate places.
        """
        return {}

    def narrowed(self, node: Node, channels: int) -> Op | None:
        """The op on ``channels`` of the last axis, if it treats each on its own; else None."""
        return None

    def tie(self, node: Node, ids: tuple[Array, ...], ties: Ties) -> Array | str:
        """The ids of the output's elements, of the ids of the inputs' elements, each in its
        tensor's shape; or why no channel can leave (graph.cutting).

        An op that can be ``narrowed`` passes each channel on, any other lets none leave.
        """
        shape, rows = node.output.type.shape, [along_last(each) for each in ids]
        mixes = len(node.outputs) > 1 or self.narrowed(node, shape[-1]) is None
        if mixes or any(row is None or row.size != shape[-1] for row in rows):
            return f"{self.tflite_name or type(self).__name__} computes with all of them at once"
        first, *others = (row for row in rows if row is not None)
        for row in others:
            ties.unite(first, row)
        return np.broadcast_to(first, shape)

    def cut(self, node: Node, kept: Mapping[Tensor, KeptAxis]) -> Op:
        """The op on what stays of its tensors, of which ``kept`` has each that becomes smaller."""
        op = self.narrowed(node, len(kept[node.output].index)) if node.output in kept else None
        return op or self

    def told(self) -> Mapping[int, Array]:
        """Constants that a file holds at inputs of the operator and a node has not, by the position
        of the input, where they depend on which channels there are; less their zero point."""
        return {}

    def rescaled(self, quant: QuantParams) -> Op:
        """The op with this output scale, if it has one of its own that may be any."""
        return self

    def limits(self) -> tuple[int, int]:
        """Values at which the output saturates; the error is masked there (SPEC 1.3)."""
        return (-128, 127)


@dataclass(eq=False)
class Node:
    """One application of an Op.

    ``outputs`` are the new tensors, then the inputs that the op changes in place.
    ``index`` is the index of the operator in the model file this node is, or is a
    gradient of: with it the dither does not depend on the order of work (SPEC 1.1).
    """

    op: Op
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    name: str
    index: int

    @property
    def output(self) -> Tensor:
        return self.outputs[0]

    def __repr__(self) -> str:
        args = ", ".join(t.name for t in self.inputs)
        outs = ", ".join(map(repr, self.outputs))
        return f"{outs} = {type(self.op).__name__}({args})"


def variants_of(kind: type[Op]) -> list[type[Op]]:
    """The variants of an operator, those that need most features first."""
    children = (child for child in kind.__subclasses__() if child.layout is Layout.FILE)
    found = [child for child in children if child.needs]
    return sorted(found, key=lambda child: (-len(child.needs), child.unit))


def variant_for(node: Node, features: frozenset[str]) -> Op:
    """The node's operator as a chip with these features computes it best."""
    for kind in variants_of(type(node.op)):
        if kind.needs <= features and kind.covers(node):
            return of_kind(kind, node.op)
    return node.op


def in_layout(node: Node, layout: Layout) -> Op | None:
    """The node's operator with its frozen weights in this layout; None if its kernels have none."""
    kinds = (kind for kind in type(node.op).__subclasses__() if kind.layout is layout)
    return next((of_kind(kind, node.op) for kind in kinds if kind.covers(node)), None)


def as_in_file(op: Op) -> Op:
    """The operator that reads the weights as the model file has them."""
    (kind,) = (base for base in type(op).__bases__ if issubclass(base, Op))
    return of_kind(kind, op) if op.layout is not Layout.FILE else op


def of_kind(kind: type[Op], op: Op) -> Op:
    """The operator's child or parent of this class, with its attributes."""
    return kind(**{each.name: getattr(op, each.name) for each in fields(op)})


class Tape(Protocol):
    """What a gradient rule (``Op.vjp``) may ask for; ``trainer.autodiff`` has it."""

    @property
    def sgd(self) -> Tensor:
        """The state of the optimiser: seed, step, learning rate."""

    def needs(self, tensor: Tensor) -> bool:
        """Whether something that learns lies at or before ``tensor``."""

    def mask(self, x: Tensor) -> Tensor:
        """Where ``x`` is inside its limits: one tensor, made where it is first asked for."""

    def raw_error(self, op: Op, node: Node, x: Tensor, *inputs: Tensor) -> ErrorTensor:
        """Append ``op``, whose raw errors of ``x`` are requantised by a history of its own."""

    def made(self, op: Op, node: Node, name: str, *inputs: Tensor) -> Tensor:
        """Append ``op``, whose one output the errors of ``node``'s inputs are made with."""

    def passed_error(self, op: Op, node: Node, x: Tensor, *inputs: Tensor) -> ErrorTensor:
        """Append ``op``, which only passes an error on to ``x``."""

    def pass_on(self, node: Node, error: ErrorTensor) -> Iterator[tuple[Tensor, ErrorTensor]]:
        """The error, masked, for each input that needs one: ADD, RESHAPE."""

    def parts(self, learned: Tensor) -> tuple[Tensor, ...]:
        """What an update of ``learned`` changes."""

    def input_shifts(self, learned: Tensor) -> tuple[Tensor, ...]:
        """The exponents that scale the steps of learned weights by input channel, if there are."""

    def update(self, op: Op, node: Node, learned: Tensor, *inputs: Tensor) -> None:
        """Append an update of ``learned``; ``inputs`` begin with its ``parts``."""


class Ties(Protocol):
    """What a rule of ties (``Op.tie``) may ask for; ``trainer.shrinking.ties`` has it."""

    def make(self, node: Node, count: int) -> Array:
        """(count,): new ids, of what as many filters of the node make."""

    def read(self, node: Node, ids: Array) -> None:
        """The columns of the node's weights read what has these ids."""

    def unite(self, a: Array, b: Array) -> None:
        """What lies at one place of these two arrays leaves together. They fit by broadcasting."""

    def stay(self, why: str) -> int:
        """An id of what cannot leave."""

    def must_stay(self, ids: Array) -> bool:
        """Whether it is known by now that nothing of these ids can leave."""


class OperatorSource(Protocol):
    """What an import rule (``Op.from_tflite``) may ask of an operator in a model file.

    ``trainer.tflite.operator`` has it. ``str(source)`` says where the operator stands. What is
    asked for and not there raises ModelError, what is not supported UnsupportedOpError.
    """

    @property
    def kind(self) -> str:
        """The operator's name in the TFLite schema."""

    @property
    def name(self) -> str:
        """The start of the names of its tensors."""

    @property
    def out(self) -> Tensor:
        """The one output as declared."""

    @property
    def outs(self) -> tuple[Tensor, ...]:
        """All outputs as declared."""

    def add(self, op: Op, *inputs: Tensor) -> Tensor:
        """Append a node and return its output. The first has the operator's name."""

    @property
    def inputs(self) -> int:
        """How many inputs the operator has."""

    @property
    def is_last(self) -> bool:
        """Whether its output is the model's, or is converted to it."""

    def option(self, name: str) -> Any:
        """A field of the operator's options, by the schema's accessor name."""

    def activation(self, position: int) -> Tensor:
        """Input ``position``, which an earlier operator must have written."""

    def shape(self, position: int) -> tuple[int, ...]:
        """The shape of input ``position``, as declared."""

    def is_activation(self, position: int) -> bool:
        """Whether input ``position`` is an activation, and no constant."""

    def has_input(self, position: int) -> bool:
        """Whether input ``position`` is there."""

    def operand(self, position: int) -> Tensor:
        """Input ``position``: an activation, or an int8 constant with one scale."""

    def int8_scalar(self, position: int) -> tuple[int, QuantParams | None]:
        """Input ``position``: a constant int8 of one element, and its quantisation."""

    def integers(self, position: int) -> Array:
        """Input ``position``: constant integers, as int64; a scalar has no dimensions."""

    def weights(
        self,
        position: int = 1,
        dtypes: tuple[DType, ...] = (DType.S8,),
        *,
        may_be_int4: bool = False,
    ) -> Tensor:
        """Input ``position``: symmetric weights of one of ``dtypes``; int4 is read as int8."""

    def bias(self, out_ch: int, position: int = 2) -> tuple[Tensor, ...]:
        """Input ``position``: (the int32 bias,), or () where there is none."""

    def state(self, position: int, dtype: DType) -> Tensor:
        """Input ``position``: a variable that only this operator has, with its initial value."""

    def pass_over_intermediates(self) -> None:
        """Leave out what the operator says of the values inside it."""

    def limits(self) -> tuple[int, int]:
        """Output limits of the fused activation."""

    def is_same_padding(self) -> bool:
        """Whether windows reach over the edge so that the output has the input's size."""

# SPDX-License-Identifier: Apache-2.0
"""What an operator is: a few rules over tensors, with its attributes as fields."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, ClassVar, NamedTuple, TypeAlias

from trainer.tensor import Array, Tensor, TensorType

if TYPE_CHECKING:
    from trainer.autodiff import Tape
    from trainer.graph import Node
    from trainer.operator_source import OperatorSource


class ErrorTensor(NamedTuple):
    """Gradient of the loss by a tensor: ``value * 2**exponent`` (SPEC 1.3)."""

    value: Tensor
    exponent: Tensor


@dataclass(frozen=True, eq=False)
class Table:
    """Constants of a kernel call, one per channel or the like; they lie in flash."""

    name: str
    data: Array


@dataclass(frozen=True)
class Scratch:
    """Working memory of one kernel call, in the arena while the call runs."""


@dataclass(frozen=True)
class Window:
    """What output row y reads of an input: ``kernel`` rows from ``y * stride - pad`` on."""

    kernel: int = 1
    stride: int = 1
    pad: int = 0


@dataclass(frozen=True, eq=False)
class Row:
    """One row of a tensor of ``height`` rows: that of the output, or the same of an input."""

    tensor: Tensor
    height: int
    window: Window = Window()

    @property
    def nbytes(self) -> int:
        return self.tensor.type.nbytes // self.height


@dataclass(frozen=True, eq=False)
class Rows(Row):
    """An array of pointers to the rows of ``window``, NULL for those outside the tensor."""


@dataclass(frozen=True)
class Group:
    """Which channels a call computes, of a group of them at a time (``Op.by_channels``)."""


@dataclass(frozen=True, eq=False)
class Channels:
    """Those channels of a tensor, which are its last axis: kept alone, or in the whole tensor.

    Two arguments: where the first of them is at the first position, elements to the next one.
    """

    tensor: Tensor


@dataclass(frozen=True)
class Writer:
    """How far the requantisation of an error is, from group to group (kernels/error.h)."""

    suffix: str  # of its type


Arg: TypeAlias = (
    Tensor | tuple[Tensor, ...] | Table | Scratch | Row | Group | Channels | Writer | None
)


@dataclass(frozen=True)
class KernelCall:
    """A C call as data: codegen prints it, nothing else interprets it.

    Calls ``mct_<kernel>``, declared in ``kernels/<unit>.h``, with a pointer to a
    constant ``mct_<struct>_params`` made of ``params`` (int32 each; no pointer when
    there are none) and then ``args``: a tensor, a tuple of tensors (an array of
    pointers), a table, scratch memory, or None (a null pointer). A call that computes one
    row of its output (``Op.by_rows``) takes rows too, one of a group of channels
    (``Op.by_channels``) what belongs to it.
    """

    unit: str
    kernel: str
    struct: str
    params: dict[str, int]
    args: tuple[Arg, ...]


@dataclass(frozen=True)
class ByChannels:
    """The call for a group of channels, and what is called before the first group and behind the
    last. The call needs ``scratch_bytes``, and ``per_channel`` more for each channel of a group.
    ``made`` is the tensor whose channels it computes, if any."""

    part: KernelCall
    scratch_bytes: int = 0
    per_channel: int = 0
    begin: KernelCall | None = None
    end: KernelCall | None = None
    made: Tensor | None = None

    @property
    def tensors(self) -> list[Tensor]:
        """Those of which it takes a group's channels."""
        return [arg.tensor for arg in self.part.args if isinstance(arg, Channels)]


class Halves(NamedTuple):
    """An operator in two: one makes a tensor of ``inputs``, the other the outputs of that tensor
    and ``others``."""

    first: Op
    inputs: tuple[Tensor, ...]
    second: Op
    others: tuple[Tensor, ...]


class OutputScale(Enum):
    """What scale and zero point an output has: the inputs', any, or one by definition."""

    SAME = "same"
    FREE = "free"
    FIXED = "fixed"


@dataclass(frozen=True)
class Op:
    """Base of all operators. Instances are attributes only; they hold no data.

    ``tflite_name`` is the operator's name in the TFLite schema, for those a file can hold.
    ``mutates`` lists the inputs changed in place, ``output_suffixes`` the endings of
    the names of the new outputs. ``alias`` ops only rename their input's bytes.
    ``output_scale`` is of the operators of a forward model.
    """

    tflite_name: ClassVar[str] = ""
    mutates: ClassVar[tuple[int, ...]] = ()
    output_suffixes: ClassVar[tuple[str, ...]] = ("",)
    alias: ClassVar[bool] = False
    output_scale: ClassVar[OutputScale] = OutputScale.SAME

    @classmethod
    def from_tflite(cls, source: OperatorSource) -> tuple[Op, tuple[Tensor, ...]]:
        """The op and its inputs, read from a model file. Raises ModelError."""
        raise NotImplementedError

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

    def scratch_bytes(self, node: Node) -> int:
        """Working memory the call needs beside its tensors."""
        return 0

    def rings(self, node: Node) -> dict[Tensor, int]:
        """Bytes of the tensors of which the call keeps a few rows only (trainer.region)."""
        return {}

    def overlays(self, node: Node) -> dict[tuple[int, int], int]:
        """(output, input) pairs that may share bytes, if the input is not needed any more.

        The value K says how: the output's address + K <= the input's (trainer.overlap). The bits
        are those of separate places.
        """
        return {}

    def narrowed(self, node: Node, channels: int) -> Op | None:
        """The op on ``channels`` of the last axis, if it treats each on its own; else None."""
        return None

    def limits(self) -> tuple[int, int]:
        """Values at which the output saturates; the error is masked there (SPEC 1.3)."""
        return (-128, 127)

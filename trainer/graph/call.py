# SPDX-License-Identifier: Apache-2.0
"""A kernel call as data: what codegen prints, and nothing else interprets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from mcutrain.trainer.graph.tensor import Array, Tensor


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

    @property
    def tensors(self) -> list[Tensor]:
        """The tensors that it is given, whole, by rows or by channels."""
        given = (arg if isinstance(arg, tuple) else (arg,) for arg in self.args)
        whole = (t.tensor if isinstance(t, Row | Channels) else t for ts in given for t in ts)
        return [t for t in whole if isinstance(t, Tensor)]


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

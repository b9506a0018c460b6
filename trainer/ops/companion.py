# SPDX-License-Identifier: Apache-2.0
"""Tensors that training keeps beside each learned one: fractions, sums, and what may follow.

A kind is declared where its update operator is (``ops/sgd.py``) and listed there in COMPANIONS.
State, digest, manifest, export, and what plans show and count go over the kinds, and name none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple, Protocol, TypeAlias

from mcutrain.trainer.graph.op import Op
from mcutrain.trainer.graph.tensor import Tensor
from mcutrain.trainer.ops.state_check import StateCheck


class Digest(Enum):
    """How the digest covers a companion (SPEC 1.5)."""

    JOINED = "the low byte of each weight: M = 256 w + companion"
    BEHIND = "behind everything learned"
    NONE = "not at all"


class LearnedFormats(Protocol):
    """What a kind asks of the formats of a plan (``trainer.formats``)."""

    @property
    def has_fraction(self) -> bool: ...

    @property
    def has_sums(self) -> bool: ...

    @property
    def accumulate(self) -> int: ...

    @property
    def has_input_shifts(self) -> bool: ...


Kept: TypeAlias = "Mapping[Companion, Tensor]"  # the companions of one learned tensor


class FollowUp(NamedTuple):
    """An operator behind an update; its name is that of the learned tensor with the suffix."""

    op: Op
    inputs: tuple[Tensor, ...]
    suffix: str


@dataclass(frozen=True, eq=False)
class Companion:
    """A kind of tensors, one beside each learned tensor that has it.

    ``name`` is its key in a manifest, ``plural`` in tables. ``make(learned, formats)`` gives the
    new tensor with its value at reset, or None where ``learned`` has none. ``is_beside``: it lies
    right behind its tensor in the state, else behind everything learned. ``follow(learned, kept,
    sgd, formats)`` are operators that run behind each update of ``learned``. ``check(learned,
    tensor)`` is what its values satisfy whenever training left them; without it any do.
    """

    name: str
    plural: str
    make: Callable[[Tensor, LearnedFormats], Tensor | None]
    digest: Digest = Digest.BEHIND
    is_beside: bool = False
    follow: Callable[[Tensor, Kept, Tensor, LearnedFormats], Iterable[FollowUp]] = lambda *_: ()
    check: Callable[[Tensor, Tensor], StateCheck] | None = None


@dataclass
class Companions:
    """Those of all learned tensors: (learned, kind) to tensor, in the order they were made."""

    kinds: tuple[Companion, ...]
    found: dict[Tensor, dict[Companion, Tensor]] = field(default_factory=dict)

    def make(self, learned: Tensor, formats: LearnedFormats) -> Kept:
        """The companions of ``learned``, made when it is first asked for."""
        if learned not in self.found:
            made = ((kind, kind.make(learned, formats)) for kind in self.kinds)
            self.found[learned] = {kind: tensor for kind, tensor in made if tensor is not None}
        return self.found[learned]

    def beside(self, learned: Tensor) -> Kept:
        """The companions of ``learned``, in the order of the kinds."""
        return self.found.get(learned, {})

    def of(self, kind: Companion) -> dict[Tensor, Tensor]:
        """Each learned tensor that has a companion of this kind, and the companion."""
        return {learned: kept[kind] for learned, kept in self.found.items() if kind in kept}

    def by_kind(self, learned: Iterable[Tensor]) -> Iterator[tuple[Companion, Tensor]]:
        """The companions of ``learned``: all of the first kind, all of the second, and so on."""
        learned = list(learned)
        for kind in self.kinds:
            yield from ((kind, kept[kind]) for t in learned if kind in (kept := self.beside(t)))

    def kind_of(self, tensor: Tensor) -> Companion | None:
        """The kind of a tensor; None if it is no companion."""
        return next((kind for kind, other in self if other is tensor), None)

    def joined(self, learned: Tensor) -> Tensor | None:
        """The companion that the digest takes together with ``learned``, if there is one."""
        kept = self.beside(learned).items()
        return next((tensor for kind, tensor in kept if kind.digest is Digest.JOINED), None)

    def __iter__(self) -> Iterator[tuple[Companion, Tensor]]:
        return (pair for kept in self.found.values() for pair in kept.items())

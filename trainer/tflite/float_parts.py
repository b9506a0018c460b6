# SPDX-License-Identifier: Apache-2.0
"""The parts of a model that a file computes in float32 and that can be read all the same.

A chain of functions of one value between a DEQUANTIZE and a QUANTIZE is a table. Scores in float32
at the end of a model, behind a DEQUANTIZE, are left out as those in int8 are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mcutrain.trainer.ops.float_function import FUNCTIONS

if TYPE_CHECKING:
    from mcutrain.trainer.tflite.listing import Listing

SCORES = ("SOFTMAX", "LOG_SOFTMAX")
MAX_CHAIN = 8  # functions, so that a hostile file is no work


@dataclass(frozen=True)
class Chain:
    """Operators by their index: a DEQUANTIZE, functions, a QUANTIZE, in the order of the file."""

    operators: tuple[int, ...]

    @property
    def source(self) -> int:
        return self.operators[0]

    @property
    def functions(self) -> tuple[int, ...]:
        return self.operators[1:-1]


def writer(listing: Listing, tensor: int, before: int) -> int | None:
    """The operator before ``before`` that writes a tensor, from the one input that it has."""
    found = listing.declared.writers.get(tensor)
    if found is None or found >= before or len(listing.inputs_of(found)) != 1:
        return None
    return found if listing.outputs_of(found) == [tensor] else None


def chain_to(listing: Listing, quantize: int) -> Chain | None:
    """The chain that ends in a QUANTIZE; None if it is another thing."""
    operators, kind = [quantize], listing.kind(quantize)
    if kind != "QUANTIZE" or len(listing.inputs_of(quantize)) != 1:
        return None
    while len(operators) <= MAX_CHAIN + 1:
        found = writer(listing, listing.inputs_of(operators[0])[0], operators[0])
        if found is None or found in listing.edges:
            return None
        operators.insert(0, found)
        if listing.kind(found) == "DEQUANTIZE":
            return Chain(tuple(operators)) if len(operators) > 2 else None
        if listing.kind(found) not in FUNCTIONS or listing.operator(found).InputsLength() != 1:
            return None
    return None


def scores_at_end(listing: Listing, output: int) -> tuple[int, int] | None:
    """(DEQUANTIZE, operator) where ``output`` is the scores that it makes in float32."""
    last = writer(listing, output, len(listing))
    if last is None or listing.kind(last) not in SCORES:
        return None
    first = writer(listing, listing.inputs_of(last)[0], last)
    return (first, last) if first is not None and listing.kind(first) == "DEQUANTIZE" else None

# SPDX-License-Identifier: Apache-2.0
"""Scores that a model of int8 computes in floating point at its end: they are left out, as those in
int8 are."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mcutrain.trainer.tflite.listing import Listing

SCORES = ("SOFTMAX", "LOG_SOFTMAX")


def scores_at_end(listing: Listing, output: int) -> tuple[int, int] | None:
    """(DEQUANTIZE, operator) where ``output`` is the scores that it makes of one tensor."""
    last = writer(listing, output, len(listing))
    if last is None or listing.kind(last) not in SCORES:
        return None
    first = writer(listing, listing.inputs_of(last)[0], last)
    return (first, last) if first is not None and listing.kind(first) == "DEQUANTIZE" else None


def writer(listing: Listing, tensor: int, before: int) -> int | None:
    """The operator before ``before`` that makes a tensor, and nothing else, of one other."""
    found = listing.declared.writers.get(tensor)
    if found is None or found >= before or len(listing.inputs_of(found)) != 1:
        return None
    return found if listing.outputs_of(found) == [tensor] else None

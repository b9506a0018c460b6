# SPDX-License-Identifier: Apache-2.0
"""How filters of nibbles lie where two products are done in an instruction. Twin of
firmware/kernels/filters_nibbles_dsp.h."""

from __future__ import annotations

import numpy as np

from mcutrain.trainer.graph.call import Table
from mcutrain.trainer.graph.tensor import Tensor
from mcutrain.trainer.ops.filters_dsp import fours_of_pairs


def nibble_words(w: Tensor) -> Table:
    """(pairs of filters, turns) u32: in a word a four of both filters as nibbles, each the weight
    and 8; from the low end values 0 and 1 of one filter, of the other, values 2 and 3 so."""
    nibbles = (fours_of_pairs(w) + 8).astype(np.uint32)  # (pairs, turns, 2, 4)
    first, second = nibbles[..., 0, :], nibbles[..., 1, :]
    values = (first[..., 0], first[..., 1], second[..., 0], second[..., 1],
              first[..., 2], first[..., 3], second[..., 2], second[..., 3])  # fmt: skip
    words = sum(value << np.uint32(4 * k) for k, value in enumerate(values))
    return Table("nibbles", np.ascontiguousarray(words, np.uint32))

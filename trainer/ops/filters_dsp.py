# SPDX-License-Identifier: Apache-2.0
"""How windows and packed filters lie where two products are done in an instruction. Twin of
firmware/kernels/filters_dsp.h."""

from __future__ import annotations

import numpy as np

from mcutrain.trainer.graph.call import Table
from mcutrain.trainer.graph.tensor import Array, Tensor

TURN = 4  # values that meet in a turn of the kernels' inner loop
TURN_BYTES = 16  # of scratch memory, for two positions


def packed_turns(size: int) -> int:
    """Turns of a packed filter: an even number."""
    return 2 * -(-size // (2 * TURN))


def packed_weights(w: Tensor) -> Table:
    """(pairs of filters, turns, 2, 2) u32: values 0 and 2 of each four in a word, then 1 and 3.

    The last of the fours that are not whole is that of the last four weights, of which the kernel
    has the values that were not in the one before; behind it zeros make the number even.
    """
    halves = np.ascontiguousarray(fours_of_pairs(w)[..., [0, 2, 1, 3]], "<i2")
    return Table("packed", halves.view("<u4").astype(np.uint32))


def nibble_words(w: Tensor) -> Table:
    """(pairs of filters, turns) u32: in a word a four of both filters as nibbles, each the weight
    and 8; from the low end values 0 and 1 of one filter, of the other, values 2 and 3 so."""
    nibbles = (fours_of_pairs(w) + 8).astype(np.uint32)  # (pairs, turns, 2, 4)
    first, second = nibbles[..., 0, :], nibbles[..., 1, :]
    values = (first[..., 0], first[..., 1], second[..., 0], second[..., 1],
              first[..., 2], first[..., 3], second[..., 2], second[..., 3])  # fmt: skip
    words = sum(value << np.uint32(4 * k) for k, value in enumerate(values))
    return Table("nibbles", np.ascontiguousarray(words, np.uint32))


def fours_of_pairs(w: Tensor) -> Array:
    """(pairs of filters, turns, 2, 4) s16: the fours of a filter and of the next, in turns.

    The last of the fours that are not whole is that of the last four weights, behind it are zeros,
    and so are the weights of a filter that makes their number even.
    """
    assert w.data is not None
    filters = w.data.reshape(w.type.shape[0], -1).astype(np.int16)
    count, size = filters.shape
    whole = size - size % TURN
    padded = np.zeros((count + count % 2, packed_turns(size), TURN), np.int16)
    padded[:count, : whole // TURN] = filters[:, :whole].reshape(count, -1, TURN)
    if size % TURN:
        padded[:count, whole // TURN] = filters[:, -TURN:]
    return padded.reshape(len(padded) // 2, 2, -1, TURN).transpose(0, 2, 1, 3)

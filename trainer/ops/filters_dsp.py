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

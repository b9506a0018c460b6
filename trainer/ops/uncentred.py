# SPDX-License-Identifier: Apache-2.0
"""Convolutions that need not centre their inputs: frozen layers whose windows lie in the input.

sum (x + x_offset) w + b = sum x w + (x_offset sum w + b), modulo 2**32 as the sums of the kernels.
What is in brackets is known when the call is lowered, unless padding is left out of the sum.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mcutrain.trainer.graph.call import KernelCall, Table
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.graph.tensor import Array, Role, Tensor
from mcutrain.trainer.ops.weighted import Weighted


def uncentred(node: Node, call: KernelCall) -> KernelCall:
    """The call with the offset of x in its biases, if that is exact; else the call as it is.

    Variants get the call as it is: they centre values where they widen them.
    """
    op, weights = node.op, node.inputs[1:]
    assert isinstance(op, Weighted)
    learns = op.channels is not None or not all(is_known(t) for t in weights)
    if op.needs or learns or not op.geometry(*(t.type for t in node.inputs[:2])).is_inside:
        return call
    x, w, _, *rest = call.args
    bias = Table("centred_b", centred_biases(call.params["x_offset"], *weights))
    params = {**call.params, "x_offset": 0}
    return replace(call, params=params, args=(x, w, bias, *rest))


def is_known(tensor: Tensor) -> bool:
    return tensor.role is Role.CONST and tensor.data is not None


def centred_biases(x_offset: int, w: Tensor, b: Tensor | None = None) -> Array:
    """(O,) int32: x_offset times the sum of each filter of w (O, ..), and b."""
    assert w.data is not None
    sums = x_offset * w.data.reshape(len(w.data), -1).sum(axis=1, dtype=np.int64)
    if b is not None:
        assert b.data is not None
        sums += b.data.reshape(-1)
    return np.asarray(sums.astype(np.int32))  # modulo 2**32

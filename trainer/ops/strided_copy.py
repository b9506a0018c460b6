# SPDX-License-Identifier: Apache-2.0
"""The call of what only moves values about: each is copied from elsewhere, by even strides.

TRANSPOSE, SLICE and its kin; the error goes back by StridedError and ScatteredError.
"""

from __future__ import annotations

from mcutrain.trainer.graph.call import KernelCall
from mcutrain.trainer.graph.tensor import Tensor
from mcutrain.trainer.ops.strided_error import Strides


def strided_copy(where: Strides, x: Tensor, out: Tensor) -> KernelCall:
    """out's element i, in row-major order, is the i-th that ``where`` reads of x."""
    params = {**where.params(), "offset": where.offset}
    return KernelCall("strided_copy", "strided_copy_s8", "strided_copy", params, (x, out))

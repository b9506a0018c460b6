# SPDX-License-Identifier: Apache-2.0
"""Tensors of a file of uint8 as int8 (trainer.tflite.unsigned)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mcutrain.trainer.errors import ModelError, UnsupportedOpError
from mcutrain.trainer.graph.tensor import Array, DType, QuantParams, Tensor, TensorType

AGAIN = "convert the model again from its source, with full-integer quantisation to int8"


def signed(type_: TensorType, data: Array | None) -> tuple[TensorType, Array | None]:
    """The int8 tensor that is one of uint8 less 128."""
    quant = type_.quant
    if quant is not None:
        quant = replace(quant, zero_point=quant.zero_point - 128)
    found = None if data is None else (data ^ 0x80).view(np.int8)
    return TensorType(type_.shape, DType.S8, quant), found


def centred(source: object, x: Tensor, w: Tensor) -> tuple[Tensor, Array]:
    """Weights of zero point 0 for those of a ``signed`` file, limited to int8; and what they lack,
    int16. Raises UnsupportedOpError for one of 255 above its zero point.

    Their scale is that by which TFLite multiplies: the product with the input's, as float32.
    """
    assert w.data is not None and w.type.quant is not None
    if len(w.type.quant.scales) != 1 or not -128 <= w.type.zero_point <= 127:
        raise ModelError(f"{source}: the weights '{w.label}' have no single scale and zero point")
    whole = w.data.astype(np.int16) - w.type.zero_point
    limited = whole.clip(-128, 127).astype(np.int8)
    rest = whole - limited
    if rest.max(initial=0) > 127:
        raise UnsupportedOpError(
            f"{source}: the weights '{w.label}' reach 255 above their zero point; 254 are "
            "supported",
            AGAIN,
        )
    product = float(np.float32(x.type.scale) * np.float32(w.type.scale))
    quant = QuantParams((product / x.type.scale,))
    return replace(w, data=limited, type=replace(w.type, quant=quant)), rest

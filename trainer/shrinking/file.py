# SPDX-License-Identifier: Apache-2.0
"""A model file for a model that was cut: smaller constants and shapes in the same file."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mcutrain.trainer.errors import ModelError
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.graph.tensor import Array, QuantParams, Tensor
from mcutrain.trainer.model import Model
from mcutrain.trainer.ops.weighted import Weighted
from mcutrain.trainer.tflite.compact import compacted
from mcutrain.trainer.tflite.declared import FileTensor
from mcutrain.trainer.tflite.in_place import InPlace
from mcutrain.trainer.tflite.metadata import TRAINING_STATE
from mcutrain.trainer.tflite.reader import READER_ERRORS, parse

DEPTH_MULTIPLIER = 3  # of DepthwiseConv2DOptions
WEIGHTS = 1  # their position among the inputs of a layer
INT32 = 2
UNSIGNED = (
    "is a model of uint8, which has no place for weights of int8: convert it to int8 with the "
    "TensorFlow Lite converter"
)


def write_cut(original: bytes, smaller: Model) -> bytes:
    """The file ``original`` with the shapes, weights, biases and other constants of ``smaller``,
    which was made of its model.

    All else stays: names, metadata, signatures, operators outside of the model's section; but what
    an export keeps to go on with a training is taken away, and so is what nothing refers to. The
    file is not larger, unless a layer without a bias gets one, or constants that several operators
    share become different. Raises ModelError if the file is another model's, or cannot be written
    so.
    """
    if smaller.is_unsigned:
        raise ModelError(f"{smaller.name} {UNSIGNED}")
    try:
        patch = InPlace(original)
        for node in smaller.graph.nodes:
            write_node(patch, node)
        patch.set_metadata(TRAINING_STATE, None)
        new = compacted(patch.finish())
    except READER_ERRORS as err:
        raise ModelError(
            f"the model file is damaged or another than {smaller.name}: {err}"
        ) from err
    require_same(parse(new, smaller.name, section=smaller.section), smaller)
    return new


def write_node(patch: InPlace, node: Node) -> None:
    for tensor in node.outputs:
        if tensor.file_index >= 0:
            patch.set_shape(tensor.file_index, tensor.type.shape)
    for index in between(patch, node):
        patch.set_shape(index, node.output.type.shape)
    if isinstance(node.op, Weighted):
        write_layer(patch, node)
    else:
        inputs = patch.inputs[node.index]
        for tensor in node.inputs:
            index = tensor.file_index
            # The initial value of a state is none of the file's.
            if tensor.data is not None and index in inputs and patch.contents(index, "<i1").size:
                patch.set_constant(node.index, inputs.index(index), stored(tensor), None)
    for position, values in node.op.told().items():
        patch.set_told(node.index, position, values)
    if patch.kind(node.index) == "RESHAPE":
        patch.tell_new_shape(node.index, node.output.type.shape)


def between(patch: InPlace, node: Node) -> Iterator[int]:
    """The file's tensors between operators, one behind the other, that are one elementwise node: a
    function in floating point between conversions. The node is the last of them."""
    first, operator = node.inputs[0].file_index, node.index
    is_chain = first >= 0 and first not in patch.inputs[operator]
    while is_chain and (tensor := patch.inputs[operator][0]) != first:
        yield tensor
        operator = next(k for k, outputs in enumerate(patch.outputs) if tensor in outputs)


def stored(tensor: Tensor) -> Array:
    """The data as a file holds them."""
    assert tensor.data is not None
    return tensor.data.astype(tensor.data.dtype.newbyteorder("<"))


def write_layer(patch: InPlace, node: Node) -> None:
    """Write the weights and the bias of a layer. Raises ModelError if the file has none of its kind
    there."""
    (x, w, *bias), op = node.inputs, node.op
    assert isinstance(op, Weighted) and w.type.quant is not None
    if patch.kind(node.index) != op.tflite_name:
        raise ModelError(f"operator {node.index} of the file is no {op.tflite_name}: {node.name}")
    patch.set_constant(node.index, WEIGHTS, stored(w), w.type.quant)
    if op.by_channel:
        multiplier = w.type.shape[-1] // x.type.shape[-1]
        patch.set_option(node.index, DEPTH_MULTIPLIER, multiplier)
    if not bias:
        return
    scales = bias_scales(x, w, bias[0])
    inputs = patch.inputs[node.index]
    if len(inputs) > op.bias_input and inputs[op.bias_input] >= 0:
        is_scaled = patch.tensor(inputs[op.bias_input]).quant is not None
        told = scales if is_scaled else None
        patch.set_constant(node.index, op.bias_input, stored(bias[0]), told)
    else:
        name = patch.tensor(inputs[WEIGHTS]).name + b"_bias"
        new = FileTensor(name, bias[0].type.shape, INT32, 0, scales)
        patch.add_constant(node.index, op.bias_input, new, stored(bias[0]).tobytes())


def bias_scales(x: Tensor, w: Tensor, bias: Tensor) -> QuantParams:
    """Those that the bias has, where they are the products of the scales, else these."""
    assert w.type.quant is not None
    products = np.array([x.type.scale * s for s in w.type.quant.scales]).astype(np.float32)
    old = bias.type.quant
    if (
        old is not None
        and len(old.scales) == products.size
        and np.allclose(np.array(old.scales), products, rtol=1e-5, atol=0)
    ):
        return old
    return QuantParams(tuple(map(float, products)), 0, 0 if products.size > 1 else None)


def require_same(found: Model, wanted: Model) -> None:
    """Raises ModelError unless the model that was read is the one that was written."""
    nodes = {node.name: node for node in found.graph.nodes}
    for node in wanted.graph.nodes:
        other = nodes.get(node.name)
        if other is None or other.op != node.op or not same_tensors(other, node):
            raise ModelError(
                f"the file cannot hold {wanted.name} as it was cut: {node.name} would be read as "
                f"{other}"
            )


def same_tensors(a: Node, b: Node) -> bool:
    pairs = zip((*a.inputs, *a.outputs), (*b.inputs, *b.outputs), strict=False)
    return len(a.inputs) == len(b.inputs) and all(
        x.type.shape == y.type.shape and same_data(x.data, y.data) for x, y in pairs
    )


def same_data(a: Array | None, b: Array | None) -> bool:
    return a is b if a is None or b is None else np.array_equal(a, b)

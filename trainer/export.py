# SPDX-License-Identifier: Apache-2.0
"""Writes what was learned back into the model file: weights, biases, a new head, training state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tflite

from mcutrain.trainer.errors import ModelError
from mcutrain.trainer.graph.op import BehindHead, Node
from mcutrain.trainer.graph.tensor import Array, DType, QuantParams, Role, Tensor
from mcutrain.trainer.int4 import unpaired
from mcutrain.trainer.ops.weighted import Weighted
from mcutrain.trainer.tflite.compact import compacted
from mcutrain.trainer.tflite.declared import FileTensor
from mcutrain.trainer.tflite.metadata import TRAINING_STATE
from mcutrain.trainer.tflite.patch import TflitePatch
from mcutrain.trainer.tflite.reader import READER_ERRORS, importers
from mcutrain.trainer.tflite.tensors import DTYPES
from mcutrain.trainer.training_plan import TrainingPlan
from mcutrain.trainer.training_state import TrainingState

CODES = {dtype: code for code, dtype in DTYPES.items()}
NO_OPERATORS = ("DEQUANTIZE",)  # at a model's output in a file, and in no graph
UNCLAMPED = (-128, 127)
UNSIGNED = "is a model of uint8, which has no place for what was trained as int8"


def export_model(
    original: bytes,
    plan: TrainingPlan,
    state: Mapping[Tensor, Array],
    options: Mapping[str, Any] | None = None,
    *,
    resumable: bool = True,
) -> bytes:
    """The file that ``plan`` was made from, with what ``state`` holds of the plan's tensors.

    Weights of int4 that learned are int8 there; frozen ones stay int4. The head has the classes in
    use; spare ones are left out. A resumable file also holds the training state, with ``options``
    (JSON) for the caller; without it, a state that the file had is taken away. Raises ModelError
    if the file is not the plan's, or cannot be changed.
    """
    stored = TrainingState.of(plan, state, options or {}).pack() if resumable else None
    try:
        patch = TflitePatch(original)
        layers = [node for node in plan.forward if isinstance(node.op, Weighted)]
        require_int8(patch, layers)
        in_use = int(state[plan.task.active][0]) if plan.task.active else None
        for node in layers[:-1]:
            write_layer(patch, node, Values(state))
        write_last_layer(patch, layers[-1], Values(state, in_use))
        patch.set_metadata(TRAINING_STATE, stored)
        return compacted(patch.finish())
    except READER_ERRORS as err:
        raise ModelError(f"the model file is damaged or another than the plan's: {err}") from err


def require_int8(patch: TflitePatch, layers: list[Node]) -> None:
    """Raises ModelError for a file whose weights are uint8."""
    for node in layers:
        require_layer(patch, node)
        if patch.tensor(patch.inputs[node.index][1]).type == CODES[DType.U8]:
            raise ModelError(f"the model file {UNSIGNED}: {node.name}")


@dataclass(frozen=True)
class Values:
    """What tensors hold; of the head only the first ``rows`` outputs."""

    state: Mapping[Tensor, Array]
    rows: int | None = None

    def of(self, tensor: Tensor) -> Array:
        value = self.state.get(tensor, tensor.data)
        assert value is not None
        return value

    def type_of(self, w: Tensor) -> tuple[tuple[int, ...], QuantParams]:
        """Shape and scales of weights."""
        quant = w.type.quant
        assert quant is not None
        if self.rows is None:
            return w.type.shape, quant
        scales = quant.scales[: self.rows]
        return (self.rows, *w.type.shape[1:]), replace(quant, scales=scales)


def write_layer(patch: TflitePatch, node: Node, values: Values) -> None:
    """Write what learned of one layer's weights and bias."""
    op, w = node.op, node.inputs[1]
    assert isinstance(op, Weighted)
    require_layer(patch, node)
    _, _, learned = op.split_inputs(node)
    if learned.role is Role.PARAM:
        declared = patch.tensor(patch.inputs[node.index][1])
        if declared.shape != values.type_of(w)[0] or not has_type_of(declared, w):
            raise not_the_plans(node, f"its weights are {declared.shape}, not {w.type.shape}")
        index = patch.own_input(node.index, 1)
        whole = values.of(learned)
        if op.channels:
            frozen = stored_weights(patch, index, w)
            frozen[..., list(op.columns(node.inputs[0].type, w.type))] = 0
            whole = op.whole_weights(node.inputs[0].type, frozen, whole)
        if declared.type == tflite.TensorType.INT4:
            patch.change_tensor(index, replace(patch.tensor(index), type=CODES[DType.S8]))
        patch.set_data(index, whole[: values.rows].astype("<i1").tobytes())
    if op.has_bias and node.inputs[2].role is Role.PARAM:
        bias = values.of(node.inputs[2])[: values.rows].astype("<i4")
        inputs = patch.inputs[node.index]
        if len(inputs) <= op.bias_input or inputs[op.bias_input] < 0:
            raise not_the_plans(node, "it has no bias there")
        index = patch.own_input(node.index, op.bias_input)
        if int(np.prod(patch.tensor(index).shape)) != bias.size:
            raise not_the_plans(node, f"its bias is {patch.tensor(index).shape}, not {bias.shape}")
        patch.set_data(index, bias.tobytes())


def has_type_of(declared: FileTensor, w: Tensor) -> bool:
    """Whether weights are declared as they are in the plan, where those of int4 are int8."""
    return declared.type in (CODES[w.type.dtype], tflite.TensorType.INT4)


def stored_weights(patch: TflitePatch, index: int, w: Tensor) -> Array:
    """The weights ``w`` as the file has them, s8."""
    if patch.tensor(index).type == tflite.TensorType.INT4:
        return unpaired(patch.contents(index, "<u1"), w.type.size).reshape(w.type.shape)
    return patch.contents(index, "<i1").reshape(w.type.shape).copy()


def write_last_layer(patch: TflitePatch, node: Node, values: Values) -> None:
    """As ``write_layer``; a head that is declared otherwise in the plan is declared anew."""
    require_layer(patch, node)
    if is_other_head(patch, node, values):
        write_head(patch, node, values)
    else:
        write_layer(patch, node, values)


def require_layer(patch: TflitePatch, node: Node) -> None:
    """Raises ModelError unless the file has a layer of the node's kind at its index."""
    kind = patch.kind(node.index)
    if kind != node.op.tflite_name or len(patch.inputs[node.index]) < 2:
        raise not_the_plans(node, f"operator {node.index} is {kind}")


def not_the_plans(node: Node, found: str) -> ModelError:
    return ModelError(
        f"the model file is not the one that was trained: {found} ({node.name} in the plan)"
    )


def is_other_head(patch: TflitePatch, node: Node, values: Values) -> bool:
    """Whether the plan's head has another declaration than the file's."""
    op, inputs = node.op, patch.inputs[node.index]
    assert isinstance(op, Weighted)
    w, out = patch.tensor(inputs[1]), patch.tensor(patch.outputs[node.index][0])
    shape, quant = values.type_of(node.inputs[1])
    has_bias = len(inputs) > op.bias_input and inputs[op.bias_input] >= 0
    is_clamped = patch.activation(node.index) and op.out_quant.zero_point > -128
    return (
        w.quant is None
        or (w.shape, w.quant.scales) != (shape, quant.scales)
        or out.quant != op.out_quant
        or has_bias != op.has_bias
        or (bool(is_clamped) and op.limits() == UNCLAMPED)
    )


def write_head(patch: TflitePatch, node: Node, values: Values) -> None:
    """Declare the head as the plan has it: weights, bias, output and all behind it."""
    op, w = node.op, node.inputs[1]
    assert isinstance(op, Weighted)
    shape, quant = values.type_of(w)
    old_out = patch.tensor(patch.outputs[node.index][0])
    index = patch.own_input(node.index, 1)
    declared = patch.tensor(index)
    if declared.shape[1:] != shape[1:] or not has_type_of(declared, w):
        raise not_the_plans(node, f"its head's weights are {declared.shape}, not {shape}")
    signature = shape if declared.signature else ()
    changed = replace(
        declared, shape=shape, type=CODES[w.type.dtype], quant=quant, signature=signature
    )
    patch.change_tensor(index, changed)
    patch.set_data(index, values.of(op.split_inputs(node)[2])[: values.rows].tobytes())
    if op.has_bias:
        write_bias(patch, node, values, quant)
    if op.limits() == UNCLAMPED:
        patch.drop_activation(node.index)
    out = old_out.with_last(declared.shape[0], shape[0])
    patch.change_tensor(patch.outputs[node.index][0], replace(out, quant=op.out_quant))
    follow(patch, patch.outputs[node.index][0], old_out, set())


def write_bias(patch: TflitePatch, node: Node, values: Values, w_quant: QuantParams) -> None:
    """Write the head's bias, as a new tensor if the file has none."""
    bias = values.of(node.inputs[2])[: values.rows].astype("<i4")
    x_scale = node.inputs[0].type.scale
    scales = tuple(float(np.float32(x_scale * s)) for s in w_quant.scales)
    quant = QuantParams(scales, 0, 0 if len(scales) > 1 else None)
    inputs = patch.inputs[node.index]
    shape, code = bias.shape, CODES[node.inputs[2].type.dtype]
    assert isinstance(node.op, Weighted)
    position = node.op.bias_input
    if len(inputs) > position and inputs[position] >= 0:
        index = patch.own_input(node.index, position)
        declared = patch.tensor(index)
        signature = shape if declared.signature else ()
        new = replace(declared, shape=shape, quant=quant, signature=signature)
        patch.change_tensor(index, new)
        patch.set_data(index, bias.tobytes())
        return
    name = patch.tensor(inputs[1]).name + b"_bias"
    buffer = patch.add_buffer(bias.tobytes())
    patch.buffer_users[buffer] = 1
    index = patch.add_tensor(FileTensor(name, shape, code, buffer, quant))
    patch.set_inputs(node.index, [*inputs[:position], index])


def follow(patch: TflitePatch, tensor: int, old: FileTensor, seen: set[int]) -> None:
    """Declare what is computed from ``tensor``, which was ``old``, as that asks for."""
    new = patch.tensor(tensor)
    for operator in patch.readers(tensor):
        kind, outputs = patch.kind(operator), patch.outputs[operator]
        if kind == "SHAPE":
            continue
        behind = behind_head(kind)
        is_known = behind is not BehindHead.NO and patch.inputs[operator][0] == tensor
        if not is_known or len(outputs) != 1 or outputs[0] in seen:
            raise ModelError(f"operator {operator} ({kind}) reads the head: it cannot be replaced")
        seen.add(outputs[0])
        before = patch.tensor(outputs[0])
        after = before.with_last(old.shape[-1], new.shape[-1])
        if behind is BehindHead.CHANNELS:
            after = replace(after, quant=new.quant)
        elif kind == "QUANTIZE":
            after = replace(after, quant=shifted(before, old, new))
        if kind == "RESHAPE":
            write_shape(patch, operator, before, after)
        patch.change_tensor(outputs[0], after)
        follow(patch, outputs[0], before, seen)


def behind_head(kind: str) -> BehindHead:
    """What the operator of this name in a model file does behind a new head."""
    if kind in NO_OPERATORS:
        return BehindHead.OUTPUT
    op = importers().get(kind)
    return op.behind_head if op else BehindHead.NO


def shifted(out: FileTensor, old: FileTensor, new: FileTensor) -> QuantParams | None:
    """The output's scale of a QUANTIZE: where it only moves the zero point, it still does."""
    if out.quant is None or old.quant is None or new.quant is None:
        return out.quant
    if out.quant.scales != old.quant.scales:
        return out.quant
    distance = out.quant.zero_point - old.quant.zero_point
    return QuantParams(new.quant.scales, new.quant.zero_point + distance)


def write_shape(patch: TflitePatch, operator: int, before: FileTensor, after: FileTensor) -> None:
    """Change the last dimension where a RESHAPE is told it: an input, or its options."""
    if len(patch.inputs[operator]) > 1:
        write_last(patch, operator, 1, before.shape[-1], after.shape[-1])
    shape = patch.new_shape(operator)
    if shape and shape[-1] == before.shape[-1]:
        patch.set_new_shape(operator, [*shape[:-1], after.shape[-1]])


def write_last(patch: TflitePatch, operator: int, position: int, old: int, new: int) -> None:
    """Change the last of the constant integers at an input, or of what PACK makes them of."""
    index = patch.inputs[operator][position]
    if index < 0 or old == new:
        return
    dtype = {2: "<i4", 4: "<i8"}.get(patch.tensor(index).type, "<i4")
    values = patch.contents(index, dtype).copy()
    if values.size and values[-1] == old:
        values[-1] = new
        patch.set_data(patch.own_input(operator, position), values.tobytes())
    for k, outputs in enumerate(patch.outputs):
        if not values.size and index in outputs and patch.kind(k) == "PACK" and k < operator:
            write_last(patch, k, len(patch.inputs[k]) - 1, old, new)

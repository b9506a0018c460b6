# SPDX-License-Identifier: Apache-2.0
"""A forward model: a graph from one int8 input to logits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from trainer.errors import ModelError
from trainer.graph import Graph, Node, prune
from trainer.ops.conv2d import Conv2D
from trainer.ops.depthwise_conv2d import DepthwiseConv2D
from trainer.ops.reshape import Reshape
from trainer.ops.softmax import Softmax
from trainer.tensor import QuantParams, Tensor, constant

HEAD_WEIGHT_SCALE = float(np.float32(0.5 / 127))
LOGIT_SCALE = 0.125


@dataclass(frozen=True)
class Model:
    """A graph, its input, its output, and the logits: the output before a last softmax."""

    name: str
    graph: Graph
    input: Tensor
    logits: Tensor
    output: Tensor

    @property
    def weighted(self) -> list[Node]:
        """The layers with weights, from the input."""
        return [node for node in self.graph.nodes if isinstance(node.op, Conv2D)]

    @property
    def classes(self) -> int:
        return self.logits.type.shape[-1]


Change: TypeAlias = Callable[[Graph, Node, tuple[Tensor, ...]], "tuple[Tensor, ...] | None"]


def rebuild(model: Model, change: Change) -> Model:
    """A copy of the model; ``change`` may append other nodes in place of one.

    It gets the new graph, the old node and its new inputs, and returns the outputs that
    stand for the old ones, or None to keep the node.
    """
    graph = Graph()
    new: dict[Tensor, Tensor] = {}
    for node in model.graph.nodes:
        inputs = tuple(new.get(t, t) for t in node.inputs)
        outputs = change(graph, node, inputs)
        if outputs is None:
            outputs = graph.add(node.op, *inputs, name=node.name, index=node.index)
        for old, tensor in zip(node.outputs, outputs, strict=True):
            tensor.label = old.label
            new[old] = tensor
    return replace(model, graph=graph, logits=new[model.logits], output=new[model.output])


def with_new_head(model: Model, classes: int) -> Model:
    """The model with ``classes`` untrained outputs in place of its last weighted layer.

    Weights and biases are 0, s_w = 0.5/127 and s_logit = 1/8 (SPEC 1.5). Raises ModelError
    if the number is out of range or something other than a reshape follows the layer.
    """
    if not 2 <= classes <= 65535:
        raise ModelError(f"a head has 2 to 65535 classes, not {classes}")
    head = model.weighted[-1]
    if isinstance(head.op, DepthwiseConv2D):
        raise ModelError(f"the last weighted layer, {head.name}, is depthwise: it cannot be a head")
    old_classes = head.output.type.shape[-1]

    def change(graph: Graph, node: Node, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        if node is head:
            return add_head(graph, node, inputs[0], classes)
        if node.index > head.index:
            if isinstance(node.op, Reshape) and node.op.shape[-1] == old_classes:
                op = Reshape((*node.op.shape[:-1], classes))
                return graph.add(op, *inputs, name=node.name, index=node.index)
            if not isinstance(node.op, Softmax):
                raise ModelError(
                    f"{type(node.op).__name__} follows the last weighted layer {head.name}: "
                    "a new head needs RESHAPE or SOFTMAX there only"
                )
        return None

    return rebuild(model, change)


def add_head(graph: Graph, node: Node, x: Tensor, classes: int) -> tuple[Tensor, ...]:
    assert isinstance(node.op, Conv2D)
    w_quant = QuantParams((HEAD_WEIGHT_SCALE,))
    w_shape = (classes, *node.inputs[1].type.shape[1:])
    w = constant(f"{node.name}_w", np.zeros(w_shape, np.int8), w_quant)
    b = constant(f"{node.name}_b", np.zeros(classes, np.int32))
    op = replace(
        node.op,
        out_quant=QuantParams((LOGIT_SCALE,)),
        out_shape=(*node.op.out_shape[:-1], classes),
        act_min=-128,
        act_max=127,
        has_bias=True,
        dead=(),
    )
    return graph.add(op, x, w, b, name=node.name, index=node.index)


def trim(model: Model) -> Model:
    """The model up to its logits, without what they do not need."""
    graph = prune(model.graph, {model.logits})
    return replace(model, graph=graph, output=model.logits)

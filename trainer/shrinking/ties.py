# SPDX-License-Identifier: Apache-2.0
"""Which channels of a network leave together: each operator says it of its own (``Op.tie``), and
what it says is joined over the graph."""

from __future__ import annotations

import numpy as np

from mcutrain.trainer.graph.cutting import varying_axes
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.graph.tensor import Array, Tensor
from mcutrain.trainer.model import Model
from mcutrain.trainer.ops.weighted import Weighted


class ModelTies:
    """The ids of all elements of a model's tensors: the ``Ties`` of its operators' rules."""

    def __init__(self, model: Model) -> None:
        self.ids: dict[Tensor, Array] = {}
        self.made: list[tuple[Node, Array]] = []
        self.read_by: list[tuple[Node, Array]] = []
        self.reasons: dict[int, str] = {}
        self.pairs: list[tuple[Array, Array]] = []
        self.count = 0
        self.ids[model.input] = self.staying(model.input, "it is the input of the model")
        tied = {index for several in model.tied for index in several}
        for node in model.graph.nodes:
            self.tie(node, "its weights are another layer's too" if node.index in tied else "")
        for tensor, ids in self.ids.items():
            if tensor.file_index in model.held:
                self.keep(ids, "something that does not lead to the output reads it")
        for tensor in (model.logits, model.output):
            self.keep(self.ids[tensor], "it is the output of the model")
        for state in model.states:
            for tensor in (state.tensor, state.following):
                self.keep(self.ids_of(tensor), "it is kept from one inference to the next")

    def new(self, count: int) -> Array:
        self.count += count
        return np.arange(self.count - count, self.count)

    def make(self, node: Node, count: int) -> Array:
        made = self.new(count)
        self.made.append((node, made))
        return made

    def read(self, node: Node, ids: Array) -> None:
        self.read_by.append((node, ids))

    def unite(self, a: Array, b: Array) -> None:
        once = np.broadcast_arrays(a, b)
        place = tuple(
            slice(0, 1) if steps == (0, 0) else slice(None)
            for steps in zip(*(each.strides for each in once), strict=True)
        )
        first, second = (each[place].ravel() for each in once)
        differ = first != second
        self.pairs.append((first[differ], second[differ]))

    def stay(self, why: str) -> int:
        (number,) = self.new(1)
        self.reasons[int(number)] = why
        return int(number)

    def must_stay(self, ids: Array) -> bool:
        return bool(np.isin(ids, list(self.reasons)).all())

    def keep(self, ids: Array, why: str) -> None:
        """What has these ids cannot leave."""
        self.unite(ids, np.array(self.stay(why)))

    def staying(self, tensor: Tensor, why: str) -> Array:
        """The ids of a tensor that stays whole."""
        return np.broadcast_to(np.array(self.stay(why)), tensor.type.shape)

    def ids_of(self, tensor: Tensor) -> Array:
        """In the tensor's shape; a constant's elements have ids of their own."""
        if tensor not in self.ids:
            self.ids[tensor] = self.new(tensor.type.size).reshape(tensor.type.shape)
        return self.ids[tensor]

    def tie(self, node: Node, why_whole: str) -> None:
        """Take a node's rule, or keep all of it for the reason ``why_whole``."""
        sources = node.inputs[:1] if isinstance(node.op, Weighted) else node.inputs
        ids = tuple(map(self.ids_of, sources))
        found = why_whole or node.op.tie(node, ids, self)
        if isinstance(found, str):
            for each in ids:
                self.keep(each, f"{node.name} reads it: {found}")
            for tensor in node.outputs:
                self.ids[tensor] = self.staying(tensor, found)
        else:
            self.ids[node.output] = self.along_one_axis(found)

    def along_one_axis(self, ids: Array) -> Array:
        """The ids, which differ along one axis then, the last that they differ along: others are
        united."""
        axes = varying_axes(ids)
        axis = axes[-1] if axes else ids.ndim - 1
        rows = np.moveaxis(ids, axis, 0).reshape(ids.shape[axis], -1)
        if len(axes) > 1:
            self.unite(rows[:, :1], rows)
        shape = [1] * ids.ndim
        shape[axis] = ids.shape[axis]
        return np.broadcast_to(rows[:, 0].reshape(shape), ids.shape)

    def roots(self) -> Array:
        """(ids,): the least id of those that leave together with each."""
        root = np.arange(self.count)
        first, second = (np.concatenate([p[k] for p in self.pairs] or [root[:0]]) for k in (0, 1))
        while first.size:
            least = np.minimum(root[first], root[second])
            before = root.copy()
            for ends in (root[first], root[second], first, second):
                np.minimum.at(root, ends, least)
            root = root[root]
            if (root == before).all():
                break
        return root

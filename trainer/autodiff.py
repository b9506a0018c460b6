# SPDX-License-Identifier: Apache-2.0
"""Reverse-mode differentiation that appends gradient and update nodes to the graph."""

from __future__ import annotations

from collections.abc import Iterator

from mcutrain.trainer.formats import PLAIN, Formats
from mcutrain.trainer.graph.graph import Graph, storage
from mcutrain.trainer.graph.op import ErrorTensor, Node, Op
from mcutrain.trainer.graph.tensor import Role, Tensor
from mcutrain.trainer.ops.clamp_mask import ClampMask
from mcutrain.trainer.ops.companion import Companions
from mcutrain.trainer.ops.error import E12, MaskError, SumErrors, format_of, new_history
from mcutrain.trainer.ops.scattered_error import ScatteredError, SumParts, saved_by_parts
from mcutrain.trainer.ops.sgd import COMPANIONS, INPUT_SHIFT, updated


class GraphTape:
    """The Tape that appends to a graph, and keeps what the gradient rules make beside it.

    ``histories`` are in the order of SPEC 1.5: by operator from the loss backward, the
    errors that an operator computes before their sum. Errors have the format of the loss's.
    """

    def __init__(self, graph: Graph, sgd: Tensor, formats: Formats = PLAIN) -> None:
        self.graph = graph
        self.sgd = sgd
        self.formats = formats
        self.histories: list[Tensor] = []
        self.companions = Companions(COMPANIONS)
        self._learned_from = dependents(graph)
        self._masks: dict[Tensor, Tensor] = {}

    def needs(self, tensor: Tensor) -> bool:
        """Whether something that learns lies at or before ``tensor``."""
        return tensor in self._learned_from

    def mask(self, x: Tensor) -> Tensor:
        """Where ``x`` is inside its limits: made of it once, where it is first asked for."""
        if x not in self._masks:
            producer = self.graph.producer(x)
            assert producer is not None
            op, name = ClampMask(x.limits), f"{x.name}_mask"
            (self._masks[x],) = self.graph.add(op, x, name=name, index=producer.index)
        return self._masks[x]

    def raw_error(self, op: Op, node: Node, x: Tensor, *inputs: Tensor) -> ErrorTensor:
        """Append ``op``, whose raw errors of ``x`` are requantised by a history of its own."""
        return self._requantised(op, self._error_name(node, x), node.index, *inputs)

    def _requantised(self, op: Op, name: str, index: int, *inputs: Tensor) -> ErrorTensor:
        history = new_history(f"{name}_history")
        self.histories.append(history)
        dithers = () if format_of(inputs[0].type) is E12 else (self.sgd,)
        return ErrorTensor(*self.graph.add(op, *inputs, history, *dithers, name=name, index=index))

    def made(self, op: Op, node: Node, name: str, *inputs: Tensor) -> Tensor:
        """Append ``op``, whose one output the errors of ``node``'s inputs are made with."""
        return self.graph.add(op, *inputs, name=f"{node.name}_{name}", index=node.index)[0]

    def passed_error(self, op: Op, node: Node, x: Tensor, *inputs: Tensor) -> ErrorTensor:
        """Append ``op``, which only passes an error on to ``x``."""
        name = self._error_name(node, x)
        return ErrorTensor(*self.graph.add(op, *inputs, name=name, index=node.index))

    def pass_on(self, node: Node, error: ErrorTensor) -> Iterator[tuple[Tensor, ErrorTensor]]:
        """The error, masked, for each input that needs one: ADD, RESHAPE."""
        for x in filter(self.needs, node.inputs):
            yield x, self.passed_error(MaskError(x.type), node, x, *error, self.mask(x))

    def parts(self, learned: Tensor) -> tuple[Tensor, ...]:
        """What an update changes: a weight and its fraction, one of them alone, or their sum."""
        return updated(learned, self.companions.make(learned, self.formats))

    def input_shifts(self, learned: Tensor) -> tuple[Tensor, ...]:
        """The exponents that scale the steps of learned weights by input channel, if there are."""
        kept = self.companions.make(learned, self.formats)
        return (kept[INPUT_SHIFT],) if INPUT_SHIFT in kept else ()

    def update(self, op: Op, node: Node, learned: Tensor, *inputs: Tensor) -> None:
        """Append an update of ``learned``, whose readers are already in the graph.

        ``inputs`` begin with its ``parts``. What its companions do follows behind it.
        """
        self.graph.add(op, *inputs, name=f"{learned.name}_update", index=node.index)
        kept = self.companions.make(learned, self.formats)
        for kind in kept:
            for follow in kind.follow(learned, kept, self.sgd, self.formats):
                name = f"{learned.name}_{follow.suffix}"
                self.graph.add(follow.op, *follow.inputs, name=name, index=node.index)

    def total(self, x: Tensor, errors: list[ErrorTensor]) -> ErrorTensor:
        """The error of ``x``: the one it has, or the sum over its readers (SPEC 1.3)."""
        if len(errors) == 1:
            return errors[0]
        producer = self.graph.producer(x)
        assert producer is not None
        part, name = part_of(self.graph, producer), f"{x.name}_d"
        scattered = [self.graph.producer(error.value) for error in errors]
        wheres = tuple(n.op.where for n in scattered if n and isinstance(n.op, ScatteredError))
        op: Op = SumErrors(len(errors), part)
        pairs = [tensor for error in errors for tensor in error]
        if len(wheres) == len(errors):
            parts = [node.inputs[:2] for node in scattered if node]
            if saved_by_parts(x.type, [dout.type for dout, _ in parts]) > 0:
                self.graph.nodes = [n for n in self.graph.nodes if n not in scattered]
                op, pairs = SumParts(wheres, x.type, part), [t for pair in parts for t in pair]
        return self._requantised(op, name, producer.index, *pairs, self.mask(x))

    def _error_name(self, node: Node, x: Tensor) -> str:
        taken = {n.name for n in self.graph.nodes}
        name = f"{node.name}_d_{x.name}"
        while name in taken:
            name += "_again"
        return name


def part_of(graph: Graph, node: Node) -> int:
    """Which output of an operator of the file a forward node is, where it is several nodes."""
    before = graph.nodes[: graph.nodes.index(node)]
    return sum(n.index == node.index and type(n.op) is type(node.op) for n in before)


def dependents(graph: Graph) -> set[Tensor]:
    """The tensors that depend on something learned."""
    found: set[Tensor] = set()
    for node in graph.nodes:
        if any(t.role is Role.PARAM or t in found for t in node.inputs):
            found.update(node.outputs)
    return found


def backward(tape: GraphTape, logits: Tensor, error: ErrorTensor) -> None:
    """Append the gradients and updates of everything learned before ``logits``.

    Errors accumulate where a tensor has several readers. A weight's update follows the
    last node that reads the weight, so that every gradient sees the weights before it.
    Masks stand where they let what they are made of go early.
    """
    errors: dict[Tensor, list[ErrorTensor]] = {logits: [error]}
    for node in reversed(list(tape.graph.nodes)):
        found = errors.pop(node.output, None)
        if found is None:
            continue
        total = tape.total(node.output, found)
        for x, contribution in node.op.vjp(node, total, tape):
            errors.setdefault(x, []).append(contribution)
    place_masks(tape.graph)


def place_masks(graph: Graph) -> None:
    """Move each mask behind the node that wrote its tensor, unless that lives on anyway.

    A tensor lives on if another node reads its bytes behind the mask: then its mask stays
    before its first reader, and lives shortly.
    """
    owner = storage(graph)
    last_read = {
        owner[t]: k
        for k, node in enumerate(graph.nodes)
        for t in node.inputs
        if not isinstance(node.op, ClampMask)
    }
    early: dict[Tensor, Node] = {}
    placed: list[Node] = []
    for k, node in enumerate(graph.nodes):
        if isinstance(node.op, ClampMask) and last_read.get(owner[x := node.inputs[0]], -1) < k:
            early[x] = node
        else:
            placed.append(node)
    pairs = ((node, early.get(node.output)) for node in placed)
    graph.nodes[:] = [node for pair in pairs for node in pair if node]

# SPDX-License-Identifier: Apache-2.0
"""Reverse-mode differentiation that appends gradient and update nodes to the graph."""

from __future__ import annotations

from collections.abc import Iterator

from trainer.graph import Graph, Node
from trainer.ops.base import ErrorTensor, Op
from trainer.ops.error import MaskError, SumErrors, new_history
from trainer.ops.sgd import fraction_of
from trainer.tensor import Role, Tensor


class Tape:
    """What the gradient rules append to: the graph, the SGD state, histories and fractions.

    ``histories`` are in the order of SPEC 1.5: by operator from the loss backward, the
    errors that an operator computes before their sum.
    """

    def __init__(self, graph: Graph, sgd: Tensor) -> None:
        self.graph = graph
        self.sgd = sgd
        self.histories: list[Tensor] = []
        self.fractions: dict[Tensor, Tensor] = {}
        self._learned_from = dependents(graph)

    def needs(self, tensor: Tensor) -> bool:
        """Whether something that learns lies at or before ``tensor``."""
        return tensor in self._learned_from

    def raw_error(self, op: Op, node: Node, x: Tensor, *inputs: Tensor) -> ErrorTensor:
        """Append ``op``, whose raw errors of ``x`` are requantised by a history of its own."""
        name = self._error_name(node, x)
        history = new_history(f"{name}_history")
        self.histories.append(history)
        return ErrorTensor(*self.graph.add(op, *inputs, history, name=name, index=node.index))

    def passed_error(self, op: Op, node: Node, x: Tensor, *inputs: Tensor) -> ErrorTensor:
        """Append ``op``, which only passes an error on to ``x``."""
        name = self._error_name(node, x)
        return ErrorTensor(*self.graph.add(op, *inputs, name=name, index=node.index))

    def pass_on(self, node: Node, error: ErrorTensor) -> Iterator[tuple[Tensor, ErrorTensor]]:
        """The error, masked, for each input that needs one: ADD, RESHAPE."""
        for x in filter(self.needs, node.inputs):
            yield x, self.passed_error(MaskError(x.limits), node, x, *error, x)

    def update(self, op: Op, node: Node, *inputs: Tensor) -> None:
        """Append an update of ``inputs[0]``; its readers are already in the graph."""
        self.graph.add(op, *inputs, name=f"{inputs[0].name}_update", index=node.index)

    def fraction(self, weight: Tensor) -> Tensor:
        """The fraction bits of a learned weight."""
        return self.fractions.setdefault(weight, fraction_of(weight))

    def total(self, x: Tensor, errors: list[ErrorTensor]) -> ErrorTensor:
        """The error of ``x``: the one it has, or the sum over its readers (SPEC 1.3)."""
        if len(errors) == 1:
            return errors[0]
        history = new_history(f"{x.name}_d_history")
        self.histories.append(history)
        producer = self.graph.producer(x)
        assert producer is not None
        pairs = [tensor for error in errors for tensor in error]
        op = SumErrors(len(errors), x.limits)
        inputs = (*pairs, x, history)
        return ErrorTensor(*self.graph.add(op, *inputs, name=f"{x.name}_d", index=producer.index))

    def _error_name(self, node: Node, x: Tensor) -> str:
        taken = {n.name for n in self.graph.nodes}
        name = f"{node.name}_d_{x.name}"
        while name in taken:
            name += "_again"
        return name


def dependents(graph: Graph) -> set[Tensor]:
    """The tensors that depend on something learned."""
    found: set[Tensor] = set()
    for node in graph.nodes:
        if any(t.role is Role.PARAM or t in found for t in node.inputs):
            found.update(node.outputs)
    return found


def backward(tape: Tape, logits: Tensor, error: ErrorTensor) -> None:
    """Append the gradients and updates of everything learned before ``logits``.

    Errors accumulate where a tensor has several readers. A weight's update follows the
    last node that reads the weight, so that every gradient sees the weights before it.
    """
    errors: dict[Tensor, list[ErrorTensor]] = {logits: [error]}
    for node in reversed(list(tape.graph.nodes)):
        found = errors.pop(node.output, None)
        if found is None:
            continue
        total = tape.total(node.output, found)
        for x, contribution in node.op.vjp(node, total, tape):
            errors.setdefault(x, []).append(contribution)

# SPDX-License-Identifier: Apache-2.0
"""The errors of a model's activations, as a step computes them, where nothing learns."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from mcutrain.trainer.autodiff import GraphTape, backward
from mcutrain.trainer.formats import PLAIN
from mcutrain.trainer.graph.graph import Graph, prune
from mcutrain.trainer.graph.op import ErrorTensor, Node
from mcutrain.trainer.graph.tensor import Array, Role, Tensor
from mcutrain.trainer.losses import add_loss, with_logits_of
from mcutrain.trainer.model import Model, rebuild, trim
from mcutrain.trainer.ops.sgd import LearningRate, sgd_state
from mcutrain.trainer.ops.weighted import Weighted
from mcutrain.trainer.options import PlanOptions


class ErrorTape(GraphTape):
    """The tape of a model of which nothing learns: it makes the errors that are ``wanted``."""

    def __init__(self, graph: Graph, wanted: Collection[Tensor]) -> None:
        super().__init__(graph, sgd_state(LearningRate(0, 0)), PLAIN)
        self.wanted = wanted
        self.errors: dict[Tensor, ErrorTensor] = {}

    def needs(self, tensor: Tensor) -> bool:
        return tensor in self.wanted

    def total(self, x: Tensor, errors: list[ErrorTensor]) -> ErrorTensor:
        self.errors[x] = super().total(x, errors)
        return self.errors[x]


class ActivationErrors:
    """The forward pass of ``model``, its loss, and the errors of the tensors ``of``.

    ``errors`` has for each of them what it is in the graph that is run, and its error; those that
    lead to an operator without a gradient are left out. Errors are E12, and their histories go on
    from sample to sample. Raises ModelError for a loss that the model cannot have.
    """

    def __init__(self, model: Model, of: Iterable[Tensor], options: PlanOptions) -> None:
        given = trim(with_logits_of(model, options.loss))
        own = rebuild(given, lambda *_: None)
        new: dict[Tensor, Tensor] = {}
        for old, node in zip(given.graph.nodes, own.graph.nodes, strict=True):
            new.update(zip(old.outputs, node.outputs, strict=True))
        self.input, self.logits, graph = own.input, own.logits, own.graph
        stopped = without_errors(graph)
        sources = {new[t] for t in of if t in new} - stopped
        tape = ErrorTape(graph, made_of(graph, sources) - stopped)
        self.loss, self.target, _ = add_loss(graph, own, options, None, None, PLAIN)
        backward(tape, own.logits, ErrorTensor(*self.loss.outputs[:2]))
        self.errors = {t: (new[t], tape.errors[new[t]]) for t in of if new.get(t) in sources}
        ends = {own.logits, *(t for _, error in self.errors.values() for t in error)}
        self.nodes = prune(graph, ends).nodes
        self.values = {t: t.data for t in graph.tensors if t.data is not None}

    def run(self, sample: Array, target: Array | Callable[[Array], Array]) -> dict[Tensor, Array]:
        """Every tensor of a step on ``sample``, int8. ``target`` is what the loss takes, or makes
        it of the logits. An error that would be clipped by its history is made again with the
        history that it leaves."""
        values = {**self.values, self.input: sample.reshape(self.input.type.shape)}
        for node in self.nodes:
            if self.target in node.inputs and self.target is not None:
                found = target(values[self.logits]) if callable(target) else target
                type_ = self.target.type
                values[self.target] = found.astype(type_.dtype.np).reshape(type_.shape)
            self._run(node, values)
        return values

    def _run(self, node: Node, values: dict[Tensor, Array]) -> None:
        inputs = [values[t] for t in node.inputs]
        outputs = node.op.reference(node, *inputs)
        for position in node.op.mutates:  # a history: nothing else changes here
            if outputs[-1][0] > inputs[position][0]:
                inputs[position] = outputs[-1]
                outputs = node.op.reference(node, *inputs)
            self.values[node.inputs[position]] = outputs[-1]
        values.update(zip(node.outputs, outputs, strict=True))


def made_of(graph: Graph, sources: set[Tensor]) -> set[Tensor]:
    """``sources``, and the tensors that depend on them."""
    found = set(sources)
    for node in graph.nodes:
        if found.intersection(node.inputs):
            found.update(node.outputs)
    return found


def without_errors(graph: Graph) -> set[Tensor]:
    """The tensors that lead to an operator which makes no error of its input."""
    found: set[Tensor] = set()
    for node in reversed(graph.nodes):
        op = node.op
        stops = op.is_frozen or (isinstance(op, Weighted) and op.why_none_before(node))
        if stops or found.intersection(node.outputs):
            found.update(t for t in node.inputs if t.role is Role.ACTIVATION)
    return found

# SPDX-License-Identifier: Apache-2.0
"""The pipeline on one page: a model and a scheme to a TrainingPlan."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from trainer.autodiff import Tape, backward
from trainer.errors import SchemeError
from trainer.graph import Graph, Node
from trainer.memory import MemoryPlan, plan_memory
from trainer.model import Model, trim, with_new_head
from trainer.ops.base import ErrorTensor
from trainer.ops.sgd import CountStep, LearningRate, sgd_state
from trainer.ops.softmax_cross_entropy import SoftmaxCrossEntropy
from trainer.scheme import Scheme, apply_scheme, parse_scheme
from trainer.tensor import DType, Role, Tensor, TensorType

ARITHMETIC_VERSION = 1  # of SPEC section 1: another number, other bits
DEFAULT_RATE = LearningRate.from_real(2.0**-6)


@dataclass(frozen=True)
class TrainingPlan:
    """Everything that was decided: the ordered graph, its memory, what learns.

    ``forward`` are the nodes up to the logits. ``state`` lists what survives a step, in
    the order of its memory: weights and their fractions, biases, histories, SGD state.
    """

    name: str
    graph: Graph
    forward: list[Node]
    input: Tensor
    label: Tensor
    logits: Tensor
    loss: Tensor
    sgd: Tensor
    state: list[Tensor]
    fractions: dict[Tensor, Tensor]
    histories: list[Tensor]
    memory: MemoryPlan
    scheme: Scheme
    numerics_hash: bytes

    @property
    def classes(self) -> int:
        return self.logits.type.size

    @property
    def logit_scale(self) -> float:
        return self.logits.type.scale

    @property
    def learned(self) -> list[Tensor]:
        """Learned weights, then learned biases, by operator; without fractions."""
        params = [t for t in self.state if t.role is Role.PARAM]
        return [t for t in params if t not in self.fractions.values()]

    @property
    def digested(self) -> list[Tensor]:
        """What the digest covers, in its order (SPEC 1.5)."""
        return [*self.learned, *self.histories]

    @property
    def forward_macs(self) -> int:
        return sum(node.op.macs(node) for node in self.forward)

    @property
    def step_macs(self) -> int:
        return sum(node.op.macs(node) for node in self.graph.nodes)


def make_plan(model: Model, update: str | Scheme, classes: int | None = None) -> TrainingPlan:
    """The plan that trains ``model`` as ``update`` says, with a new head of ``classes`` if given.

    Raises ModelError or SchemeError.
    """
    if classes is not None:
        model = with_new_head(model, classes)
    model = trim(model)
    scheme = parse_scheme(update, model) if isinstance(update, str) else update
    if classes is not None and scheme.ratios.get(len(model.weighted) - 1) != 1.0:
        raise SchemeError(
            f"scheme '{scheme.name}' does not train the new head of {classes} classes, which "
            "starts from zero: let it learn (head = true), or keep the old head"
        )
    model = apply_scheme(model, scheme)
    forward = list(model.graph.nodes)

    graph, last = model.graph, forward[-1].index + 1
    sgd = sgd_state(DEFAULT_RATE)
    tape = Tape(graph, sgd)
    label = Tensor("true_label", TensorType((1,), DType.U32), Role.INPUT)
    value, exponent, loss = graph.add(
        SoftmaxCrossEntropy(), model.logits, label, name="cross_entropy", index=last
    )
    backward(tape, model.logits, ErrorTensor(value, exponent))
    graph.add(CountStep(), sgd, name="count_step", index=last)

    state = place_in_order(forward, tape)
    memory = plan_memory(graph, state, keep={loss})
    return TrainingPlan(
        model.name, graph, forward, model.input, label, model.logits, loss, sgd, state,
        tape.fractions, tape.histories, memory, scheme, numerics_hash(forward, model.input),
    )  # fmt: skip


def place_in_order(forward: list[Node], tape: Tape) -> list[Tensor]:
    """The state: weights each with its fraction, biases, histories, SGD state."""
    params = [t for node in forward for t in node.inputs if t.role is Role.PARAM]
    weights = [t for t in params if t in tape.fractions]
    pairs = [t for w in weights for t in (w, tape.fractions[w])]
    biases = [t for t in params if t not in tape.fractions]
    return [*pairs, *biases, *tape.histories, tape.sgd]


def numerics_hash(forward: list[Node], source: Tensor) -> bytes:
    """8 bytes that name the arithmetic: graph, constants, scheme and their version.

    Layout, board and firmware leave it alone, so that what was learned outlives them.
    """
    number = {source: 0}
    digest = hashlib.sha256(f"arithmetic {ARITHMETIC_VERSION}; input {source.type}".encode())
    for node in forward:
        for tensor in (*node.inputs, *node.outputs):
            if tensor not in number:
                number[tensor] = len(number)
                digest.update(f"{number[tensor]} {tensor.role.name} {tensor.type}".encode())
                if tensor.data is not None:
                    digest.update(tensor.data.astype(tensor.data.dtype.newbyteorder("<")).tobytes())
        wires = [number[t] for t in (*node.inputs, *node.outputs)]
        digest.update(f"{node.index} {node.op!r} {wires}".encode())
    return digest.digest()[:8]

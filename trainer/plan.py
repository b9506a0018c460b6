# SPDX-License-Identifier: Apache-2.0
"""The pipeline on one page: a model and a scheme to a TrainingPlan."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mcutrain.trainer.autodiff import GraphTape, backward
from mcutrain.trainer.errors import ModelError, SchemeError
from mcutrain.trainer.formats import DEFAULT_FORMATS, Formats
from mcutrain.trainer.graph.graph import Graph
from mcutrain.trainer.graph.op import ErrorTensor, Node
from mcutrain.trainer.graph.tensor import Array, DType, Role, Tensor
from mcutrain.trainer.latent import FlashLatents, find_latent
from mcutrain.trainer.losses import CROSS_ENTROPY, add_loss, class_count, with_logits_of
from mcutrain.trainer.model import Model, cut, trim, with_new_head, with_spare_rows
from mcutrain.trainer.ops.companion import Companions, Digest
from mcutrain.trainer.ops.error import EXPONENT
from mcutrain.trainer.ops.loss import Loss
from mcutrain.trainer.ops.sgd import CountStep, LearningRate, sgd_state
from mcutrain.trainer.planner.memories import Memory
from mcutrain.trainer.planner.memory import MemoryPlan, plan_memory
from mcutrain.trainer.planner.order import ordered
from mcutrain.trainer.planner.parts import Placed, in_parts, least
from mcutrain.trainer.planner.recompute import Recomputed, Step
from mcutrain.trainer.planner.recompute_choice import place_recomputed
from mcutrain.trainer.planner.row_region import Composite, Region
from mcutrain.trainer.scheme import Scheme, apply_scheme, parse_scheme
from mcutrain.trainer.simplify import simplify

ARITHMETIC_VERSION = 2  # of SPEC section 1: another number, other bits
LABEL_BYTES = 2  # of a kept latent
DEFAULT_RATE = LearningRate.from_real(2.0**-6)


@dataclass(frozen=True)
class TrainingPlan:
    """Everything that was decided: the ordered graph, its memory, what learns.

    ``forward`` are the nodes up to the logits. ``predicted`` is a class, if the target is a label.
    ``target`` is what a step takes beside its input: a label (1,) u32 or values of the
    logits' type, or None if it is made of the input. ``active`` counts the classes in use, if
    the head has spare ones. ``state`` lists what survives a step, in the order of its memory:
    weights and biases with their companions, histories, active classes, SGD state. ``latent`` is
    the tensor that a step can begin at and ``prefix`` the nodes up to it, if there is one: they are
    frozen, so a sample needs them once. The device's RAM holds ``latent_slots`` kept latents, its
    flash those of ``flash``. ``recomputed`` are the nodes that are computed twice, if any are;
    they save ``saved_bytes`` of the arena. One that ``receives_ahead`` takes the next sample, and
    its target, into a buffer of their own while a step runs.
    """

    name: str
    graph: Graph
    forward: list[Node]
    input: Tensor
    target: Tensor | None
    logits: Tensor
    predicted: Tensor | None
    loss: Node
    active: Tensor | None
    sgd: Tensor
    state: list[Tensor]
    companions: Companions
    histories: list[Tensor]
    memory: MemoryPlan
    scheme: Scheme
    numerics_hash: bytes
    class_names: tuple[str, ...] = ()
    latent: Tensor | None = None
    prefix: tuple[Node, ...] = ()
    formats: Formats = DEFAULT_FORMATS
    latent_slots: int = 0
    flash: FlashLatents | None = None
    recomputed: Recomputed | None = None
    saved_bytes: int = 0
    receives_ahead: bool = False

    @property
    def arriving(self) -> Node | None:
        """The region that a sample goes through as its rows come; None if samples are resident."""
        first = self.graph.nodes[0]
        is_fed = isinstance(first.op, Region) and first.op.arriving is not None
        return first if is_fed else None

    @property
    def record(self) -> Tensor:
        """What a step reports of its loss: (2,) u32."""
        return self.loss.outputs[2]

    @property
    def classes(self) -> int:
        """How many labels there are, spare ones too; 0 if the target is not a label."""
        assert isinstance(self.loss.op, Loss)
        return self.loss.op.labels(self.logits.type)

    @property
    def inference(self) -> list[Node]:
        """The nodes of an inference, which come first: the forward pass and the prediction, and
        the masks that stand among them."""
        return self.graph.nodes[: inference_end(self.graph, self.predicted or self.logits)]

    @property
    def takes_label(self) -> bool:
        return self.classes > 0

    def real_loss(self, record: Array) -> float:
        """The loss in real units of a step's record."""
        assert isinstance(self.loss.op, Loss)
        return self.loss.op.real(record, self.logits.type)

    @property
    def learned(self) -> list[Tensor]:
        """Learned weights, then learned biases, by operator; without their companions."""
        kept = {tensor for _, tensor in self.companions}
        return [t for t in self.state if t.role is Role.PARAM and t not in kept]

    @property
    def operations(self) -> list[Node]:
        """The nodes in the order of the step; of regions those that they are made of."""
        parts = (n.op.nodes if isinstance(n.op, Composite) else (n,) for n in self.graph.nodes)
        return [node for part in parts for node in part]

    @property
    def errors(self) -> list[Tensor]:
        """The error tensors, in the order of the step; without their exponents."""
        written = (n.outputs for n in self.operations if len(n.outputs) > 1)
        return [outputs[0] for outputs in written if outputs[1].type == EXPONENT]

    @property
    def digested(self) -> list[Tensor]:
        """What the digest covers, in its order (SPEC 1.5)."""
        counts = [self.active] if self.active else []
        behind = digested_behind(self.learned, self.companions)
        return [*self.learned, *behind, *self.histories, *counts]

    @property
    def forward_macs(self) -> int:
        return sum(node.op.macs(node) for node in self.forward)

    @property
    def prefix_macs(self) -> int:
        """What a step or an inference that begins at the latent saves."""
        return sum(node.op.macs(node) for node in self.prefix)

    @property
    def slot_bytes(self) -> int:
        """RAM of the kept latents and their labels."""
        if self.latent is None:
            return 0
        return self.latent_slots * (self.latent.type.nbytes + LABEL_BYTES)

    @property
    def target_bytes(self) -> int:
        """Bytes of the target that a step is given; 0 for a label, or one made of the input."""
        return 0 if self.takes_label or self.target is None else self.target.type.nbytes

    @property
    def ahead_bytes(self) -> int:
        """RAM in which the next sample and its target wait; 0 without."""
        return self.input.type.nbytes + self.target_bytes if self.receives_ahead else 0

    def with_latent_slots(self, slots: int) -> TrainingPlan:
        """The plan with room for ``slots`` latents. Raises ModelError if it has no latent."""
        if slots:
            self.check_latent(f"--latent-slots {slots}")
        return replace(self, latent_slots=slots)

    @property
    def flash_latents(self) -> int:
        """How many latents the device's flash holds."""
        return 0 if self.flash is None else len(self.flash.labels)

    def with_flash_latents(self, flash: FlashLatents) -> TrainingPlan:
        """The plan with these latents, its own. Raises ModelError if it has no latent."""
        self.check_latent(f"{len(flash.labels)} latents in flash")
        return replace(self, flash=flash)

    def check_latent(self, asked: str) -> None:
        """Raises ModelError if there is no latent; ``asked`` is what needs one."""
        if self.latent is None:
            raise ModelError(
                f"{asked}: with the scheme '{self.scheme.name}' nothing is frozen that a step "
                "could leave out, so there is no latent to keep"
            )

    def placed_in(self, memories: Sequence[Memory]) -> TrainingPlan:
        """The plan in these memories of a chip (``plan_memory``), or in one arena if there are
        none; with the same bits. Raises BudgetError."""
        kept = {self.record, *([self.predicted] if self.predicted else [])}
        return replace(self, memory=plan_memory(self.graph, self.state, kept, memories))

    @property
    def step_macs(self) -> int:
        return sum(node.op.macs(node) for node in self.graph.nodes)

    @property
    def recomputed_macs(self) -> int:
        """Of these, what is done a second time."""
        return 0 if self.recomputed is None else self.recomputed.macs


def make_plan(
    model: Model,
    update: str | Scheme,
    classes: int | None = None,
    *,
    spare_classes: int = 0,
    loss: str = CROSS_ENTROPY,
    start: str | None = None,
    class_names: tuple[str, ...] = (),
    formats: Formats = DEFAULT_FORMATS,
    stream_input: bool = False,
    recompute: int | None = None,
    receive_ahead: bool = False,
    thorough: bool = True,
) -> TrainingPlan:
    """The plan that trains ``model`` as ``update`` says, with a new head of ``classes`` if given.

    ``spare_classes`` more outputs wait until they are taken into use. ``loss`` is one of LOSSES.
    ``start`` names the tensor whose value is the input, instead of the model's own. ``formats``
    are those of errors and weights. With ``stream_input`` a sample arrives row by row, and is
    never whole in memory; with ``receive_ahead`` the whole next one comes while a step runs. With
    ``recompute`` saved activations are computed again, as few as an arena of so many bytes takes,
    or with 0 as the least arena takes. None of them changes a bit. A plan that is not ``thorough``
    is made sooner, in an arena that may be a little larger. Raises ModelError or SchemeError.
    """
    if stream_input and receive_ahead:
        raise ModelError(
            "--stream-input and --receive-ahead do not go together: a sample that arrives by rows "
            "is computed as it comes, one that is received ahead waits whole; give one of them"
        )
    if start is not None:
        model = cut(model, start)
    model = trim(with_logits_of(model, loss))
    old_classes = model.classes
    if classes is not None:
        model = with_new_head(model, classes + spare_classes)
    elif spare_classes:
        model = with_spare_rows(model, spare_classes)
    scheme = parse_scheme(update, model) if isinstance(update, str) else update
    if (classes or spare_classes) and scheme.ratios.get(len(model.weighted) - 1) != 1.0:
        raise SchemeError(
            f"scheme '{scheme.name}' does not train the new outputs of the head, which start from "
            "zero: let the head learn (head = true), or keep the old one"
        )
    model = apply_scheme(simplify(model, scheme), scheme)
    graph, forward = model.graph, list(model.graph.nodes)
    sgd, active = sgd_state(DEFAULT_RATE), None
    if spare_classes:
        active = class_count(classes or old_classes, loss)
    tape = GraphTape(graph, sgd, formats)
    node, target, predicted = add_loss(graph, model, loss, active, formats)
    backward(tape, model.logits, ErrorTensor(*node.outputs[:2]))
    graph.add(CountStep(), sgd, name="count_step", index=node.index)

    state = place_in_order(forward, tape, active)
    numerics = numerics_hash([*forward, node], model.input, formats)
    kept = {node.outputs[2], *([predicted] if predicted else [])}
    names = checked_names(class_names, node, model)
    _, frozen = find_latent(graph, model.input)
    end = inference_end(graph, predicted or model.logits)
    graph = ordered(graph, (*range(end + 1), len(graph.nodes) - 1), kept)
    arriving = model.input if stream_input else None

    def place(graph: Graph, end: int, anew: bool = False) -> Placed:
        parts = in_parts(graph, kept, end, len(frozen), arriving, anew, thorough)
        return least(parts, state, kept, thorough)

    placed, again, step = place(graph, end), None, Step(graph, kept, end, len(frozen), arriving)
    bytes_whole = placed[1].arena_bytes
    if recompute is not None:
        placed, again = place_recomputed(
            step, placed, lambda done: place(done.graph, done.end, anew=True), recompute
        )
    graph, memory = placed
    latent, prefix = find_latent(graph, model.input)
    return TrainingPlan(
        model.name, graph, forward, model.input, target, model.logits,
        predicted, node, active, sgd, state, tape.companions, tape.histories, memory, scheme,
        numerics, names, latent, tuple(prefix), formats,
        recomputed=again, saved_bytes=bytes_whole - memory.arena_bytes,
        receives_ahead=receive_ahead,
    )  # fmt: skip


def inference_end(graph: Graph, last: Tensor) -> int:
    """How many nodes an inference has that ends with ``last``."""
    return next((k for k, node in enumerate(graph.nodes, 1) if last in node.outputs), 0)


def place_in_order(forward: list[Node], tape: GraphTape, active: Tensor | None) -> list[Tensor]:
    """The state: weights, biases, each with the companions that lie beside it; then the others by
    kind, in their order; histories, class count, SGD state."""
    kept = tape.companions
    params = [t for node in forward for t in node.inputs if t.role is Role.PARAM]
    weights = [t for t in params if t.type.dtype is DType.S8]
    biases = [t for t in params if t.type.dtype is DType.S32]
    learned = [*weights, *biases]
    pairs = [
        t
        for param in learned
        for t in (param, *(c for kind, c in kept.beside(param).items() if kind.is_beside))
    ]
    others = [
        kept.beside(param)[kind]
        for kind in kept.kinds
        for param in learned
        if not kind.is_beside and kind in kept.beside(param)
    ]
    counts = [active] if active else []
    return [*pairs, *others, *tape.histories, *counts, tape.sgd]


def digested_behind(learned: list[Tensor], companions: Companions) -> list[Tensor]:
    """The companions that the digest covers behind everything learned, by kind."""
    return [
        companions.beside(param)[kind]
        for kind in companions.kinds
        for param in learned
        if kind.digest is Digest.BEHIND and kind in companions.beside(param)
    ]


def checked_names(names: tuple[str, ...], loss: Node, model: Model) -> tuple[str, ...]:
    """The class names. Raises ModelError unless there is one for each class, spare ones may be
    without, or none at all."""
    assert isinstance(loss.op, Loss)
    most = loss.op.labels(model.logits.type)
    least = most if len(loss.inputs) < 3 or (d := loss.inputs[2].data) is None else int(d[0])
    if names and not least <= len(names) <= most:
        wanted = f"{most}" if least == most else f"{least} to {most}"
        raise ModelError(f"{len(names)} class names are given, {wanted} are needed")
    twice = [name for k, name in enumerate(names) if name in names[:k]]
    if twice:
        raise ModelError(f"the class name '{twice[0]}' is given twice")
    return names


def numerics_hash(forward: list[Node], source: Tensor, formats: Formats) -> bytes:
    """8 bytes that name the arithmetic: graph, constants, scheme, formats and their version.

    Layout, board and firmware leave it alone, so that what was learned outlives them.
    """
    number = {source: 0}
    digest = hashlib.sha256(f"arithmetic {ARITHMETIC_VERSION}; input {source.type}".encode())
    if formats != DEFAULT_FORMATS:
        digest.update(repr(formats).encode())
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

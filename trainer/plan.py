# SPDX-License-Identifier: Apache-2.0
"""The pipeline on one page: a model and a scheme to a TrainingPlan."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from mcutrain.trainer.autodiff import GraphTape, backward
from mcutrain.trainer.chip import GENERIC, Chip
from mcutrain.trainer.errors import ModelError, SchemeError
from mcutrain.trainer.formats import DEFAULT_FORMATS, Formats
from mcutrain.trainer.graph.graph import Graph
from mcutrain.trainer.graph.op import ErrorTensor, Node, variant_for
from mcutrain.trainer.graph.tensor import Array, DType, Role, Tensor
from mcutrain.trainer.latent import FlashLatents, find_latent
from mcutrain.trainer.losses import add_loss, class_count, with_logits_of
from mcutrain.trainer.model import Model, cut, trim, with_new_head, with_spare_rows
from mcutrain.trainer.ops.companion import Companions, Digest
from mcutrain.trainer.ops.error import EXPONENT
from mcutrain.trainer.ops.loss import Loss
from mcutrain.trainer.ops.sgd import CountStep, LearningRate, sgd_state
from mcutrain.trainer.options import DEFAULT_OPTIONS, PlanOptions, Scheme
from mcutrain.trainer.planner.memory import MemoryPlan, plan_on
from mcutrain.trainer.planner.order import ordered
from mcutrain.trainer.planner.parts import Placed, in_parts, least
from mcutrain.trainer.planner.recompute import Recomputed, StepGraph
from mcutrain.trainer.planner.recompute_choice import place_recomputed
from mcutrain.trainer.planner.row_region import Composite, RowRegion
from mcutrain.trainer.scheme import apply_scheme, parse_scheme
from mcutrain.trainer.simplify import simplify

ARITHMETIC_VERSION = 2  # of SPEC section 1: another number, other bits
LABEL_BYTES = 2  # of a kept latent
DEFAULT_RATE = LearningRate.from_real(2.0**-6)


@dataclass(frozen=True)
class StepTask:
    """What a step takes and gives.

    ``target`` is what it takes beside its input: a label (1,) u32 or values of the logits' type, or
    None if it is made of the input. ``predicted`` is a class, if the target is a label. ``active``
    counts the classes in use, if the head has spare ones.
    """

    input: Tensor
    target: Tensor | None
    logits: Tensor
    predicted: Tensor | None
    loss: Node
    active: Tensor | None


@dataclass(frozen=True)
class Learning:
    """What survives a step: ``state`` lists it in the order of its memory, weights and biases with
    their companions, histories, active classes, the state of SGD."""

    state: list[Tensor]
    companions: Companions
    histories: list[Tensor]
    sgd: Tensor


@dataclass(frozen=True)
class Latents:
    """The tensor that a step can begin at, if there is one, and the nodes up to it: they are
    frozen, so a sample needs them once. The device's flash holds the latents of ``flash``."""

    tensor: Tensor | None
    prefix: tuple[Node, ...]
    flash: FlashLatents | None = None


@dataclass(frozen=True)
class Recomputation:
    """The nodes that are computed twice, and the bytes of the arena that this saves."""

    done: Recomputed
    saved_bytes: int


@dataclass(frozen=True)
class TrainingPlan:
    """Everything that was decided: the ordered graph, its memory, what learns.

    ``forward`` are the nodes up to the logits, as the model has them. ``options`` and ``chip`` are
    what the plan was asked for. ``recomputation`` is None where nothing is computed twice.
    """

    name: str
    options: PlanOptions
    chip: Chip
    scheme: Scheme
    numerics_hash: bytes
    graph: Graph
    forward: list[Node]
    task: StepTask
    learning: Learning
    memory: MemoryPlan
    latents: Latents
    recomputation: Recomputation | None = None

    @property
    def formats(self) -> Formats:
        return Formats.of(self.options)

    @property
    def arriving(self) -> Node | None:
        """The region that a sample goes through as its rows come; None if samples are resident."""
        first = self.graph.nodes[0]
        is_fed = isinstance(first.op, RowRegion) and first.op.arriving is not None
        return first if is_fed else None

    @property
    def record(self) -> Tensor:
        """What a step reports of its loss: (2,) u32."""
        return self.task.loss.outputs[2]

    @property
    def classes(self) -> int:
        """How many labels there are, spare ones too; 0 if the target is not a label."""
        assert isinstance(self.task.loss.op, Loss)
        return self.task.loss.op.labels(self.task.logits.type)

    @property
    def inference(self) -> list[Node]:
        """The nodes of an inference, which come first: the forward pass and the prediction, and
        the masks that stand among them."""
        return self.graph.nodes[
            : inference_end(self.graph, self.task.predicted or self.task.logits)
        ]

    @property
    def takes_label(self) -> bool:
        return self.classes > 0

    def real_loss(self, record: Array) -> float:
        """The loss in real units of a step's record."""
        assert isinstance(self.task.loss.op, Loss)
        return self.task.loss.op.real(record, self.task.logits.type)

    @property
    def learned(self) -> list[Tensor]:
        """Learned weights, then learned biases, by operator; without their companions."""
        kept = {tensor for _, tensor in self.learning.companions}
        return [t for t in self.learning.state if t.role is Role.PARAM and t not in kept]

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
        counts = [self.task.active] if self.task.active else []
        behind = digested_behind(self.learned, self.learning.companions)
        return [*self.learned, *behind, *self.learning.histories, *counts]

    @property
    def forward_macs(self) -> int:
        return sum(node.op.macs(node) for node in self.forward)

    @property
    def prefix_macs(self) -> int:
        """What a step or an inference that begins at the latent saves."""
        return sum(node.op.macs(node) for node in self.latents.prefix)

    @property
    def slot_bytes(self) -> int:
        """RAM of the kept latents and their labels."""
        if self.latents.tensor is None:
            return 0
        return self.options.latent_slots * (self.latents.tensor.type.nbytes + LABEL_BYTES)

    @property
    def target_bytes(self) -> int:
        """Bytes of the target that a step is given; 0 for a label, or one made of the input."""
        return 0 if self.takes_label or self.task.target is None else self.task.target.type.nbytes

    @property
    def ahead_bytes(self) -> int:
        """RAM in which the next sample and its target wait; 0 without."""
        return self.task.input.type.nbytes + self.target_bytes if self.options.receive_ahead else 0

    def with_latent_slots(self, slots: int) -> TrainingPlan:
        """The plan with room for ``slots`` latents. Raises ModelError if it has no latent."""
        if slots:
            self.check_latent(f"--latent-slots {slots}")
        return replace(self, options=replace(self.options, latent_slots=slots))

    @property
    def flash_latents(self) -> int:
        """How many latents the device's flash holds."""
        return 0 if self.latents.flash is None else len(self.latents.flash.labels)

    def with_flash_latents(self, flash: FlashLatents) -> TrainingPlan:
        """The plan with these latents, its own. Raises ModelError if it has no latent."""
        self.check_latent(f"{len(flash.labels)} latents in flash")
        return replace(self, latents=replace(self.latents, flash=flash))

    def check_latent(self, asked: str) -> None:
        """Raises ModelError if there is no latent; ``asked`` is what needs one."""
        if self.latents.tensor is None:
            raise ModelError(
                f"{asked}: with the scheme '{self.scheme.name}' nothing is frozen that a step "
                "could leave out, so there is no latent to keep"
            )

    def on(self, chip: Chip) -> TrainingPlan:
        """The plan with the same nodes in the memories of another chip; no bit changes.

        Raises BudgetError, and ModelError for kernels that the chip cannot run.
        """
        needed = frozenset[str]().union(*(node.op.needs for node in self.operations))
        if missing := sorted(needed - chip.features):
            raise ModelError(
                f"the plan is for {self.chip.name}: {chip.name} has not {', '.join(missing)}"
            )
        kept = {self.record, *([self.task.predicted] if self.task.predicted else [])}
        held = self.slot_bytes + self.ahead_bytes
        memory = plan_on(chip, self.graph, self.learning.state, kept, held)
        return replace(self, memory=memory, chip=chip)

    @property
    def step_macs(self) -> int:
        return sum(node.op.macs(node) for node in self.graph.nodes)

    @property
    def recomputed_macs(self) -> int:
        """Of these, what is done a second time."""
        return 0 if self.recomputation is None else self.recomputation.done.macs

    @property
    def saved_bytes(self) -> int:
        """Bytes of the arena that computing again saves."""
        return 0 if self.recomputation is None else self.recomputation.saved_bytes


def make_plan(
    model: Model,
    options: PlanOptions = DEFAULT_OPTIONS,
    chip: Chip = GENERIC,
    *,
    thorough: bool = True,
) -> TrainingPlan:
    """The plan that trains ``model`` on ``chip`` as ``options`` say.

    A plan that is not ``thorough`` is made sooner, in an arena that may be a little larger. Raises
    ModelError or SchemeError for what cannot be, BudgetError if the memories of a chip that has
    several are too small.
    """
    check_options(options)
    formats = Formats.of(options)
    source = model if options.start is None else cut(model, options.start)
    model, scheme, active = with_head(trim(with_logits_of(source, options.loss)), options)
    model = apply_scheme(simplify(model, scheme), scheme)
    graph, forward = model.graph, list(model.graph.nodes)
    sgd = sgd_state(DEFAULT_RATE)
    tape = GraphTape(graph, sgd, formats)
    node, target, predicted = add_loss(graph, model, options.loss, active, formats)
    backward(tape, model.logits, ErrorTensor(*node.outputs[:2]))
    graph.add(CountStep(), sgd, name="count_step", index=node.index)

    state = place_in_order(forward, tape, active)
    numerics = numerics_hash([*forward, node], model.input, formats)
    check_names(options.class_names, node, model)
    for each in graph.nodes:  # behind the hash: a variant has the bits of what it stands for
        each.op = variant_for(each, chip.features)
    kept = {node.outputs[2], *([predicted] if predicted else [])}
    placed = Placing(graph, model, kept, predicted, options, thorough).placed(state)
    latent, prefix = find_latent(placed.graph, model.input)
    plan = TrainingPlan(
        model.name,
        options,
        chip,
        scheme,
        numerics,
        placed.graph,
        forward,
        StepTask(model.input, target, model.logits, predicted, node, active),
        Learning(state, tape.companions, tape.histories, sgd),
        placed.memory,
        Latents(latent, tuple(prefix)),
        placed.recomputation,
    )
    if options.latent_slots:
        plan.check_latent(f"--latent-slots {options.latent_slots}")
    return plan.on(chip) if chip.beside else plan


def check_options(options: PlanOptions) -> None:
    """Raises ModelError for options that do not go together."""
    if options.stream_input and options.receive_ahead:
        raise ModelError(
            "--stream-input and --receive-ahead do not go together: a sample that arrives by rows "
            "is computed as it comes, one that is received ahead waits whole; give one of them"
        )


def with_head(model: Model, options: PlanOptions) -> tuple[Model, Scheme, Tensor | None]:
    """The model with the head that is asked for, the scheme, and the count of classes in use if
    some are spare."""
    classes, spare, old_classes = options.classes, options.spare_classes, model.classes
    if classes is not None:
        model = with_new_head(model, classes + spare)
    elif spare:
        model = with_spare_rows(model, spare)
    update = options.update
    scheme = parse_scheme(update, model) if isinstance(update, str) else update
    if (classes or spare) and scheme.ratios.get(len(model.weighted) - 1) != 1.0:
        raise SchemeError(
            f"scheme '{scheme.name}' does not train the new outputs of the head, which start from "
            "zero: let the head learn (head = true), or keep the old one"
        )
    active = class_count(classes or old_classes, options.loss) if spare else None
    return model, scheme, active


@dataclass(frozen=True)
class PlacedStep:
    """A step's nodes in their order, with regions and what is computed again, in one arena."""

    graph: Graph
    memory: MemoryPlan
    recomputation: Recomputation | None


@dataclass(frozen=True)
class Placing:
    """What the order and the memory of a step are made from: its tape, and what must stay."""

    tape: Graph
    model: Model
    kept: set[Tensor]
    predicted: Tensor | None
    options: PlanOptions
    thorough: bool

    def placed(self, state: list[Tensor]) -> PlacedStep:
        """Ordered, cut into regions, and in the smallest arena that is found."""
        _, frozen = find_latent(self.tape, self.model.input)
        end = inference_end(self.tape, self.predicted or self.model.logits)
        fixed = (*range(end + 1), len(self.tape.nodes) - 1)
        graph = ordered(self.tape, fixed, self.kept)
        arriving = self.model.input if self.options.stream_input else None

        def place(graph: Graph, end: int, anew: bool = False) -> Placed:
            parts = in_parts(graph, self.kept, end, len(frozen), arriving, anew, self.thorough)
            return least(parts, state, self.kept, self.thorough)

        found, again = place(graph, end), None
        whole_bytes = found[1].arena_bytes
        if self.options.recomputes:
            step = StepGraph(graph, self.kept, end, len(frozen), arriving)
            found, again = place_recomputed(
                step, found, lambda done: place(done.graph, done.end, anew=True),
                self.options.recompute_to or 0,
            )  # fmt: skip
        saved_bytes = whole_bytes - found[1].arena_bytes
        return PlacedStep(*found, Recomputation(again, saved_bytes) if again else None)


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


def check_names(names: tuple[str, ...], loss: Node, model: Model) -> None:
    """Raises ModelError unless there is one for each class, spare ones may be
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

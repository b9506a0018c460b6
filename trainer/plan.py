# SPDX-License-Identifier: Apache-2.0
"""The pipeline on one page: a model and a scheme to a TrainingPlan."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from mcutrain.trainer.autodiff import GraphTape, backward
from mcutrain.trainer.chip import GENERIC, Chip
from mcutrain.trainer.errors import ModelError, SchemeError
from mcutrain.trainer.formats import PLAIN, Formats
from mcutrain.trainer.graph.graph import Graph
from mcutrain.trainer.graph.op import ErrorTensor, Node, variant_for
from mcutrain.trainer.graph.tensor import DType, Role, Tensor
from mcutrain.trainer.headroom import with_headroom
from mcutrain.trainer.latent import find_latent
from mcutrain.trainer.losses import (
    add_loss,
    class_count,
    is_pixelwise,
    seen_classes,
    with_logits_of,
)
from mcutrain.trainer.model import Model, trim, with_new_head, with_spare_rows
from mcutrain.trainer.nibbles import int8_notes, store_nibbles
from mcutrain.trainer.ops.loss import Loss
from mcutrain.trainer.ops.sgd import CountStep, LearningRate, sgd_state
from mcutrain.trainer.options import (
    ABSENT,
    DEFAULT_OPTIONS,
    FROZEN,
    INT4,
    KEEP,
    OPTIMISED_FOR,
    SPEED,
    PlanOptions,
    Scheme,
)
from mcutrain.trainer.packing import pack
from mcutrain.trainer.plan_notes import plan_notes, single_input
from mcutrain.trainer.planner.memory import MemoryPlan
from mcutrain.trainer.planner.order import ordered
from mcutrain.trainer.planner.parts import Placed, in_parts, least
from mcutrain.trainer.planner.recompute import StepGraph
from mcutrain.trainer.planner.recompute_choice import place_recomputed
from mcutrain.trainer.planner.row_region import operations
from mcutrain.trainer.planner.sequence import Sequence
from mcutrain.trainer.record_chain import chain_tensor
from mcutrain.trainer.scheme import apply_scheme, parse_scheme
from mcutrain.trainer.sequence import planned_part
from mcutrain.trainer.simplify import simplify
from mcutrain.trainer.training_plan import (
    Latents,
    Learning,
    Recomputation,
    StepTask,
    TrainingPlan,
    inference_end,
)

ARITHMETIC_VERSION = 2  # of SPEC section 1: another number, other bits
DEFAULT_RATE = LearningRate.from_real(2.0**-6)


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
    file_model, source = model, planned_part(model, options)
    taken = with_logits_of(source, options.loss)
    is_pixelwise(taken, options)  # refuses before heads are made what does not go with positions
    model, scheme, active = with_head(trim(taken), options)
    model = apply_scheme(simplify(model, scheme), scheme)
    graph, forward = model.graph, list(model.graph.nodes)
    sgd = sgd_state(DEFAULT_RATE)
    tape = GraphTape(graph, sgd, formats)
    seen = seen_classes(model, options.loss) if options.absent == KEEP else None
    node, target, predicted = add_loss(graph, model, options, active, seen, formats)
    backward(tape, model.logits, ErrorTensor(*node.outputs[:2]))
    graph.add(CountStep(), sgd, name="count_step", index=node.index)

    chain = chain_tensor() if options.chain else None
    counts = [tensor for tensor in (active, seen, chain) if tensor]
    state = place_in_order(forward, tape, counts)
    numerics = numerics_hash([*forward, node], model.input, formats, options.chain)
    check_names(options.class_names, node, model, active)
    features = chip.features if options.optimize == SPEED else frozenset[str]()
    for each in graph.nodes:  # behind the hash: a variant has the bits of what it stands for
        if isinstance(each.op, Sequence):
            each.op = each.op.bound(each, features)
        else:
            each.op = variant_for(each, features)
    if options.frozen == INT4:
        store_nibbles(operations(graph))
    pack(Graph(operations(graph)), state, chip, options)
    for each in graph.nodes:
        if isinstance(each.op, Sequence):
            each.op = each.op.placed()
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
        StepTask(model.input, target, model.logits, predicted, node, active, seen, source.pixels),
        Learning(state, tape.companions, tape.histories, sgd, chain),
        placed.memory,
        Latents(latent, tuple(prefix)),
        placed.recomputation,
        (
            *single_input(file_model, options.sequence_length),
            *plan_notes(source, taken, model, scheme, node),
            *(int8_notes(operations(placed.graph)) if options.frozen == INT4 else ()),
        ),
    )
    if options.latent_slots:
        plan.check_latent(f"--latent-slots {options.latent_slots}")
    return plan.on(chip) if chip.beside else plan


def check_options(options: PlanOptions) -> None:
    """Raises ModelError for options that do not go together, and for an unknown aim."""
    if options.optimize not in OPTIMISED_FOR:
        raise ModelError(f"--optimize {options.optimize}: take one of {', '.join(OPTIMISED_FOR)}")
    if options.frozen not in FROZEN:
        raise ModelError(f"--frozen {options.frozen}: take one of {', '.join(FROZEN)}")
    if options.absent not in ABSENT:
        raise ModelError(f"--absent {options.absent}: take one of {', '.join(ABSENT)}")
    if options.record_entries and not options.chain:
        raise ModelError(
            f"--record-entries {options.record_entries} keeps entries of the chain, but the plan "
            "has none: give --chain too"
        )
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
    return with_headroom(model, options, scheme), scheme, active


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


def place_in_order(forward: list[Node], tape: GraphTape, counts: list[Tensor]) -> list[Tensor]:
    """The state: weights, biases, each with the companions that lie beside it; then the others by
    kind, in their order; histories, ``counts`` of classes and the chain value, SGD state."""
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
    others = [companion for kind, companion in kept.by_kind(learned) if not kind.is_beside]
    return [*pairs, *others, *tape.histories, *counts, tape.sgd]


def check_names(names: tuple[str, ...], loss: Node, model: Model, active: Tensor | None) -> None:
    """Raises ModelError unless there are none, or one for each class in use; spare classes may
    have names too."""
    assert isinstance(loss.op, Loss)
    most = loss.op.labels(model.logits.type)
    least = most if active is None or active.data is None else int(active.data[0])
    if names and not least <= len(names) <= most:
        wanted = f"{most}" if least == most else f"{least} to {most}"
        raise ModelError(f"{len(names)} class names are given, {wanted} are needed")
    twice = [name for k, name in enumerate(names) if name in names[:k]]
    if twice:
        raise ModelError(f"the class name '{twice[0]}' is given twice")


def numerics_hash(
    forward: list[Node], source: Tensor, formats: Formats, has_chain: bool = False
) -> bytes:
    """8 bytes that name the arithmetic: graph, constants, scheme, formats and their version.

    Layout, board and firmware leave it alone, so that what was learned outlives them.
    """
    number = {source: 0}
    digest = hashlib.sha256(f"arithmetic {ARITHMETIC_VERSION}; input {source.type}".encode())
    if formats != PLAIN:
        digest.update(repr(formats).encode())
    if formats.has_input_shifts:
        digest.update(f"precondition {formats.precondition}".encode())
    if has_chain:  # no bit of what is learned, but the state has it
        digest.update(b"chain")
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

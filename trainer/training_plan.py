# SPDX-License-Identifier: Apache-2.0
"""What was decided: a TrainingPlan, in named parts."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mcutrain.trainer.chip import Chip
from mcutrain.trainer.errors import ModelError
from mcutrain.trainer.formats import Formats
from mcutrain.trainer.graph.graph import Graph
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.graph.tensor import Array, DType, QuantParams, Role, Tensor
from mcutrain.trainer.latent import FlashLatents
from mcutrain.trainer.notes import Note
from mcutrain.trainer.ops.companion import Companions, Digest
from mcutrain.trainer.ops.error import EXPONENT
from mcutrain.trainer.ops.loss import Loss
from mcutrain.trainer.ops.pixelwise_cross_entropy import IGNORED
from mcutrain.trainer.ops.state_check import (
    StateCheck,
    bias_check,
    count_check,
    history_check,
    sgd_check,
)
from mcutrain.trainer.options import PlanOptions, Scheme
from mcutrain.trainer.planner.memory import MemoryPlan, plan_on
from mcutrain.trainer.planner.recompute import Recomputed
from mcutrain.trainer.planner.row_region import RowRegion, operations
from mcutrain.trainer.planner.sequence import Sequence
from mcutrain.trainer.record_chain import ENTRY_BYTES

LABEL_BYTES = 2  # of a kept latent
HASHER_BYTES = 100  # of an mct_sha256 (firmware/mct/sha256.h)


@dataclass(frozen=True)
class StepTask:
    """What a step takes and gives.

    ``target`` is what it takes beside its input: a label (1,) u32, a label map of u8, or values of
    the logits' type, or None if it is made of the input. ``predicted`` is a class, if the target is
    a label. ``active`` counts the classes in use, if the head has spare ones; ``seen`` has a bit of
    each class, if only those take part that have samples. ``pixels`` is the uint8 quantisation in
    which the model's file takes its input, if it does.
    """

    input: Tensor
    target: Tensor | None
    logits: Tensor
    predicted: Tensor | None
    loss: Node
    active: Tensor | None
    seen: Tensor | None = None
    pixels: QuantParams | None = None


@dataclass(frozen=True)
class Learning:
    """What survives a step: ``state`` lists it in the order of its memory, weights and biases with
    their companions, histories, active and seen classes, ``chain`` if what was learned from is
    chained (``trainer.record_chain``), the state of SGD."""

    state: list[Tensor]
    companions: Companions
    histories: list[Tensor]
    sgd: Tensor
    chain: Tensor | None = None


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

    ``forward`` are the nodes up to the logits, in the order of the model file. ``options`` and
    ``chip`` are what the plan was asked for. ``recomputation`` is None where nothing is computed
    twice. ``notes`` are what a user would want to know of it.
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
    notes: tuple[Note, ...] = ()

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
        """How many labels there are, of a sample or of each of its positions, spare ones too; 0
        if the target is values."""
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
        """Whether a sample has one label."""
        return self.classes > 0 and not self.takes_label_map

    @property
    def takes_label_map(self) -> bool:
        """Whether each position of the output has a label."""
        assert isinstance(self.task.loss.op, Loss)
        return self.task.loss.op.takes_map

    @property
    def ignored_label(self) -> int:
        """The label of a position that takes no part."""
        return IGNORED

    @property
    def unlabelled(self) -> str:
        """Why a sample has no label of its own, for people."""
        if self.takes_label_map:
            return "each position of the output has a label of its own"
        return "the loss takes no label"

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
        return operations(self.graph)

    @property
    def errors(self) -> list[Tensor]:
        """The error tensors, in the order of the step; without their exponents."""
        written = (n.outputs for n in self.operations if len(n.outputs) > 1)
        return [outputs[0] for outputs in written if outputs[1].type == EXPONENT]

    @property
    def digested(self) -> list[Tensor]:
        """What the digest covers, in its order (SPEC 1.5)."""
        counts = [self.task.active] if self.task.active else []
        kept = self.learning.companions.by_kind(self.learned)
        behind = [companion for kind, companion in kept if kind.digest is Digest.BEHIND]
        return [*self.learned, *behind, *self.learning.histories, *counts]

    @property
    def state_checks(self) -> list[StateCheck]:
        """What the state satisfies whenever training left it; of other values (weights without a
        fraction, seed, step number) any may be there."""
        learning, found = self.learning, list[StateCheck]()
        for learned in self.learned:
            if learned.type.dtype is DType.S32:
                found.append(bias_check(learned))
            beside = learning.companions.beside(learned).items()
            found += [kind.check(learned, kept) for kind, kept in beside if kind.check]
        found += [history_check(history) for history in learning.histories]
        if self.task.active is not None:
            found.append(count_check(self.task.active, self.classes))
        return [*found, sgd_check(learning.sgd)]

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
        """Bytes of the target that a step is given, such as a label map; 0 for one label, or where
        it is made of the input."""
        return 0 if self.takes_label or self.task.target is None else self.task.target.type.nbytes

    @property
    def ahead_bytes(self) -> int:
        """RAM in which the next sample and its target wait; 0 without."""
        return self.task.input.type.nbytes + self.target_bytes if self.options.receive_ahead else 0

    @property
    def record_bytes(self) -> int:
        """RAM of the entries that are kept, and of the hash of a sample that arrives by rows."""
        if self.learning.chain is None:
            return 0
        hashed = 0 if self.arriving is None else HASHER_BYTES
        return self.options.record_entries * ENTRY_BYTES + hashed

    @property
    def sequence(self) -> Sequence | None:
        """The part that runs for each input of a sample, if a sample is several."""
        first = self.graph.nodes[0].op
        return first if isinstance(first, Sequence) else None

    @property
    def sequence_bytes(self) -> int:
        """RAM of what goes on from input to input."""
        return 0 if self.sequence is None else self.sequence.state_bytes

    @property
    def held_bytes(self) -> int:
        """RAM of a build beside arena and state, as far as the plan knows it."""
        return self.slot_bytes + self.ahead_bytes + self.record_bytes + self.sequence_bytes

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

    @property
    def needs(self) -> frozenset[str]:
        """The features of an instruction set that its kernels need; empty for portable C."""
        return frozenset[str]().union(*(node.op.needs for node in self.operations))

    def on(self, chip: Chip) -> TrainingPlan:
        """The plan with the same nodes in the memories of another chip; no bit changes.

        Raises BudgetError, and ModelError for kernels that the chip cannot run.
        """
        if missing := sorted(self.needs - chip.features):
            raise ModelError(
                f"the plan is for {self.chip.name}: {chip.name} has not {', '.join(missing)}"
            )
        kept = {self.record, *([self.task.predicted] if self.task.predicted else [])}
        memory = plan_on(chip, self.graph, self.learning.state, kept, self.held_bytes)
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


def inference_end(graph: Graph, last: Tensor) -> int:
    """How many nodes an inference has that ends with ``last``."""
    return next((k for k, node in enumerate(graph.nodes, 1) if last in node.outputs), 0)

# SPDX-License-Identifier: Apache-2.0
"""Looks for saturation: weights and activations at their limits, errors that died or exploded;
and for a training that moved nothing.

What it finds it says in plain sentences. It computes on the host, from states of the device.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mcutrain.host.training.movement import Movement, moved
from mcutrain.host.training.movement import limited as limits_of
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.graph.tensor import Array, DType, Tensor
from mcutrain.trainer.interpreter import Interpreter, unpack_state
from mcutrain.trainer.ops.clamp_mask import ClampMask
from mcutrain.trainer.ops.state_check import FIRST_HISTORY
from mcutrain.trainer.ops.weighted import Weighted
from mcutrain.trainer.training_plan import TrainingPlan

if TYPE_CHECKING:
    from mcutrain.host.training.dataset import Dataset

MAX_SAMPLES = 32  # enough to tell 5 % from 10 % of a layer's thousands of values
MIN_SAMPLES = 4
MACS = 200_000_000  # that the samples may take in a look: seconds in NumPy
EARLY_STEPS = 16  # after them each error that there is has met its history (SPEC 1.3)

# Growth counts, not the share: a file's scales put some weights at the limit by design. In good
# runs of the watch example fewer than 1 % of a layer's weights move there; at 16 times their rate
# 3 to 13 % do.
WEIGHTS_GROWTH = 0.02
OUTPUTS_GROWTH = 0.05  # of a layer's outputs, from which errors no longer pass (SPEC 1.3)
OUTPUTS_BEFORE = 0.25  # at a limit before training: the file's scales do not fit the samples
LOGITS_SHARE = 0.5  # of samples whose greatest logit is at the limit: surer it cannot get
EXPLODED_BITS = 5  # an error 32 times what it was, while the loss has not fallen
RISEN = 1.5  # times the first squared error; classes have the loss of guessing instead
SILENT_LOSS = 0.05  # nats or squared units; below it errors may well be zero


@dataclass(frozen=True)
class Finding:
    """One thing that looks wrong: in which layer, a figure, and all of it in a sentence."""

    layer: str
    kind: str
    figure: float
    text: str


@dataclass(frozen=True)
class Look:
    """What one state does with the samples; layers go by the name of their output."""

    weights_at_limit: dict[str, float]
    outputs_at_limit: dict[str, float]
    silent: frozenset[str]  # layers whose error was zero for every sample
    logits_at_limit: float  # share of samples
    loss: float


class Monitor:
    """Beside one run: a look before it, the histories during it, a look after it."""

    def __init__(self, plan: TrainingPlan, data: Dataset, state: bytes) -> None:
        """``state`` is the one before the first step."""
        self.plan = plan
        held = data.x_val is not None and data.y_val is not None
        x, y = (data.x_val, data.y_val) if held else (data.x_train, data.y_train)
        assert x is not None and y is not None
        count = min(len(x), MAX_SAMPLES, max(MIN_SAMPLES, MACS // max(1, plan.step_macs)))
        # Spread over all of them: files are often sorted by class.
        chosen = np.unique(np.linspace(0, len(x) - 1, count).astype(int))
        self.samples = [(x[k], y[k]) for k in chosen]
        self.before = look(plan, state, self.samples)
        self.start = state
        self.early: dict[str, int] = {}
        self._after: tuple[bytes, Look] | None = None

    def look(self, state: bytes) -> None:
        """Take note of the histories; cheap. The first time that each is set counts."""
        for layer, h in histories(self.plan, state).items():
            if h != FIRST_HISTORY:
                self.early.setdefault(layer, h)

    def findings(self, state: bytes, losses: list[float]) -> list[Finding]:
        """What looks wrong in ``state`` after the steps with ``losses``; [] without a step."""
        if not losses:
            return []
        after = self._look_after(state)
        return [
            *self._of_steps(state, losses),
            *self._of_loss(losses),
            *self._of_weights(after),
            *self._of_outputs(after),
            *self._of_logits(after),
            *self._of_errors(after, histories(self.plan, state), losses),
        ]

    def movement(self, state: bytes) -> Movement:
        """How far training moved what learns, from the state before the first step to this one."""
        was, now = unpack_state(self.plan, self.start), unpack_state(self.plan, state)
        before, after = self.before, self._look_after(state)
        return Movement(
            tuple(moved(layer_with(self.plan, t), t, was[t], now[t]) for t in self.plan.learned),
            limits_of(
                (before.weights_at_limit, after.weights_at_limit),
                (before.outputs_at_limit, after.outputs_at_limit),
            ),
        )

    def _look_after(self, state: bytes) -> Look:
        """A look at the state that training has come to, taken once."""
        if self._after is None or self._after[0] != state:
            self._after = state, look(self.plan, state, self.samples)
        return self._after[1]

    def _of_steps(self, state: bytes, losses: list[float]) -> list[Finding]:
        was, now = unpack_state(self.plan, self.start), unpack_state(self.plan, state)
        moved = any(not np.array_equal(was[t], now[t]) for t in self.plan.learned)
        if moved or ends(losses)[1] <= SILENT_LOSS:
            return []
        text = (
            f"no learned weight moved by one int8 step in {len(losses)} steps, so the network "
            "gives what it gave before: raise --lr or give more --epochs"
        )
        layer = layer_names(self.plan)[self.plan.task.logits]
        return [Finding(layer, "unmoved", float(len(losses)), text)]

    def _of_loss(self, losses: list[float]) -> list[Finding]:
        layer = layer_names(self.plan)[self.plan.task.logits]
        bad = sum(not math.isfinite(loss) for loss in losses)
        if bad:
            text = f"the loss was not a finite number in {bad} steps: lower --lr"
            return [Finding(layer, "loss", float(bad), text)]
        first, last = ends(losses)
        guess, beside = RISEN * first, ""
        if self.plan.takes_label:
            guess = math.log(self.plan.classes)
            beside = f", and guessing gives {guess:.2f}"
        if last <= max(first, guess):
            return []
        text = f"the loss rose from {first:.3g} to {last:.3g}{beside}: lower --lr"
        return [Finding(layer, "loss", last, text)]

    def _of_weights(self, after: Look) -> list[Finding]:
        found = []
        head = layer_names(self.plan)[self.plan.task.logits]
        for name, share in after.weights_at_limit.items():
            was = self.before.weights_at_limit[name]
            if share - was > WEIGHTS_GROWTH:
                room = ", or give a greater --headroom" if name == head else ""
                text = (
                    f"{name}: {100 * share:.1f} % of the learned weights are at the limits of int8 "
                    f"({100 * was:.1f} % before) and cannot grow: lower --lr{room}"
                )
                found.append(Finding(name, "weights", share, text))
        return found

    def _of_outputs(self, after: Look) -> list[Finding]:
        found = []
        for name, share in after.outputs_at_limit.items():
            was = self.before.outputs_at_limit[name]
            where = f"{name}: {100 * share:.1f} % of the outputs are at their limits"
            if share - was > OUTPUTS_GROWTH:
                text = f"{where} ({100 * was:.1f} % before): lower --lr, or let fewer layers learn"
            elif min(share, was) > OUTPUTS_BEFORE:
                text = (
                    f"{where}, and {100 * was:.1f} % were before training: the scales in the file "
                    "do not fit these samples; quantise the model with samples like them"
                )
            else:
                continue
            found.append(Finding(name, "outputs", share, text))
        return found

    def _of_logits(self, after: Look) -> list[Finding]:
        share, was = after.logits_at_limit, self.before.logits_at_limit
        if share <= LOGITS_SHARE or share - was <= OUTPUTS_GROWTH:
            return []
        name = layer_names(self.plan)[self.plan.task.logits]
        text = (
            f"{name}: the greatest logit is at the limit of int8 for {100 * share:.0f} % of the "
            f"samples ({100 * was:.0f} % before): lower --lr or give fewer --epochs"
        )
        return [Finding(name, "logits", share, text)]

    def _of_errors(self, after: Look, now: dict[str, int], losses: list[float]) -> list[Finding]:
        found = []
        first, last = ends(losses)
        for layer, h in now.items():
            rise = h - self.early.get(layer, h)
            if h == FIRST_HISTORY:
                text = (
                    f"{layer}: no error has reached it in {len(losses)} steps, so nothing learned "
                    "before it: let fewer layers learn (--update)"
                )
                found.append(Finding(layer, "dead", float(len(losses)), text))
            elif layer in after.silent and after.loss > SILENT_LOSS:
                text = (
                    f"{layer}: its errors are all zero now, at a loss of {after.loss:.2f}, so "
                    "nothing learns before it any more: lower --lr, or let fewer layers learn"
                )
                found.append(Finding(layer, "dead", after.loss, text))
            elif rise >= EXPLODED_BITS and last >= first:
                text = (
                    f"{layer}: its errors grew {2**rise} times since the first steps, and the loss "
                    "did not fall: lower --lr"
                )
                found.append(Finding(layer, "exploding", float(rise), text))
        return found


def ends(losses: list[float]) -> tuple[float, float]:
    """Mean losses of the first and the last tenth of the steps."""
    count = max(1, len(losses) // 10)
    return float(np.mean(losses[:count])), float(np.mean(losses[-count:]))


def look(plan: TrainingPlan, state: bytes, samples: list[tuple[Array, Array]]) -> Look:
    """What ``state`` does with the samples, in the reference; the device is not asked."""
    reference, tensors = Interpreter(plan), unpack_state(plan, state)
    watched = [node for node in plan.forward if can_saturate(plan, node)]
    errors, names = last_errors(plan), layer_names(plan)
    at_limit = dict.fromkeys(watched, 0)
    loud: set[str] = set()
    sure, loss = 0, 0.0
    for sample, target in samples:
        reference.state = dict(tensors)
        *_, (_, values) = reference.trace(sample, target)
        for node in watched:
            at_limit[node] += limited(node, values[node.output])
        loud.update(name for name, node in errors.items() if values[node.output].any())
        sure += int(values[plan.task.logits].max()) == 127
        loss += plan.real_loss(values[plan.record])
    count = len(samples)
    return Look(
        {
            layer_with(plan, t): float(np.mean(np.abs(tensors[t].astype(int)) >= 127))
            for t in plan.learned
            if t.type.dtype is DType.S8
        },
        {names[n.output]: k / (n.output.type.size * count) for n, k in at_limit.items()},
        frozenset(errors) - loud,
        sure / count,
        loss / count,
    )


def can_saturate(plan: TrainingPlan, node: Node) -> bool:
    """Whether an operator computes int8 values whose errors are masked at their limits (SPEC 1.3);
    not those that only move values, nor the logits."""
    x, y = node.inputs[0].type, node.output.type
    moves = x.quant == y.quant and not isinstance(node.op, Weighted)
    return y.dtype is DType.S8 and not moves and node.output is not plan.task.logits


def limited(node: Node, output: Array) -> int:
    """How many outputs are at a limit that is not the zero of an activation function, where values
    lie by design."""
    lo, hi = node.op.limits()
    high = int((output >= hi).sum())
    return high if lo == node.output.type.zero_point else high + int((output <= lo).sum())


def layer_names(plan: TrainingPlan) -> dict[Tensor, str]:
    """What the user calls each operator's output: its name in the file, or ours if that is not
    one of its own."""
    count = Counter(node.output.label for node in plan.forward)
    outputs = {node.output: node for node in plan.forward}
    return {t: t.label if t.label and count[t.label] == 1 else n.name for t, n in outputs.items()}


def layer_with(plan: TrainingPlan, weight: Tensor) -> str:
    """The layer that a learned weight belongs to."""
    return layer_names(plan)[next(n.output for n in plan.forward if weight in n.inputs)]


def histories(plan: TrainingPlan, state: bytes) -> dict[str, int]:
    """``h`` of the history of each layer's error, by the layer (SPEC 1.3)."""
    tensors = unpack_state(plan, state)
    named = {tensor.name: tensor for tensor in plan.learning.histories}
    return {
        layer: int(tensors[named[node.outputs[-1].name]][0])
        for layer, node in last_errors(plan).items()
    }


def last_errors(plan: TrainingPlan) -> dict[str, Node]:
    """The node that makes each layer's error, by the layer; the sum, if it has several readers."""
    names, found = layer_names(plan), {}
    again = {} if plan.recomputation is None else plan.recomputation.done.originals
    masked = {n.output: n.inputs[0] for n in plan.operations if isinstance(n.op, ClampMask)}
    for node in plan.operations:
        if node.outputs[-1] in plan.learning.histories:
            of = next(masked[t] for t in node.inputs if t in masked)
            found[names[again.get(of, of)]] = node
    return found

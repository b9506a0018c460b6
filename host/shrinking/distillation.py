# SPDX-License-Identifier: Apache-2.0
"""Repairs a cut model without labels: trains all of it to give the outputs of the original.

That is distillation (Hinton, Vinyals and Dean 2015) by the squared error of the logits (Ba and
Caruana 2014). Outputs and gradients are those of the generated C that trains any plan here, in
integers; Adam makes steps of them on this computer (``HostAdam``). The original is int8 too, so
what it gives is what the smaller model can give.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mcutrain.host.shrinking.adam import HostAdam
from mcutrain.host.shrinking.fidelity import (
    Compared,
    Fidelity,
    compared_part,
    has_classes,
    outputs_of,
    squares_plan,
)
from mcutrain.host.shrinking.refitted import Weights, with_weights
from mcutrain.host.training.dataset import Dataset
from mcutrain.host.training.in_process import in_process_runner
from mcutrain.host.training.interrupt import Interrupt, StopTraining, deferred
from mcutrain.host.training.progress import Progress, Report
from mcutrain.host.training.rates import sample_order
from mcutrain.host.training.reporter import nothing
from mcutrain.host.training.runner import Runner
from mcutrain.trainer.errors import ModelError, SchemeError
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.graph.tensor import Array, Role, Tensor
from mcutrain.trainer.interpreter import pack_state, unpack_state
from mcutrain.trainer.model import Model
from mcutrain.trainer.ops.weighted import Weighted
from mcutrain.trainer.options import DEFAULT_OPTIONS, PlanOptions, Scheme
from mcutrain.trainer.scheme import learnable_layers
from mcutrain.trainer.training_plan import TrainingPlan

STEPS = 8000  # if the time is enough
LEAST_STEPS = 50  # even if it is not: fewer repair nothing
RATE = 0.01  # of the root mean square of a layer's weights, for each batch
BATCH, BATCHES = 32, 50  # steps of a batch, fewer where there would not be so many batches
JUDGED = 16  # times that held-out inputs judge, and how often the rate falls, in the second half
TUNED = 8  # times at most that a few steps tell how large sums become, each of so many steps
SEED = 0
SECONDS, MORE_SECONDS, PARAMETERS = 40.0, 40.0, 100_000  # and so many more for each PARAMETERS
# What the generated C does on a computer, counted so that every computer takes as many steps.
MACS_PER_SECOND, STEP_SECONDS = 3e9, 2e-4
HELD_PART, MOST_HELD = 5, 500  # a fifth of the inputs, up to so many, judges
LEAST_INPUTS = 20  # with fewer nothing can be held out that says anything


@dataclass(frozen=True)
class Distilled:
    """What came of a distillation.

    ``model`` is the trained one if that ``is_kept``, else the one that was given. ``before`` and
    ``trained`` are of inputs that nothing was learned from. ``losses`` are those of each
    step, in squared real units. ``steps`` were taken of
    ``wanted_steps``, for which the time was not enough if they are fewer. ``why_not`` says why
    nothing was trained; "" if something was.
    """

    model: Model
    before: Fidelity | None = None
    trained: Fidelity | None = None
    is_kept: bool = False
    losses: tuple[float, ...] = ()
    rate: float = RATE
    steps: int = 0
    wanted_steps: int = 0
    why_not: str = ""

    @property
    def after(self) -> Fidelity | None:
        """Of ``model``."""
        return self.trained if self.is_kept else self.before

    def to_json(self) -> dict[str, Any]:
        return {
            "before": None if self.before is None else self.before.to_json(),
            "trained": None if self.trained is None else self.trained.to_json(),
            "kept": self.is_kept,
            "losses": list(self.losses),
            "rate": self.rate,
            "steps": self.steps,
            "wanted_steps": self.wanted_steps,
            "why_not": self.why_not,
        }


def distil(
    original: Model,
    smaller: Model,
    inputs: Array,
    options: PlanOptions = DEFAULT_OPTIONS,
    *,
    steps: int = STEPS,
    seconds: float | None = None,
    rate: float = RATE,
    report: Report = nothing,
) -> Distilled:
    """The smaller model, trained on ``inputs`` (N, input size) int8 to what the original gives.

    ``options`` are those of the plan that the model is for: its loss says whether outputs are
    classes, and which are logits. ``rate`` is that of ``HostAdam``. ``steps`` become fewer where
    they would take more than ``seconds``, by default what ``seconds_for`` says. The best state
    that held-out inputs saw stays; none that is worse there than before, in the squared error or,
    beyond chance, in the classes. Raises KeyboardInterrupt as somebody asks to stop.
    """
    part = compared_part(smaller, options)
    if len(inputs) < LEAST_INPUTS:
        few = f"{len(inputs)} inputs are too few to hold some out: give {LEAST_INPUTS} or more"
        return Distilled(smaller, why_not=few)
    try:
        plan = squares_plan(part, options, all_that_learns(part), as_gradients=True)
    except (ModelError, SchemeError) as err:
        return Distilled(smaller, why_not=f"nothing was trained: {err}")
    wanted = outputs_of(original, inputs, options)
    data = split(inputs, wanted)
    seconds = seconds_for(original, steps) if seconds is None else seconds
    taken = steps_within(plan, steps, seconds)
    training = trained(plan, data, taken, rate, report)
    state = unpack_state(plan, training.best)
    found = with_weights(smaller, weights_of(plan, state, smaller))

    def compared(model: Model) -> Compared:
        outputs = outputs_of(model, data.x_test, options)
        return Compared(outputs, data.y_test, part.logits.type, has_classes(options))

    before, after = compared(smaller), compared(found)
    is_kept = after.is_better_than(before)
    return Distilled(
        found if is_kept else smaller, before.fidelity, after.fidelity, is_kept,
        tuple(training.losses), rate, len(training.losses), steps,
    )  # fmt: skip


def all_that_learns(model: Model) -> Scheme:
    """Every layer whose weights can learn, and whose error can reach it."""
    layers, found = model.weighted, set(learnable_layers(model))
    for k, node in enumerate(layers):
        assert isinstance(node.op, Weighted)
        if node.op.why_frozen(node):
            found.discard(k)
        if node.op.why_none_before(node):
            found -= set(range(k))
    return Scheme("distillation", dict.fromkeys(sorted(found), 1.0), frozenset(found))


def seconds_for(model: Model, steps: int) -> float:
    """How long a distillation of a model of this size may take: who asks for more than STEPS
    waits."""
    if steps > STEPS:
        return math.inf
    parameters = sum(node.inputs[1].type.size for node in model.weighted)
    return SECONDS + MORE_SECONDS * parameters / PARAMETERS


def steps_within(plan: TrainingPlan, steps: int, seconds: float) -> int:
    """How many of the steps there is time for."""
    most = seconds / (plan.step_macs / MACS_PER_SECOND + STEP_SECONDS)
    return int(min(steps, max(LEAST_STEPS, most)))


def split(inputs: Array, wanted: Array) -> Dataset:
    """The inputs with what is wanted of them; some, drawn at random, are held out."""
    order = np.random.default_rng(0).permutation(len(inputs))
    held = order[: min(MOST_HELD, len(inputs) // HELD_PART)]
    rest = order[len(held) :]
    return Dataset(
        inputs[rest], wanted[rest], inputs[held], wanted[held], inputs[held], wanted[held]
    )


@dataclass
class Training:
    """A distillation under way: the ``losses`` of its steps, and the state that held-out inputs
    liked best."""

    plan: TrainingPlan
    data: Dataset
    runner: Runner
    report: Report
    losses: list[float] = field(default_factory=list)
    best: bytes = b""
    least: float = np.inf

    def judge(self) -> None:
        """Look at the held-out inputs."""
        found = np.stack([self.runner.infer(x).reshape(-1) for x in self.data.x_test])
        error = float(((found.astype(np.int64) - self.data.y_test) ** 2).mean())
        if error < self.least:
            self.best, self.least = self.runner.state(), error

    def batch(self, indices: Array) -> dict[Tensor, Array]:
        """The state after steps on these samples."""
        for k in indices:
            loss, _ = self.runner.step(self.data.x_train[k], self.data.y_train[k], False)
            self.losses.append(loss.real(self.plan))
        return unpack_state(self.plan, self.runner.state())

    def load(self, state: dict[Tensor, Array]) -> None:
        self.runner.load(pack_state(self.plan, state))

    def run(self, steps: int, rate: float, interrupt: Interrupt) -> None:
        """All steps, in batches; the rate falls as it does in any training (ADR 0094)."""
        batch = min(BATCH, max(1, steps // BATCHES))
        order = sample_order(len(self.data.x_train), -(-steps // len(self.data.x_train)), SEED)
        adam = self.begun(order[:TUNED])
        batches = np.array_split(order[:steps], -(-steps // batch))
        judged = {round(k * len(batches) / JUDGED) for k in range(1, JUDGED + 1)}
        for done, indices in enumerate(batches):
            if interrupt.number:
                raise KeyboardInterrupt(interrupt.number)
            cooled = min(1.0, 2 * (1 - done / len(batches)))
            self.load(adam.update(self.batch(indices), rate * cooled))
            if done + 1 in judged:
                self.judge()
            told = Progress("train", len(self.losses), steps, self.losses[-1], rate=rate * cooled)
            try:
                self.report(told)
            except StopTraining:
                break
        self.judge()

    def begun(self, indices: Array) -> HostAdam:
        """Adam with sums that a few samples have found fine enough."""
        self.runner.reset(SEED)
        state = unpack_state(self.plan, self.runner.state())
        adam = HostAdam(self.plan, state, self.data.x_train)
        for _ in range(TUNED):
            self.load(adam.begin(state))
            if adam.tune(self.batch(indices)):
                break
        self.losses.clear()
        self.load(adam.begin(state))
        self.judge()
        return adam


def trained(plan: TrainingPlan, data: Dataset, steps: int, rate: float, report: Report) -> Training:
    """A training of so many steps, which keeps its best state."""
    with in_process_runner(plan, steps) as runner, deferred(True) as interrupt:
        training = Training(plan, data, runner, report)
        training.run(steps, rate, interrupt)
    return training


def weights_of(plan: TrainingPlan, state: dict[Any, Array], model: Model) -> dict[Node, Weights]:
    """What a state of the plan holds, for the layers of the model that it was made from."""
    layers = {(node.index, node.name): node for node in model.weighted}
    found = {}
    for node in plan.forward:
        if not isinstance(node.op, Weighted):
            continue
        bias, _, learned = node.op.split_inputs(node)
        if learned.role is not Role.PARAM:
            continue
        old = Weights.of(layers[node.index, node.name])
        new_bias = old.bias if bias is None else state.get(bias, bias.data)
        new_bias = None if new_bias is None else new_bias.reshape(-1)
        found[layers[node.index, node.name]] = Weights(state[learned], old.quant, new_bias)
    return found

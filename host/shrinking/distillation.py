# SPDX-License-Identifier: Apache-2.0
"""Repairs a cut model without labels: trains all of it to give the outputs of the original.

That is distillation (Hinton, Vinyals and Dean 2015) by the squared error of the logits (Ba and
Caruana 2014), in the integers and the generated C that train any plan here. The original is int8
too, so what it gives is what the smaller model can give.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

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
from mcutrain.host.training.loop import train
from mcutrain.host.training.progress import Report
from mcutrain.host.training.rate_choice import RateChoice
from mcutrain.host.training.rate_search import TRAININGS, find_rate
from mcutrain.host.training.reporter import nothing
from mcutrain.host.training.result import Result
from mcutrain.host.training.training_options import TrainingOptions
from mcutrain.trainer.errors import ModelError, SchemeError
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.graph.tensor import Array, Role
from mcutrain.trainer.interpreter import unpack_state
from mcutrain.trainer.model import Model
from mcutrain.trainer.ops.weighted import Weighted
from mcutrain.trainer.options import DEFAULT_OPTIONS, PlanOptions, Scheme
from mcutrain.trainer.scheme import learnable_layers
from mcutrain.trainer.training_plan import TrainingPlan

STEPS = 8000  # if the time is enough
LEAST_STEPS = 50  # even if it is not: fewer repair nothing
RATE_PART = 4  # a training that looks for the rate has a quarter of the steps
SECONDS, MORE_SECONDS, PARAMETERS = 40.0, 40.0, 100_000  # and so many more for each PARAMETERS
# What the generated C does on a computer, counted so that every computer takes as many steps.
MACS_PER_SECOND, STEP_SECONDS = 4e9, 2e-4
UNLIMITED = 1e6  # minutes of a search, whose steps are counted before
HELD_PART, MOST_HELD = 5, 500  # a fifth of the inputs, up to so many, judges
LEAST_INPUTS = 20  # with fewer nothing can be held out that says anything


@dataclass(frozen=True)
class Distilled:
    """What came of a distillation.

    ``model`` is the trained one if that ``is_kept``, else the one that was given. ``before`` and
    ``trained`` are of inputs that nothing was learned from. ``rate`` says how the learning rate was
    found, ``losses`` are those of each step, in squared real units. ``steps`` were taken of
    ``wanted_steps``, for which the time was not enough if they are fewer. ``why_not`` says why
    nothing was trained; "" if something was.
    """

    model: Model
    before: Fidelity | None = None
    trained: Fidelity | None = None
    is_kept: bool = False
    losses: tuple[float, ...] = ()
    rate: RateChoice | None = None
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
            "rate": None if self.rate is None else self.rate.to_json(),
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
    rate: float | None = None,
    report: Report = nothing,
) -> Distilled:
    """The smaller model, trained on ``inputs`` (N, input size) int8 to what the original gives.

    ``options`` are those of the plan that the model is for: its loss says whether outputs are
    classes, and which are logits. A learning ``rate`` of None is looked for. ``steps`` become fewer
    where all trainings would take more than ``seconds``, by default what ``seconds_for`` says.
    Where nothing learns at any rate, all layers but the first are trained.
    The best state that held-out inputs saw stays; none that is worse there than before, in the
    squared error or, beyond chance, in the classes. Raises DataError for a rate that cannot be, and
    KeyboardInterrupt as somebody asks to stop.
    """
    part = compared_part(smaller, options)
    if len(inputs) < LEAST_INPUTS:
        few = f"{len(inputs)} inputs are too few to hold some out: give {LEAST_INPUTS} or more"
        return Distilled(smaller, why_not=few)
    try:
        plan = squares_plan(part, options, all_that_learns(part))
    except (ModelError, SchemeError) as err:
        return Distilled(smaller, why_not=f"nothing was trained: {err}")
    wanted = outputs_of(original, inputs, options)
    data = split(inputs, wanted)
    seconds = seconds_for(original) if seconds is None else seconds
    taken = steps_within(plan, steps, seconds)
    choice = RateChoice(rate) if rate is not None else rate_of(plan, data, taken, report)
    if not choice.learns and len(plan.scheme.ratios) > 1:
        plan = squares_plan(part, options, behind_first(plan.scheme))
        choice = rate_of(plan, data, taken, report)
    result = trained(plan, data, taken, choice.chosen, report)
    state = unpack_state(plan, result.state)
    found = with_weights(smaller, weights_of(plan, state, smaller))

    def compared(model: Model) -> Compared:
        outputs = outputs_of(model, data.x_test, options)
        return Compared(outputs, data.y_test, part.logits.type, has_classes(options))

    before, after = compared(smaller), compared(found)
    is_kept = after.is_better_than(before)
    return Distilled(
        found if is_kept else smaller, before.fidelity, after.fidelity, is_kept,
        tuple(result.losses), choice, result.steps, steps,
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


def seconds_for(model: Model) -> float:
    """How long the trainings of a model of this size may take."""
    parameters = sum(node.inputs[1].type.size for node in model.weighted)
    return SECONDS + MORE_SECONDS * parameters / PARAMETERS


def steps_within(plan: TrainingPlan, steps: int, seconds: float) -> int:
    """How many of the steps there is time for, beside the trainings that look for a rate."""
    of_step = plan.step_macs / MACS_PER_SECOND + STEP_SECONDS
    most = seconds / (of_step * (1 + TRAININGS / RATE_PART))
    return min(steps, max(LEAST_STEPS, int(most)))


def split(inputs: Array, wanted: Array) -> Dataset:
    """The inputs with what is wanted of them; some, drawn at random, are held out."""
    order = np.random.default_rng(0).permutation(len(inputs))
    held = order[: min(MOST_HELD, len(inputs) // HELD_PART)]
    rest = order[len(held) :]
    return Dataset(
        inputs[rest], wanted[rest], inputs[held], wanted[held], inputs[held], wanted[held]
    )


def behind_first(scheme: Scheme) -> Scheme:
    """The scheme without its first layer. One that reads raw pixels of 0 to 255 takes steps so
    large that no rate is right for it and for the others (docs/accuracy.md, resnet8)."""
    ratios = dict(sorted(scheme.ratios.items())[1:])
    return Scheme(scheme.name, ratios, frozenset(ratios) & scheme.biases)


def options_of(data: Dataset, steps: int) -> TrainingOptions:
    """How all trainings of so many steps are done."""
    return TrainingOptions(-(-steps // len(data.x_train)), steps=steps, tests=False)


def rate_of(plan: TrainingPlan, data: Dataset, steps: int, report: Report) -> RateChoice:
    """The rate of a training of so many steps, by shorter ones."""
    short = options_of(data, max(LEAST_STEPS, steps // RATE_PART))
    return find_rate(plan, data, short, report, minutes=UNLIMITED)


def trained(plan: TrainingPlan, data: Dataset, steps: int, rate: float, report: Report) -> Result:
    """A training of so many steps, with the guard."""
    options = replace(options_of(data, steps), guard=True, rate=rate)
    with in_process_runner(plan, steps) as runner:
        result = train(plan, data, runner, options, report)
    if result.interrupted:
        raise KeyboardInterrupt(result.signal)
    return result


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

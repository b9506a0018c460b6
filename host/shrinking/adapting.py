# SPDX-License-Identifier: Apache-2.0
"""What a model comes to when it is trained as it was planned: in the end that is what counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from mcutrain.host.request import Request
from mcutrain.host.shrinking.inputs import Inputs
from mcutrain.host.shrinking.phases import Phase, Phases
from mcutrain.host.shrinking.result import Adapted
from mcutrain.host.training.counted_time import steps_within
from mcutrain.host.training.dataset import Dataset
from mcutrain.host.training.in_process import in_process_runner
from mcutrain.host.training.loop import train
from mcutrain.host.training.progress import Progress
from mcutrain.host.training.rate_search import find_rate
from mcutrain.host.training.result import Result
from mcutrain.host.training.tail import MEMORY_OPTIONS
from mcutrain.host.training.training_options import TrainingOptions
from mcutrain.trainer.chip import GENERIC
from mcutrain.trainer.model import Model
from mcutrain.trainer.options import Effect

STEPS = 4000  # at most
RATE_PART = 4  # a training that looks for the rate has a quarter of them
MINUTES = 0.15  # counted in what is computed: of a training, and of those that find its rate

Report = Callable[[str, int, int], None]


def adapted(
    requests: tuple[Request, Request],
    models: tuple[Model, Model],
    inputs: Inputs,
    epochs: int,
    seed: int,
    phases: Phases,
    report: Report,
) -> Adapted | None:
    """The original and the smaller model, each as its request says, trained on the inputs and
    judged by held-out ones; None where these have no labels or targets.

    Samples are those of one user: groups are not told apart. Raises Error.
    """
    plan = local(requests[1]).plan_of(models[1], thorough=False)
    if plan.task.target is not None and inputs.y is None:
        return None
    steps = min(STEPS, epochs * len(inputs.x))
    steps = steps_within(plan, 1, steps, len(inputs.x), MINUTES)

    def work() -> Phase:
        found = []
        for name, request, model in zip(("original", "smaller"), requests, models, strict=True):
            result = trained(request, model, inputs, steps, seed, f"training: {name}", report)
            found.append((result.before, result.after))
            if models[0] is models[1] and requests[0] == requests[1]:
                found *= 2
                break
        return Phase({}, {"metric": result.metric, "scores": found})

    learned = [(str(r.options.update), r.options.to_json(Effect.LEARNING)) for r in requests]
    phases = phases.behind(steps=steps, seed=seed, learned=learned)
    told = phases.done("adaptation", work).told
    (_, original), (before, after) = told["scores"]
    name = requests[1].options.update_name
    return Adapted(told["metric"], name, steps, original, after, before)


def tell_of(phase: str, progress: Progress, report: Report) -> None:
    """Tell of the trainings of a phase: of those that find a rate, and of the one at that rate."""
    if progress.phase == "rate":
        report(f"{phase}, learning rate", progress.done, progress.total)
    elif progress.phase == "train":
        report(phase, progress.done, progress.total)


def local(request: Request) -> Request:
    """The request without what a board's memory asks for: no bit changes."""
    return request.on(GENERIC).without(MEMORY_OPTIONS)


def trained(
    request: Request,
    model: Model,
    inputs: Inputs,
    steps: int,
    seed: int,
    phase: str,
    report: Report,
) -> Result:
    """A training of so many steps, at a rate that is found for it."""
    plan = local(request).plan_of(model, thorough=False)
    y, held_y = (
        np.zeros((len(x), 0), np.int8) if y is None else y
        for x, y in ((inputs.x, inputs.y), (inputs.held_x, inputs.held_y))
    )
    data = Dataset(inputs.x, y, inputs.held_x, held_y)
    options = TrainingOptions(-(-steps // len(inputs.x)), seed=seed, steps=steps)

    def tell(progress: Progress) -> None:
        tell_of(phase, progress, report)

    short = replace(options, steps=max(1, steps // RATE_PART))
    choice = find_rate(plan, data, short, tell, minutes=MINUTES)
    with in_process_runner(plan, steps) as runner:
        return train(plan, data, runner, replace(options, rate=choice.chosen), tell)

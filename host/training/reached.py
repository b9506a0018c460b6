# SPDX-License-Identifier: Apache-2.0
"""How far a run has come, for its checkpoint; and a run that goes on from there.

Orders, rates and random numbers follow from the seed and the number of the step (SPEC 1.5, 1.9),
and a replay buffer from the seed and the labels, so none of them is stored: the number of steps
that were done is enough.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from mcutrain.host.training.checkpoint_file import (
    BEST,
    CODES,
    FIRST,
    LOSSES,
    MISFORMED,
    NOW,
    PREDICTED,
    Checkpoint,
    state_arrays,
)
from mcutrain.host.training.evaluation import Evaluation, classes_in_use, evaluation
from mcutrain.host.training.guard import Guard, Guarded, ValidationScore, guard_metric
from mcutrain.host.training.latents import WrappedRunner
from mcutrain.host.training.monitor import Monitor
from mcutrain.host.training.rates import epochs
from mcutrain.host.training.runner import Answer
from mcutrain.host.training.stored_values import flag, integer, loss, number
from mcutrain.host.training.training_run import TrainingRun
from mcutrain.host.training.verify import Verifier
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.interpreter import state_digest, unpack_state


def checkpoint(run: TrainingRun, known: bytes | None = None) -> None:
    """Write how far the run has come, between two steps. Raises what reading the state raises, if
    it is not ``known``."""
    if run.checkpoints is None:
        return
    state = run.runner.state() if known is None else known
    run.checkpoints.reach(reached(run), arrays_of(run, state))


def reached(run: TrainingRun) -> dict[str, Any]:
    """As JSON."""
    result, guarded, guard = run.result, run.result.guarded, run.guard
    return {
        "steps": result.steps,
        "epochs": run.epochs_done,
        "planned": run.result.planned_steps,
        "is_finished": is_finished(run),
        "verified": run.verifier.verified_steps if run.verifier else 0,
        "seconds": time.monotonic() - run.started,
        "step_seconds": result.step_seconds,
        "early": {} if run.monitor is None else run.monitor.early,
        "guard": None if guarded is None or guard is None else {
            "curve": [[at, s.correct, s.total, s.loss] for at, s in guarded.curve],
            "best": guarded.best,
            "stale": guard.stale,
            "stopped_early": guarded.stopped_early,
        },
        "runners": [wrapper.position() for wrapper in wrappers(run)],
    }  # fmt: skip


def is_finished(run: TrainingRun) -> bool:
    """Whether all steps are done that there will be, and judged."""
    if run.result.guarded is not None and run.result.guarded.stopped_early:
        return True
    return run.result.steps == run.result.planned_steps and run.epochs_done == run.epochs


def arrays_of(run: TrainingRun, state: bytes) -> dict[str, Array]:
    """The losses so far, the states, and what the first one made of the test samples."""
    found: dict[str, Array] = {LOSSES: np.array(run.result.losses, np.float64)}
    found |= state_arrays(run.plan, NOW, state)
    if run.monitor is not None:
        found |= state_arrays(run.plan, FIRST, run.monitor.start)
    if run.guard is not None:
        found |= state_arrays(run.plan, BEST, run.guard.state)
    before = run.result.evaluation_before
    if before is not None:
        predicted = np.zeros(len(before)) if before.predicted is None else before.predicted
        found |= {CODES: before.codes, PREDICTED: predicted.astype(np.int64)}
    return found


def wrappers(run: TrainingRun) -> list[WrappedRunner]:
    """What is wrapped around the run's runner, from the outside."""
    found: list[WrappedRunner] = []
    runner = run.runner
    while isinstance(runner, WrappedRunner):
        found.append(runner)
        runner = runner.inner
    return found


def go_on(run: TrainingRun, found: Checkpoint) -> None:
    """Bring everything to where the checkpoint was taken. Raises DataError for a damaged one."""
    plan, result, told = run.plan, run.result, found.reached
    assert told is not None and run.checkpoints is not None
    state = found.state(plan, NOW)
    try:
        restore(run, found, told, state)
    except MISFORMED as err:
        raise found.damaged(f"how far the run has come: {err!r}") from err
    done = int(unpack_state(plan, state)[plan.learning.sgd][1])
    if done != run.first_step + result.steps:
        raise found.damaged(f"its state has {done:,} steps, and it tells of {result.steps:,}")
    is_there = run.runner.digest() == state_digest(plan, unpack_state(plan, state))
    if not is_there or run.runner.state() != state:  # a device that has it is left alone
        run.runner.load(state)
    if run.options.verify:
        run.verifier = Verifier(plan, result.seed)
        run.verifier.load(state)
    try:
        if run.verifier is not None:
            run.verifier.verified_steps = integer(told["verified"], result.steps)
        for wrapper, position in zip(wrappers(run), told["runners"], strict=False):
            wrapper.resume(result.steps, position)
    except MISFORMED as err:
        raise found.damaged(f"where its steps began: {err!r}") from err
    run.seen = state
    run.checkpoints.resume_joined()


def restore(run: TrainingRun, found: Checkpoint, told: Mapping[str, Any], state: bytes) -> None:
    """The run's own figures, and what looks at it."""
    plan, result, arrays = run.plan, run.result, found.arrays
    result.losses = [float(each) for each in arrays[LOSSES]]
    result.steps = integer(told["steps"], result.planned_steps)
    run.epochs_done = integer(told["epochs"], run.epochs)
    check_place(run, told)
    result.resumed_from, result.step_seconds = result.steps, number(told["step_seconds"])
    run.started -= number(told["seconds"])
    result.evaluation_before = answered(run, arrays, state)
    if run.options.monitor:
        run.monitor = Monitor(plan, run.data, found.state(plan, FIRST))
        run.monitor.early = {str(layer): int(h) for layer, h in told["early"].items()}
    if run.options.guard:
        restore_guard(run, found, told["guard"])
        run.classes = classes_in_use(plan, state)


def check_place(run: TrainingRun, told: Mapping[str, Any]) -> None:
    """Raises ValueError where steps and epochs are not those of one place in the run."""
    steps, planned = run.result.steps, run.result.planned_steps
    if told["planned"] != planned:
        raise ValueError(f"{told['planned']!r:.24} steps in all, of {planned}")
    if len(run.result.losses) != steps:
        raise ValueError(f"{len(run.result.losses)} losses of {steps} steps")
    ends = [end for _, end in epochs(planned, run.data.epoch_steps, run.first_step)]
    if not [0, *ends][run.epochs_done] <= steps <= [*ends, planned][run.epochs_done]:
        raise ValueError(f"{run.epochs_done} epochs done in {steps} steps")


def restore_guard(run: TrainingRun, found: Checkpoint, told: Mapping[str, Any]) -> None:
    """The guard with its curve, patience and best state."""
    assert run.data.x_val is not None
    last, samples = run.first_step + run.result.steps, len(run.data.x_val)
    curve = [
        (
            integer(at, last, run.first_step),
            ValidationScore(integer(correct, samples), integer(total, samples, samples), loss(of)),
        )
        for at, correct, total, of in told["curve"]
    ]
    best, is_over = integer(told["best"], len(curve) - 1), flag(told["stopped_early"])
    run.guard = Guard(run.options.patience)
    run.result.guarded = Guarded(guard_metric(run.plan), curve, best, is_over)
    run.guard.best, run.guard.stale = curve[best][1], integer(told["stale"], len(curve))
    run.guard.state = found.state(run.plan, BEST)
    done = int(unpack_state(run.plan, run.guard.state)[run.plan.learning.sgd][1])
    if done != curve[best][0]:
        raise ValueError(f"the best state has {done} steps, and its score {curve[best][0]}")


def answered(run: TrainingRun, arrays: Mapping[str, Array], state: bytes) -> Evaluation | None:
    """What the first state made of the test samples, by its answers."""
    if CODES not in arrays:
        return None
    codes, predicted = arrays[CODES], arrays[PREDICTED]
    x, y = run.data.x_test, run.data.y_test
    if codes.shape != (len(x), run.plan.task.logits.type.size) or len(predicted) != len(x):
        raise ValueError("answers of other test samples")
    classes = run.plan.classes if run.plan.takes_label else 1
    if codes.dtype != np.int8 or not all(0 <= int(label) < classes for label in predicted):
        raise ValueError("answers of another model")
    answers = [Answer(int(p), c) for p, c in zip(predicted, codes, strict=True)]
    found = evaluation(run.plan, x, y, classes_in_use(run.plan, state), answers)
    if run.plan.classes:
        run.result.yardstick.balanced["before"] = found.balanced_accuracy
    return found

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
from mcutrain.host.training.guard import Guard, Guarded, ValidationScore
from mcutrain.host.training.latents import WrappedRunner
from mcutrain.host.training.monitor import Monitor
from mcutrain.host.training.runner import Answer
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
        run.verifier.verified_steps = int(told["verified"])
    for wrapper, position in zip(wrappers(run), told["runners"], strict=False):
        wrapper.resume(result.steps, position)
    run.seen = state
    run.checkpoints.resume_joined()


def restore(run: TrainingRun, found: Checkpoint, told: Mapping[str, Any], state: bytes) -> None:
    """The run's own figures, and what looks at it."""
    plan, result, arrays = run.plan, run.result, found.arrays
    result.losses = [float(loss) for loss in arrays[LOSSES]]
    result.steps, run.epochs_done = int(told["steps"]), int(told["epochs"])
    if len(result.losses) != result.steps:
        raise ValueError(f"{len(result.losses)} losses of {result.steps} steps")
    result.resumed_from, result.step_seconds = result.steps, float(told["step_seconds"])
    run.started -= float(told["seconds"])
    result.evaluation_before = answered(run, arrays, state)
    if run.options.monitor:
        run.monitor = Monitor(plan, run.data, found.state(plan, FIRST))
        run.monitor.early = {str(layer): int(h) for layer, h in told["early"].items()}
    if run.options.guard:
        guard = told["guard"]
        curve = [
            (int(at), ValidationScore(int(correct), int(total), loss))
            for at, correct, total, loss in guard["curve"]
        ]
        run.guard = Guard(run.options.patience)
        result.guarded = Guarded(result.metric, curve, guard["best"], guard["stopped_early"])
        run.guard.best, run.guard.stale = curve[guard["best"]][1], int(guard["stale"])
        run.guard.state = found.state(plan, BEST)
        run.classes = classes_in_use(plan, state)


def answered(run: TrainingRun, arrays: Mapping[str, Array], state: bytes) -> Evaluation | None:
    """What the first state made of the test samples, by its answers."""
    if CODES not in arrays:
        return None
    codes, predicted = arrays[CODES], arrays[PREDICTED]
    x, y = run.data.x_test, run.data.y_test
    if codes.shape != (len(x), run.plan.task.logits.type.size) or len(predicted) != len(x):
        raise ValueError("answers of other test samples")
    answers = [Answer(int(p), c) for p, c in zip(predicted, codes, strict=True)]
    found = evaluation(run.plan, x, y, classes_in_use(run.plan, state), answers)
    if run.plan.takes_label:
        run.result.yardstick.balanced["before"] = found.balanced_accuracy
    return found

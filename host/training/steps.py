# SPDX-License-Identifier: Apache-2.0
"""Steps of a training run: each takes a sample and is compared, recorded and told of."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from mcutrain.host.link.model_device import ModelDevice
from mcutrain.host.training.feed import Feed
from mcutrain.host.training.interrupt import StopTraining
from mcutrain.host.training.latents import innermost
from mcutrain.host.training.monitor import EARLY_STEPS
from mcutrain.host.training.progress import Progress
from mcutrain.host.training.rates import NO_SAMPLE
from mcutrain.host.training.reached import checkpoint
from mcutrain.host.training.recording import Taken
from mcutrain.host.training.runner import Runner
from mcutrain.host.training.runners import DeviceRunner, ReferenceRunner
from mcutrain.host.training.training_run import TrainingRun
from mcutrain.host.training.verify import Differs
from mcutrain.trainer.interpreter import pack_state, unpack_state
from mcutrain.trainer.ops.sgd import LearningRate
from mcutrain.trainer.training_plan import TrainingPlan


def run_steps(
    run: TrainingRun,
    feed: Feed,
    schedule: dict[int, LearningRate],
    epoch: int,
    first: int,
    end: int,
) -> None:
    """Steps ``first`` to ``end`` of a run, counted in its result. Raises Differs, Interrupted."""
    result, traffic = run.result, run.traffic
    rate = schedule[max(k for k in schedule if k <= first)]
    for k in range(first, end):
        run.interrupt.check()
        rate = schedule.get(k, rate)
        if feed.order[k] == NO_SAMPLE:
            leave_out(run)
            continue
        # A step that is left out has no rate: whoever replays the others would not know it.
        if k in schedule or (k and feed.order[k - 1] == NO_SAMPLE):
            for trained in run.trained:
                trained.set_learning_rate(rate)
        if k + 1 < end and feed.order[k + 1] != NO_SAMPLE:
            run.runner.announce(*feed.at(k + 1))
        take_step(run, feed, k, rate)
        if run.monitor and result.steps == EARLY_STEPS:
            run.seen = run.runner.state()
            run.monitor.look(run.seen)
        told = Progress(
            "train", k + 1, len(feed.order), result.losses[-1], epoch=epoch, epochs=run.epochs,
            rate=rate.real, traffic=traffic,
        )  # fmt: skip
        tell(run, told)
        if result.stopped:
            return
        if run.checkpoints and k + 1 < end and run.checkpoints.is_due(result.steps):
            checkpoint(run)


def take_step(run: TrainingRun, feed: Feed, k: int, rate: LearningRate) -> None:
    """Step ``k`` of a run, at this rate. Raises Differs."""
    result, verifier = run.result, run.verifier
    sample, target = feed.at(k)
    started = time.monotonic()
    expected = verifier and verifier.expect(partial(verifier.replay, sample, target))
    wants_digest = run.options.verify or run.record is not None
    loss, digest = run.runner.step(sample, target, wants_digest)
    number = run.first_step + result.steps
    result.steps += 1
    result.losses.append(loss.real(run.plan))
    if run.record is not None:
        source, at_latent = run.data.source(int(feed.order[k])), began_at_latent(run.runner)
        run.record.step(Taken(number, sample, target, source, rate, at_latent, digest))
    latent = (sample, target) if began_at_latent(run.runner) else None
    if verifier and expected and not verifier.compare_step(expected(), (loss, digest), latent):
        raise Differs(verifier.locate(device_of(run.runner), sample, target))
    run.trust()
    result.step_seconds += time.monotonic() - started


def began_at_latent(runner: Runner) -> bool:
    """Whether the runner's last step began at the latent of its sample."""
    found = innermost(runner)
    return isinstance(found, ReferenceRunner | DeviceRunner) and found.at_latent


def leave_out(run: TrainingRun) -> None:
    """Let a step whose sample was left out count, though it is not taken."""
    state = with_next_step(run.plan, run.runner.state())
    for trained in run.trained:
        trained.load(state)
    tell_record(run, "left out", step=run.first_step + run.result.steps)
    run.result.steps += 1


def with_next_step(plan: TrainingPlan, state: bytes) -> bytes:
    """The state behind a step that learned nothing."""
    tensors = unpack_state(plan, state)
    tensors[plan.learning.sgd][1] += 1
    return pack_state(plan, tensors)


def tell(run: TrainingRun, progress: Progress) -> None:
    """Tell of the progress of the steps; ``result.stopped`` if they are to end."""
    try:
        run.report(progress)
    except StopTraining:
        run.result.stopped = True


def tell_record(run: TrainingRun, event: str, **facts: Any) -> None:
    """Have the record, if one is kept, say what has happened between two steps."""
    if run.record is not None:
        run.record.event(event, facts)


def is_device(runner: Runner) -> bool:
    """Whether a runner trains on a device, and is not the reference."""
    return isinstance(innermost(runner), DeviceRunner)


def device_of(runner: Runner) -> ModelDevice:
    """The device of a runner that differs from the reference: it is not the reference."""
    found = innermost(runner)
    assert isinstance(found, DeviceRunner)
    return found.device

# SPDX-License-Identifier: Apache-2.0
"""The training loop over a runner: epochs in a seeded order, accuracy before and after.

With the guard, each epoch is followed by a look at the validation samples, and the best state
that they saw is the one that stays.
"""

from __future__ import annotations

import time
from functools import partial

from mcutrain.host.training.absent import new_classes, present_classes, with_seen
from mcutrain.host.training.balance import ON
from mcutrain.host.training.checkpoints import Checkpoints
from mcutrain.host.training.dataset import Dataset
from mcutrain.host.training.evaluation import (
    Evaluation,
    classes_in_use,
    evaluation,
)
from mcutrain.host.training.feed import Feed
from mcutrain.host.training.guard import Guard, Guarded, ValidationScore, Verdict, guard_metric
from mcutrain.host.training.interrupt import Interrupted, deferred
from mcutrain.host.training.monitor import Monitor
from mcutrain.host.training.preconditioning import set_input_shifts
from mcutrain.host.training.progress import Progress, Report
from mcutrain.host.training.rates import (
    NO_SAMPLE,
    epochs,
    initial_rate,
    last_part,
    rates,
)
from mcutrain.host.training.reached import checkpoint, go_on
from mcutrain.host.training.recording import Recorder
from mcutrain.host.training.result import Result
from mcutrain.host.training.runner import Answer, Runner, answer
from mcutrain.host.training.runners import ReferenceRunner
from mcutrain.host.training.steps import device_of, is_device, run_steps, tell, tell_record
from mcutrain.host.training.training_options import TrainingOptions
from mcutrain.host.training.training_run import Keep, TrainingRun
from mcutrain.host.training.verify import Differs, Verifier
from mcutrain.host.training.yardstick import constant_answer
from mcutrain.trainer.errors import DataError, Error
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.interpreter import pack_state, unpack_state
from mcutrain.trainer.training_plan import TrainingPlan


def begun(plan: TrainingPlan, options: TrainingOptions, state: bytes | None) -> tuple[int, int]:
    """(seed, steps already done): the plan goes on where an export or a saved state stopped."""
    assert plan.learning.sgd.data is not None
    sgd = plan.learning.sgd.data if state is None else unpack_state(plan, state)[plan.learning.sgd]
    return int(sgd[0]) if options.seed is None else options.seed, int(sgd[1])


def train(
    plan: TrainingPlan,
    data: Dataset,
    runner: Runner,
    options: TrainingOptions,
    report: Report,
    state: bytes | None = None,
    keep: Keep | None = None,
    checkpoints: Checkpoints | None = None,
    record: Recorder | None = None,
) -> Result:
    """Reset the runner, or let it take up ``state``, and train it.

    Spare classes that the data has are taken into use. With ``verify``, stops at the first
    difference. ``keep`` gets what was learned as soon as it is known, before it is measured. With
    it, or with ``guard``, a signal to end takes effect between two steps, and the best state stays,
    or the last without the guard. Where the run fails, ``keep`` gets the best state that the guard
    has, or the last that the monitor saw. ``checkpoints`` get how far the run has come; where there
    is one, the run goes on from it. ``record`` is told of all that its end depends on. Raises
    DataError for a guard without validation samples.
    """
    if options.balance == ON and not plan.takes_label:
        raise DataError(f"--balance is for classes, but {plan.unlabelled}: leave it out")
    if options.guard and data.x_val is None:
        raise DataError("the guard needs validation samples: x_val and y_val")
    metric = "accuracy" if plan.classes else "mse"
    seed, first_step = begun(plan, options, state)
    result = Result(seed, metric, verified=options.verify)
    started = time.monotonic()
    with deferred(options.guard or keep is not None or checkpoints is not None) as interrupt:
        run = TrainingRun(
            plan, data, runner, options, report, result, first_step, interrupt, keep, checkpoints,
            record, started,
        )  # fmt: skip
        try:
            feed = Feed(plan, data, options, seed, first_step)
            lay_out(run, feed)
            if run.steady is not None:
                run.steady.reconnects.is_ended = lambda: bool(interrupt.number)
            found = None if checkpoints is None else checkpoints.found
            if found is None or found.reached is None:
                begin(run, state)
                checkpoint(run)
            else:
                go_on(run, found)
            run_epochs(run, feed)
            finish(run)
        except Differs as parted:
            result.difference = parted.difference
        except Interrupted:
            stop(run)
        except (Error, OSError):
            keep_known(run)
            raise
        finally:
            if run.verifier is not None:
                run.verifier.close()
    result.verified_steps = run.verifier.verified_steps if run.verifier else 0
    result.seconds = time.monotonic() - run.started
    return result


def begin(run: TrainingRun, state: bytes | None) -> None:
    """Bring everything to the state before the first step, and measure it. Raises Differs."""
    plan, options = run.plan, run.options
    run.verifier = Verifier(plan, run.result.seed) if options.verify else None
    if state is None:
        run.runner.reset(run.result.seed)
    else:
        state = with_seed(plan, state, run.result.seed)
        if run.runner.state() != state:  # a device that has it already is left alone
            run.runner.load(state)
        if run.verifier is not None:
            run.verifier.load(state)
    if run.record is not None:
        run.record.begin(plan, run.result.seed, run.runner.state(), state is None)
    fit_to_data(run, state)
    run.result.evaluation_before = evaluate(run, "before")
    if options.monitor:
        run.monitor = Monitor(plan, run.data, run.runner.state())
    if options.guard:
        run.guard, run.result.guarded = Guard(options.patience), Guarded(guard_metric(plan))
        run.classes = classes_in_use(plan, run.runner.state())
        judge(run)


def fit_to_data(run: TrainingRun, state: bytes | None) -> None:
    """Change in the state before the first step what follows from the data."""
    plan = run.plan
    if count := new_classes(plan, run.data, state):
        for trained in run.trained:
            trained.set_classes(count)
        tell_record(run, "classes", classes=count)
    if plan.task.seen is not None:
        found, seen = run.runner.state(), present_classes(run.data, False)
        state = with_seen(plan, found, seen)
        for trained in run.trained if state != found else ():
            trained.load(state)
        tell_record(run, "seen", classes=sorted(seen))
    if set_input_shifts(plan, run.data.x_train, run.runner, *run.trained[1:]):
        tell_record(run, "input shifts", state=run.runner.state())


def end_record(run: TrainingRun) -> None:
    if run.record is not None:
        run.record.end(run.result.state)


def finish(run: TrainingRun) -> None:
    """Let the best state stay, and measure it. Raises Differs."""
    check_chain(run)
    last, run.is_over = run.runner.state(), True
    keep_best(run)
    kept(run, last if run.guard is None else run.guard.state)
    end_record(run)
    if run.monitor:
        run.result.findings = run.monitor.findings(last, run.result.losses)
        run.result.movement = run.monitor.movement(run.result.state)
    run.result.evaluation_after = evaluate(run, "after")
    run.result.yardstick.constant = constant_answer(run.plan, run.data)


def check_chain(run: TrainingRun) -> None:
    """Compare what a device says of its chain and of its state. Raises Differs."""
    has_chain = run.plan.learning.chain is not None
    if run.verifier is not None and has_chain and is_device(run.runner):
        found = run.verifier.compare_chain(device_of(run.runner))
        if found is not None:
            raise Differs(found)


def stop(run: TrainingRun) -> None:
    """Let the best state so far stay, or the last without the guard, as somebody has asked to stop.

    Raises KeyboardInterrupt, with the signal, if nothing was measured or learned yet.
    """
    number = run.interrupt.number
    if not run.result.steps if run.guard is None else run.guard.best is None:
        raise KeyboardInterrupt(number)
    if not run.is_over:
        with run.interrupt.keeping():
            checkpoint(run)
    keep_best(run)
    kept(run, run.runner.state() if run.guard is None else run.guard.state)
    end_record(run)
    run.result.interrupted, run.result.signal = True, number


def keep_known(run: TrainingRun) -> None:
    """Keep what is known of a run that has failed: all of it, where a port's device is lost."""
    last = run.last_known()
    if last is not None and not run.is_over:
        checkpoint(run, last)
    last = run.seen if last is None else last
    if run.result.steps and (state := last if run.guard is None else run.guard.state):
        kept(run, state)


def kept(run: TrainingRun, state: bytes) -> None:
    """The state is what the run has come to: it is kept before anything else is done."""
    run.result.state = state
    if run.keep is not None:
        with run.interrupt.keeping():
            run.keep(state)


def keep_best(run: TrainingRun) -> None:
    """Take up the guard's best state, unless it is the one there is.

    The state is taken up whole, its step number too: so it is one that this seed leads to, and
    going on from it gives what going on at that step gave.
    """
    if run.guard is not None and run.runner.state() != run.guard.state:
        for trained in run.trained:
            trained.load(run.guard.state)
        tell_record(run, "restored", state=run.guard.state)


def with_seed(plan: TrainingPlan, state: bytes, seed: int) -> bytes:
    """The state with another seed."""
    tensors = unpack_state(plan, state)
    tensors[plan.learning.sgd][0] = seed
    return pack_state(plan, tensors)


def lay_out(run: TrainingRun, feed: Feed) -> None:
    """Say how long the run will be."""
    run.result.planned_steps = len(feed.order)
    run.epochs = len(epochs(len(feed.order), run.data.epoch_steps, run.first_step))


def run_epochs(run: TrainingRun, feed: Feed) -> None:
    """All epochs of a run, or those up to where the guard stops it, or whoever is told of the
    progress. Raises Differs, Interrupted."""
    options, total = run.options, run.result.planned_steps
    rate = options.rate if options.rate is not None else initial_rate(run.plan)
    schedule = dict(rates(total, rate, options.schedule))
    tried_from = last_part(total, options.schedule)
    parts = epochs(total, run.data.epoch_steps, run.first_step)
    if run.result.guarded is not None and run.result.guarded.stopped_early:
        return  # of a checkpoint
    for epoch, (first, end) in enumerate(parts[run.epochs_done :], run.epochs_done + 1):
        run_steps(run, feed, schedule, epoch, max(first, run.result.steps), end)
        is_cut = run.result.stopped
        if is_cut:
            checkpoint(run)
        if run.monitor:
            run.seen = run.runner.state()
            run.monitor.look(run.seen)
        verdict = judge(run, first >= tried_from) if run.guard else None
        taken = int((feed.order[first:end] != NO_SAMPLE).sum())
        tell_epoch(run, epoch, len(parts), taken)
        if is_cut:
            return
        run.epochs_done = epoch
        is_last = run.result.stopped or (verdict is Verdict.STOP and end < total)
        if run.result.guarded is not None:
            run.result.guarded.stopped_early = is_last and not run.result.stopped
        checkpoint(run)
        if is_last:
            return


def tell_epoch(run: TrainingRun, epoch: int, epochs: int, steps: int) -> None:
    """Tell that an epoch has ended, in which so many steps were taken."""
    result = run.result
    if run.result.stopped or not steps:
        return
    losses = result.losses[-steps:]
    metric = None if result.guarded is None else result.guarded.values()[-1]
    tell(run, Progress("epoch", epoch, epochs, sum(losses) / len(losses), metric, epoch))


def judge(run: TrainingRun, counts: bool = False) -> Verdict:
    """Show the guard the state there is. Raises Differs, Interrupted."""
    assert run.guard is not None and run.result.guarded is not None
    score = validate(run)
    verdict = run.guard.report(score, run.runner.state, counts)
    guarded = run.result.guarded
    if verdict is Verdict.IMPROVED:
        guarded.best = len(guarded.curve)
    guarded.curve.append((run.first_step + run.result.steps, score))
    tell_record(
        run, "validation", step=run.first_step + run.result.steps, correct=score.correct,
        total=score.total, loss=score.loss, verdict=verdict.name.lower(),
    )  # fmt: skip
    return verdict


def validate(run: TrainingRun) -> ValidationScore:
    """The score of the validation samples. Raises Differs, Interrupted."""
    x, y = run.data.x_val, run.data.y_val
    assert x is not None and y is not None
    runner = run.runner
    if run.options.validate_on == "host":
        runner = ReferenceRunner(run.plan)
        runner.load(run.runner.state())
    found = evaluated(run, runner, "validate", x, y, run.classes)
    return ValidationScore(int(found.right.sum()), len(found), found.loss)


def evaluated(
    run: TrainingRun, runner: Runner, phase: str, x: Array, y: Array, classes: int
) -> Evaluation:
    """What the runner's state makes of samples. Raises Interrupted, and Differs if the reference
    computes otherwise."""

    def report(done: int, metric: float) -> None:
        run.report(Progress(phase, done, len(x), metric=metric))

    answers = (verified_answer(run, runner, sample) for sample in x)
    return evaluation(run.plan, x, y, classes, answers, report)


def verified_answer(run: TrainingRun, runner: Runner, sample: Array) -> Answer:
    """The runner's answer, which the reference computes at the same time, if the run verifies."""
    run.interrupt.check()
    if run.verifier is None:
        return answer(run.plan, runner, sample)
    expected = run.verifier.expect(partial(run.verifier.answer, sample))
    found = answer(run.plan, runner, sample)
    if found != expected():
        raise Differs(run.verifier.locate_prediction(device_of(run.runner), sample))
    return found


def evaluate(run: TrainingRun, phase: str) -> Evaluation | None:
    """What the runner makes of the test samples; None if they are clipped, or not to be looked at.
    Raises Interrupted, and Differs if the reference computes otherwise."""
    plan, data = run.plan, run.data
    if data.is_clipped("test") or not run.options.tests:
        return None
    classes = 0 if plan.task.active is None else classes_in_use(plan, run.runner.state())
    found = evaluated(run, run.runner, phase, data.x_test, data.y_test, classes)
    if plan.classes:
        run.result.yardstick.balanced[phase] = found.balanced_accuracy
    return found

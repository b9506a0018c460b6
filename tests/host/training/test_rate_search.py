# SPDX-License-Identifier: Apache-2.0
"""The search for a learning rate: the rule, what its trainings are, and what it says."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mcutrain.host.boards import chip_of
from mcutrain.host.building import linkless
from mcutrain.host.errors import BuildError
from mcutrain.host.request import Request
from mcutrain.host.training import in_process
from mcutrain.host.training.beforehand import settled
from mcutrain.host.training.bracket import HIGHEST, LOWEST, bracket, constant_loss, judging
from mcutrain.host.training.counted_time import (
    LEAST_STEPS,
    MACS_PER_MINUTE,
    STEP_MACS,
    steps_within,
)
from mcutrain.host.training.dataset import Dataset, load_dataset
from mcutrain.host.training.in_process import moved
from mcutrain.host.training.job import TrainingJob
from mcutrain.host.training.keeping import Keeper
from mcutrain.host.training.loop import train
from mcutrain.host.training.rate_choice import (
    NONE_LEARNS,
    RateChoice,
    Tried,
    nothing_learns,
    told,
)
from mcutrain.host.training.rate_search import (
    TRAININGS,
    find_rate,
    for_longer,
)
from mcutrain.host.training.rates import given_rate
from mcutrain.host.training.reporter import SILENT
from mcutrain.host.training.run import run_job
from mcutrain.host.training.runners import ReferenceRunner
from mcutrain.host.training.training_options import TrainingOptions
from mcutrain.trainer.chip import GENERIC
from mcutrain.trainer.errors import DataError
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import parse
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.autoencoder import autoencoder
from tests.support.command import Run
from tests.support.small_models import residual_model, write_dataset

OPTIONS = TrainingOptions(epochs=1, seed=3)


def valley(lowest: int, dead_above: int = HIGHEST - 1) -> Callable[[int], float]:
    """Losses least at k = ``lowest``; nothing learns at higher rates than 2**-dead_above."""
    return lambda k: 1.5 if k < dead_above else 0.5 + 0.1 * abs(k - lowest)


@pytest.mark.parametrize("start", [0, 3, 8, 9, 15, 20])
@pytest.mark.parametrize("lowest", [2, 7, 8, 13])
def test_the_least_loss_is_found_from_wherever_it_begins(start: int, lowest: int) -> None:
    found = bracket(valley(lowest), 1.5, start)

    assert found.learns
    assert min(found.losses, key=found.losses.__getitem__) == lowest
    assert next(iter(found.losses)) == start
    # A loss of 0.6 beside the least of 0.5 is not within a tenth and 0.01 of it.
    assert found.chosen == lowest


def test_rates_that_kill_a_layer_are_gone_below() -> None:
    found = bracket(valley(12, dead_above=11), 1.5, 2)

    assert [*found.losses][:9] == [2, 4, 6, 8, 0, -2, -4, 10, 12]
    assert found.chosen == 12
    diverged = bracket(lambda k: 9.0 if k < 11 else valley(12)(k), 1.5, 2)
    assert [*diverged.losses][:6] == [2, 4, 6, 8, 10, 12]


def test_a_loss_above_that_of_one_answer_is_of_a_broken_network() -> None:
    """As on noisy images: the first state is far off, and high rates break it and end nearer."""
    losses = {
        5: 12.8,
        6: 13.4,
        7: 2.9,
        8: 4.4,
        9: 3.5,
        11: 2.03,
        12: 1.57,
        13: 1.64,
        14: 1.7,
        15: 1.9,
    }
    found = bracket(losses.__getitem__, 5.7, 7, constant=2.303)

    assert found.chosen == 12 and found.learns
    assert bracket(losses.__getitem__, 5.7, 7).chosen == 7


def test_one_class_alone_has_no_answer_to_beat() -> None:
    assert constant_loss(np.zeros(9)) == math.inf
    assert constant_loss(np.repeat(np.arange(100), 3)) == pytest.approx(math.log(100))


def test_a_start_too_low_to_see_anything_turns_soon() -> None:
    found = bracket(lambda k: 1.5 if k > 5 else valley(3)(k), 1.5, 8)

    assert [*found.losses][:6] == [8, 10, 12, 14, 6, 4]
    assert found.chosen == 3


def test_the_lowest_rate_that_is_nearly_the_best_is_taken() -> None:
    losses = {6: 0.30, 7: 0.20, 8: 0.205, 9: 0.208, 10: 0.24, 5: 0.5, 4: 0.9}

    assert bracket(losses.__getitem__, 2.0, 8).chosen == 9
    assert bracket(losses.__getitem__, 2.0, 8, tolerated=0.0).chosen == 8


def test_nothing_learns_at_any_rate() -> None:
    found = bracket(lambda k: 1.5 if k > 6 else math.inf, 1.5, 5)

    assert not found.learns
    assert found.chosen == max(k for k in found.losses)
    assert {*found.losses} == {*range(5, LOWEST + 1, 2), *range(3, HIGHEST - 1, -2)}
    assert not bracket(lambda k: math.inf, 1.5, 5).learns


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("rate") / "d.npz")


def plan_of(scheme: str = "last:2", **options: Any) -> TrainingPlan:
    return make_plan(parse(residual_model(), "small"), PlanOptions(scheme, **options))


def reals(plan: TrainingPlan) -> Dataset:
    """For the autoencoder: it is to give back what it gets."""
    x = np.random.default_rng(0).integers(-60, 60, (24, 12)).astype(np.int8)
    return Dataset(x, x, x, x)


def silent(*ignored: object) -> None:
    pass


FORMATS: dict[str, dict[str, Any]] = {
    "all layers of a new head": {"scheme": "full", "classes": 4},
    "E8 and int8 weights": {"errors": "e8", "weights": "int8"},
    "accumulation": {"accumulate": 4},
}


@pytest.mark.parametrize("name", FORMATS)
def test_a_training_of_the_search_is_the_run_itself(name: str, labelled: Path) -> None:
    """Bit for bit: the rate that is taken has the losses of the run, from latents too."""
    plan = plan_of(**FORMATS[name])
    data = load_dataset(labelled, plan)
    choice = find_rate(plan, data, OPTIONS, silent)
    run = train(plan, data, ReferenceRunner(plan), replace(OPTIONS, rate=choice.chosen), silent)

    losses = {one.rate: one.loss for one in choice.tried}
    assert losses[choice.chosen] == np.mean(run.losses[-judging(len(run.losses)) :])
    assert choice.learns and choice.steps == choice.run_steps == len(data.x_train)


def test_given_values_are_approached() -> None:
    plan = make_plan(parse(autoencoder(), "auto"), PlanOptions("full", loss="mse"))
    data = reals(plan)
    options = TrainingOptions(epochs=4, seed=1)
    choice = find_rate(plan, data, options, silent)
    run = train(plan, data, ReferenceRunner(plan), replace(options, rate=choice.chosen), silent)

    assert choice.learns and run.before is not None and run.after is not None
    assert run.after < 0.7 * run.before


@pytest.mark.board
def test_the_compiled_library_finds_what_the_reference_finds(
    labelled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of()
    data, found = load_dataset(labelled, plan), []
    for seconds in (math.inf, 0.0):
        monkeypatch.setattr(in_process, "QUICK_SECONDS", seconds)
        found.append(find_rate(plan, data, OPTIONS, silent))

    assert [choice.compiled for choice in found] == [False, True]
    assert replace(found[0], seconds=0, compiled=True) == replace(found[1], seconds=0)


def test_a_compiler_that_fails_is_done_without(
    labelled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of()
    monkeypatch.setattr(in_process, "QUICK_SECONDS", 0.0)
    monkeypatch.setattr(linkless, "compile_c", failing)
    choice = find_rate(plan, load_dataset(labelled, plan), OPTIONS, silent)

    assert choice.learns and not choice.compiled


def failing(*ignored: object) -> None:
    raise BuildError("gcc failed")


def test_a_run_that_goes_on_is_searched_from_its_state(labelled: Path) -> None:
    plan = plan_of()
    data = load_dataset(labelled, plan)
    state = train(plan, data, ReferenceRunner(plan), replace(OPTIONS, rate=2**-6), silent).state
    choice = find_rate(plan, data, OPTIONS, silent, state)
    fresh = find_rate(plan, data, OPTIONS, silent)

    assert choice.first_loss is not None and fresh.first_loss is not None
    assert choice.first_loss < 0.8 * fresh.first_loss


def test_a_state_moves_to_the_plan_of_another_chip(labelled: Path) -> None:
    """Where instructions, and so the places in memory, may be others."""
    plan, model = plan_of(), parse(residual_model(), "small")
    board = make_plan(model, PlanOptions("last:2"), chip_of("mps2_an386"))
    runner = ReferenceRunner(plan)
    train(plan, load_dataset(labelled, plan), runner, replace(OPTIONS, steps=5), silent)
    other = ReferenceRunner(board)
    other.load(moved(plan, runner.state(), board))

    assert board.needs and other.digest() == runner.digest()


def job_of(tmp_path: Path, data: Path, **options: Any) -> TrainingJob:
    model = tmp_path / "small.tflite"
    model.write_bytes(residual_model())
    request = Request.of(model, "last:2", classes=4)
    return TrainingJob(request, data, "reference", None, OPTIONS, **options)


def test_a_stream_is_searched_with_its_replays(tmp_path: Path, labelled: Path) -> None:
    outcome = run_job(job_of(tmp_path, labelled, replay=4))
    choice, losses = outcome.job.rate, outcome.result.losses

    assert choice is not None and choice.run_steps == len(losses) > 32
    tried = {one.rate: one.loss for one in choice.tried}
    assert tried[choice.chosen] == np.mean(losses[-judging(len(losses)) :])


def test_a_board_is_given_what_the_reference_would_be(tmp_path: Path, labelled: Path) -> None:
    """However its memory is used: a budget that shortens the trainings counts alike."""
    job, found = job_of(tmp_path, labelled), []
    macs = TRAININGS * (job.request.plan().step_macs + STEP_MACS)
    job = replace(job, options=replace(OPTIONS, epochs=4), rate_minutes=80 * macs / MACS_PER_MINUTE)
    small = replace(job, request=job.request.but(recompute=True, latent_slots=2))
    for one, chip in ((job, GENERIC), (small, chip_of("mps2_an386"))):
        plan = one.request.on(chip).plan()
        data = load_dataset(labelled, plan)
        found.append(settled(one, plan, data, None, SILENT, Keeper()))

    first, second = (job.rate for job in found)
    assert first is not None and second is not None and first.tried == second.tried
    assert LEAST_STEPS < first.steps == second.steps < first.run_steps
    assert found[1].options.rate == first.chosen


def test_a_budget_is_counted_and_not_timed(labelled: Path) -> None:
    plan = plan_of("full")
    data = load_dataset(labelled, plan)
    options = TrainingOptions(epochs=4, seed=0)
    minutes = 1e-2
    while steps_within(plan, TRAININGS, 128, 32, minutes) == 128:
        minutes /= 1.5
    least = steps_within(plan, TRAININGS, 128, 32, 1e-12)
    choice = find_rate(plan, data, options, silent, minutes=1e-12)

    assert LEAST_STEPS == least <= steps_within(plan, TRAININGS, 128, 32, minutes) < 128
    assert (choice.steps, choice.run_steps) == (least, 128)
    assert f"of the first {least} of 128 steps" in told(choice)[0]
    assert "--lr-minutes" in told(choice)[1]


def test_a_run_that_is_much_longer_than_its_trainings_has_a_lower_rate(labelled: Path) -> None:
    """Than a run that is as long as they are, and has the same trainings."""
    plan = plan_of("full")
    data = load_dataset(labelled, plan)
    options = TrainingOptions(epochs=16, seed=0)
    choice = find_rate(plan, data, options, silent, minutes=1e-12)
    short = find_rate(plan, data, replace(options, steps=choice.steps), silent)

    assert (choice.run_steps, choice.tried) == (512, short.tried)
    assert choice.chosen == short.chosen / 2 ** for_longer(512, choice.steps) == short.chosen / 2
    assert "lower than the best of the trainings" in told(replace(choice, chosen=2.0**-24))[2]
    assert len(told(short)) == 1


def test_the_prefix_counts_once_for_a_sample() -> None:
    plan = plan_of("head")
    budget = 10**6
    steps = [steps_within(plan, TRAININGS, budget, samples, 0.1) for samples in (1, 100, budget)]

    assert steps[0] > steps[1] > steps[2] > LEAST_STEPS


def test_labels_without_a_reason_are_said_to_be_so(labelled: Path) -> None:
    """The same sample with each label: no rate learns, and words say what to look at."""
    plan = plan_of("head", classes=4)
    data = load_dataset(labelled, plan)
    data = replace(data, x_train=np.repeat(data.x_train[:1], 32, axis=0))
    choice = find_rate(plan, data, OPTIONS, silent)

    assert not choice.learns and not choice.to_json()["learns"]
    assert "nothing learns at any rate from 2^-" in told(choice)[-1]
    assert choice.text == NONE_LEARNS and told(choice)[0].startswith("learning rate: looked for in")
    assert "--lr" not in told(choice)[0]


def test_trainings_that_all_diverge_are_said_to_have() -> None:
    tried = tuple(Tried(rate, math.inf) for rate in (2.0, 4.0))
    choice = RateChoice(2.0, tried, 1.5, 4, 4, learns=False)

    assert "the loss was 1.5 before and all of them diverged. Look" in nothing_learns(choice)


def test_a_run_without_steps_has_nothing_to_look_for(labelled: Path) -> None:
    plan = plan_of()
    data = load_dataset(labelled, plan)

    assert find_rate(plan, data, TrainingOptions(epochs=0), silent) == RateChoice(2.0**-6)


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "256", "1e-40", "fast", ""])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(DataError, match=r"is no learning rate: give a number .*, or auto$"):
        given_rate(text)


def test_the_command_shows_what_was_tried(run: Run, tmp_path: Path, labelled: Path) -> None:
    job = job_of(tmp_path, labelled)
    args = ("train", job.request.model, "--data", labelled, "--epochs", 1, "--no-guard")
    shown = run(*args).out
    ran = run(*args, "--json", "--report", tmp_path / "r.html").json["rate"]
    given = run(*args, "--lr", 0.02, "--json").json["rate"]

    assert ran["trainings"] == len(ran["tried"]) >= 4
    assert ran["chosen"] in [one["rate"] for one in ran["tried"]]
    assert ran["steps"] == ran["run_steps"] == 32
    assert "loss at the end, by learning rate" in shown
    assert f"--lr {ran['chosen']:g} takes it without" in shown
    page = (tmp_path / "r.html").read_text()
    assert f"mcutrain tried {ran['trainings']} rates, each for 32 of 32 steps" in page
    assert (given["chosen"], given["trainings"], given["tried"]) == (0.02, 0, [])


def test_a_budget_of_no_time_is_refused(run: Run, tmp_path: Path, labelled: Path) -> None:
    job = job_of(tmp_path, labelled)
    for minutes in ("0", "-1", "nan", "inf"):
        ran = run("train", job.request.model, "--data", labelled, "--lr-minutes", minutes)
        assert ran.status == 1 and len(ran.err.splitlines()) == 1
        assert ran.err.startswith("error: --lr-minutes is a number of minutes above 0")

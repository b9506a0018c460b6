# SPDX-License-Identifier: Apache-2.0
"""Budgets of whole builds, and of flash: what is promised is what the finished file takes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from mcutrain.host.boards import chip_of
from mcutrain.host.building.firmware import build
from mcutrain.host.building.source import constant_bytes
from mcutrain.host.building.target import Target
from mcutrain.host.cost import measured
from mcutrain.host.request import Request
from mcutrain.host.search.budget import NO_OVERHEAD, Limits, Overhead
from mcutrain.host.shrinking import builds
from mcutrain.host.shrinking.builds import Builder, chosen
from mcutrain.host.shrinking.choice import Choice, choose
from mcutrain.host.shrinking.formats import begun
from mcutrain.host.shrinking.job import ShrinkJob, run_shrink
from mcutrain.host.shrinking.phases import read
from mcutrain.host.shrinking.prices import CutPrices, planned
from mcutrain.host.training.reporter import SILENT
from mcutrain.trainer.errors import BudgetError
from mcutrain.trainer.model import Model
from mcutrain.trainer.nibbles import nibble_layers
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.shrinking.groups import Groups, channel_groups
from mcutrain.trainer.tflite.reader import load
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.command import Run
from tests.support.small_models import residual_model, write_dataset

BOARD = "mps2_an386"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("small") / "small.tflite"
    file.write_bytes(residual_model())
    return file


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data") / "data.npz")


@pytest.fixture
def model(path: Path) -> Model:
    return load(path)


@pytest.fixture
def groups(model: Model) -> Groups:
    return channel_groups(model)


def job_of(
    path: Path, data: Path, output: Path, sram: int | None = None, **asked: object
) -> ShrinkJob:
    return ShrinkJob(
        Request.of(path, **asked), data, sram, output=output, epochs=1, steps=32, rate=2**-6,
        unlabelled=True,
    )  # fmt: skip


@dataclass(frozen=True)
class Told(Builder):
    """A builder that builds nothing: its builds have what it is told, one after another."""

    each: Iterator[Overhead | BudgetError] = field(default_factory=lambda: iter(()))

    def overhead(self, plan: TrainingPlan) -> Overhead:
        found = next(self.each)
        if isinstance(found, BudgetError):
            raise found
        return found


def told(*each: Overhead | BudgetError) -> Told:
    return Told(Target.parse(f"sim:{BOARD}"), each=iter(each))


def choice_of(price: CutPrices) -> Choice:
    scores = {group.name: 1.0 + 0 * group.places[next(iter(group.places))][:, 0]
              for group in price.groups.groups}  # fmt: skip
    return choose(price.groups, scores, price)


@pytest.fixture
def price(path: Path, model: Model, groups: Groups) -> CutPrices:
    request = Request.of(path, "full", errors="e8", weights="int8")
    whole = planned(request, model)
    limit = whole.memory.arena_bytes + whole.memory.state_bytes - 100
    return CutPrices(request, model, groups, Limits(limit))


def test_what_a_build_has_beside_its_plan_counts(price: CutPrices) -> None:
    found, overhead = chosen(price, told(Overhead(300), Overhead(290)), choice_of)
    alone = choice_of(price)

    assert overhead.sram >= 300
    assert found.cut.price.cost.sram + 290 <= price.limits.sram < alone.cut.price.cost.sram + 300


def test_a_build_that_fits_is_the_last(price: CutPrices) -> None:
    found, overhead = chosen(price, told(NO_OVERHEAD), choice_of)

    assert found.cut.kept == choice_of(price).cut.kept and overhead == NO_OVERHEAD


def test_without_a_target_nothing_is_built(price: CutPrices) -> None:
    found, _ = chosen(price, builds.NOTHING_BUILT, choice_of)

    assert found.cut.kept == choice_of(price).cut.kept


def test_flash_and_instructions_are_corrected_too(price: CutPrices) -> None:
    cost = CutPrices(price.request, price.model, price.groups, Limits(10**6, 10**6, 10**9))({}).cost
    limits = Limits(10**6, cost.constants, cost.instructions)
    wide = replace(price, limits=limits, known={})
    found, overhead = chosen(wide, told(Overhead(0, 40, 1.25), Overhead(0, 40, 1.25)), choice_of)

    assert (overhead.flash, overhead.factor) == (40, 1.25)
    assert found.cut.price.cost.constants + 40 <= cost.constants
    assert found.cut.price.cost.instructions * 1.25 <= cost.instructions


def test_a_board_that_is_too_small_is_told(price: CutPrices) -> None:
    refusal = BudgetError("needs more than the board has", 300, 100)
    unlimited = replace(price, limits=Limits(builds.UNLIMITED), known={})
    with pytest.raises(BudgetError, match="than the board has"):
        chosen(unlimited, told(refusal, refusal), choice_of)


def test_builds_that_never_fit_end(price: CutPrices) -> None:
    same = choice_of(price)
    with pytest.raises(BudgetError, match="no smaller model fits when it is built"):
        chosen(price, told(*[Overhead(500)] * 9), lambda _: same)


def test_formats_are_taken_if_their_own_build_fits(path: Path, model: Model) -> None:
    request = Request.of(path, "full").resolved()
    asked = planned(request, model)
    whole = asked.memory.arena_bytes + asked.memory.state_bytes
    same = begun(request, model, whole + 50, told(*[Overhead(50)] * 12))
    other = begun(request, model, whole + 50, told(*[Overhead(51)] * 12))

    assert same.request == request and same.overhead == Overhead(50)
    assert other.request.options.errors == "e8" and other.overhead == Overhead(51)


@pytest.mark.slow
@pytest.mark.board
def test_a_build_for_the_target_is_never_above_the_budget(
    path: Path, data: Path, tmp_path: Path
) -> None:
    target = Target.parse(f"sim:{BOARD}")
    request = Request.of(path, "full", errors="e8", weights="int8")
    whole = measured(build(request.on(target.chip).plan_of(load(path)), target))
    limits = Limits(whole["sram_bytes"] - 200, whole["flash_bytes"] - 100)
    job = job_of(
        path, data, tmp_path / "out.tflite", limits.sram, update="full", flash=limits.flash
    )
    found = run_shrink(replace(job, target=target.name), SILENT).to_json()
    small, command = load(tmp_path / "out.tflite"), found["command"]
    options = replace(PlanOptions("full", errors="e8", weights="int8"), flash=limits.flash)
    cost = measured(build(make_plan(small, options, chip_of(BOARD)), target))

    assert limits.flash is not None
    assert cost["sram_bytes"] <= limits.sram and cost["flash_bytes"] <= limits.flash
    assert found["build"] == {
        "target": target.name,
        "sram_bytes": cost["sram_bytes"],
        "flash_bytes": cost["flash_bytes"],
    }
    assert f"--target {target.name}" in command and "--errors e8 --weights int8" in command


@pytest.mark.parametrize("update", ["last:2", "head"])
def test_the_flash_of_weights_of_four_bits_is_that_of_the_finished_file(
    path: Path, data: Path, tmp_path: Path, update: str
) -> None:
    options = PlanOptions(update, frozen="int4")
    whole = constant_bytes(make_plan(load(path), options))
    job = job_of(
        path, data, tmp_path / "out.tflite", update=update, frozen="int4", flash=whole - 400
    )
    found = run_shrink(job, SILENT)
    promised = read(next(job.folder.glob("choice-*.npz")))
    plan = make_plan(load(job.output), replace(options, flash=whole - 400))
    assert promised is not None
    cost = promised.told["cut"]["price"]["cost"]

    # Tables that come out equal are stored once, which only the finished weights tell.
    assert constant_bytes(plan) == found.prices[-1].cost.constants <= cost["constants"]
    assert constant_bytes(plan) <= whole - 400 and nibble_layers(plan.operations)
    assert plan.memory.arena_bytes <= cost["arena"]


def test_four_bits_are_enough_for_a_flash_that_bytes_pass(
    path: Path, model: Model, groups: Groups
) -> None:
    asked = Request.of(path, "last:2")
    int8, int4 = (
        CutPrices(request, model, groups, Limits(10**6, 1))({}).cost.constants
        for request in (asked, asked.but(frozen="int4"))
    )

    assert int4 < int8
    assert not CutPrices(asked.but(frozen="int4", flash=int4), model, groups, Limits(10**6, int4))(
        {}
    ).excess


def test_a_model_above_its_flash_is_cut(path: Path, data: Path, tmp_path: Path) -> None:
    """A plan of the whole model is refused."""
    flash = constant_bytes(make_plan(load(path), PlanOptions("full"))) - 300
    job = job_of(path, data, tmp_path / "out.tflite", update="full", flash=flash)
    found = run_shrink(job, SILENT)

    assert found.prices[-1].cost.constants <= flash < found.prices[0].cost.constants
    assert constant_bytes(make_plan(load(job.output), PlanOptions("full", flash=flash))) <= flash


def test_a_search_does_not_judge_four_bits(run: Run, path: Path, data: Path) -> None:
    found = run("shrink", path, "--data", data, "--sram", 1300, "--search", "--frozen", "int4")

    assert found.status == 1 and "--search judges weights of int8" in found.err

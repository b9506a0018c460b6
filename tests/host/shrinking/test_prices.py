# SPDX-License-Identifier: Apache-2.0
"""What cuts of a real model take, the choice among them, and what is begun with."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from mcutrain.host.budget.fit import ram_bytes
from mcutrain.host.request import Request
from mcutrain.host.search.budget import Limits, Overhead
from mcutrain.host.shrinking.choice import choose
from mcutrain.host.shrinking.constant import constant_units
from mcutrain.host.shrinking.formats import begun
from mcutrain.host.shrinking.prices import CutPrices
from mcutrain.host.shrinking.scores import taylor_scores
from mcutrain.trainer.chip import Chip, Memory
from mcutrain.trainer.errors import BudgetError
from mcutrain.trainer.model import Model, forward
from mcutrain.trainer.ops.error import E8
from mcutrain.trainer.shrinking.cut import Kept, cut_channels
from mcutrain.trainer.shrinking.groups import Groups, channel_groups
from mcutrain.trainer.tflite.reader import load
from tests.support.small_models import drawn_samples, residual_model


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "small.tflite"
    file.write_bytes(residual_model())
    return file


@pytest.fixture
def request_(path: Path) -> Request:
    return Request.of(path, "full")


@pytest.fixture
def model(path: Path) -> Model:
    return load(path)


@pytest.fixture
def groups(model: Model) -> Groups:
    return channel_groups(model)


def keep(groups: Groups, *units: int) -> Kept:
    (group,) = groups.groups
    return {group.name: units}


def test_a_price_is_that_of_the_cut_models_plan(
    request_: Request, model: Model, groups: Groups
) -> None:
    whole = request_.plan_of(model, thorough=False)
    price = CutPrices(request_, model, groups, Limits(10**6))
    kept = keep(groups, 0, 2, 3, 5)
    smaller = request_.plan_of(cut_channels(model, groups, kept), thorough=False)

    assert price({}).cost.sram == ram_bytes(whole)
    assert price(kept).cost.sram == ram_bytes(smaller) < ram_bytes(whole)
    assert price(kept).excess == price(kept).crowding == 0


def test_what_is_held_beside_arena_and_state_counts(
    request_: Request, model: Model, groups: Groups
) -> None:
    request = request_.but(update="last:2", latent_slots=3, receive_ahead=True)
    price = CutPrices(request, model, groups, Limits(10**6))

    assert price({}).cost.sram == ram_bytes(request.plan_of(model, thorough=False))


def test_how_many_units_stay_decides_not_which(
    request_: Request, model: Model, groups: Groups
) -> None:
    price = CutPrices(request_, model, groups, Limits(10**6))
    assert price(keep(groups, 0, 1, 2)) is price(keep(groups, 4, 6, 7))
    assert price({}) is price(keep(groups, *range(8)))
    assert len(price.known) == 2


def test_each_limit_that_is_passed_adds_to_the_excess(
    request_: Request, model: Model, groups: Groups
) -> None:
    cost = CutPrices(request_, model, groups, Limits(1, 1, 1))({}).cost
    assert min(cost.sram, cost.constants, cost.instructions) > 1000
    half = Limits(cost.sram // 2, cost.constants, cost.instructions * 2)
    one = CutPrices(request_, model, groups, half)({})
    both = CutPrices(
        request_, model, groups, Limits(cost.sram // 2, cost.constants // 2), Overhead(flash=100)
    )({})

    assert one.excess == cost.sram / (cost.sram // 2) - 1
    assert both.excess == one.excess + (cost.constants + 100) / (cost.constants // 2) - 1
    assert one.crowding > 0


def test_memories_beside_the_main_ram_are_left_out(
    request_: Request, model: Model, groups: Groups
) -> None:
    chip = Chip("small", ram_bytes=600, beside=(Memory("bank", 300),))
    price = CutPrices(request_.on(chip), model, groups, Limits(500))

    assert price({}).excess > 0


@pytest.mark.parametrize(
    ("update", "share"),
    [("full", 0.8), ("full", 0.4), ("last:2", 0.5), ("head", 0.95), ("head", 0.3)],
)
def test_a_choice_is_never_above_the_budget_by_the_plan_that_is_built(
    request_: Request, model: Model, groups: Groups, update: str, share: float
) -> None:
    request = request_.but(update=update)
    (x, y), _ = drawn_samples(1)
    scores = taylor_scores(model, groups, x.reshape(len(x), -1), y)
    limit = round(share * ram_bytes(request.plan_of(model)))
    price = CutPrices(request, model, groups, Limits(limit))
    least = price(keep(groups, 0)).cost.sram
    if least > limit:
        with pytest.raises(BudgetError, match=f"no cut reaches {limit:,}") as refused:
            choose(groups, scores, price)
        assert refused.value.needed_bytes == least
        return
    choice = choose(groups, scores, price)
    smaller = cut_channels(model, groups, choice.cut.kept)

    assert ram_bytes(request.plan_of(smaller)) <= limit
    assert choice.path[0].kept == {} and choice.path[-1] is choice.cut


def test_a_refusal_names_the_least_the_peak_and_what_stays(
    request_: Request, model: Model, groups: Groups
) -> None:
    price = CutPrices(request_, model, groups, Limits(300))
    least = price(keep(groups, 0)).cost.sram
    told = str(price.refusal(keep(groups, 0)))

    assert re.match(
        rf"no cut reaches 300 bytes of RAM: with as few channels as can be, full needs {least:,} "
        r"\(arena [\d,]+, learned state [\d,]+\)\. The arena is fullest at \w+ \(\w+\): \w+ [\d,]+",
        told,
    )
    assert "Cannot be cut: fully_connected_6, it is the output of the model." in told
    assert "\n" not in told


def test_formats_come_before_channels_in_the_order_of_their_price(
    request_: Request, model: Model
) -> None:
    request = request_.resolved()
    whole, e8 = (
        ram_bytes(r.plan_of(model)) for r in (request, request.but(errors=E8.name))
    )  # fmt: skip

    assert begun(request, model, whole).request == request
    found = begun(request, model, e8)
    assert found.fits and found.request.options.errors == E8.name


def test_a_cut_begins_with_all_formats_and_nothing_that_is_computed_again(
    request_: Request, model: Model
) -> None:
    found = begun(request_.resolved(), model, 500)
    options = found.request.options

    assert not found.fits
    assert (options.errors, options.weights) == (E8.name, "int8")
    assert not options.recomputes
    assert any(step.request.options.recomputes for step in found.fit.steps)


def test_what_was_asked_for_is_kept(request_: Request, model: Model) -> None:
    request = request_.but(errors="e12", recompute=True).resolved()
    options = begun(request, model, 500).request.options

    assert (options.errors, options.weights, options.recomputes) == ("e12", "int8", True)


def constant_at(model: Model, unit: int) -> None:
    """Make a unit of the residual network constant: its filters are 0, the stem's bias below 0."""
    for node in model.weighted[:-1]:
        w, b = (t.data for t in node.inputs[1:3])
        assert w is not None and b is not None
        (w[..., unit] if node.op.by_channel else w[unit])[...] = 0  # type: ignore[attr-defined]
        b[unit] = -900


def test_constant_units_are_found_and_leave_without_changing_a_bit(
    model: Model, groups: Groups
) -> None:
    (group,) = groups.groups
    assert not constant_units(model, groups)[group.name].any()
    constant_at(model, 5)
    found = constant_units(model, groups)
    samples = np.random.default_rng(0).integers(-128, 128, (4, *model.input.type.shape))
    values = [forward(model, x.astype(np.int8)) for x in samples]
    kept = tuple(int(k) for k in np.flatnonzero(~found[group.name]))
    means = {
        t: np.mean([v[t].reshape(-1, t.type.shape[-1]).mean(axis=0) for v in values], axis=0)
        for t in group.places
    }
    smaller = cut_channels(model, groups, {group.name: kept}, means)

    assert np.flatnonzero(found[group.name]).tolist() == [5]
    for x, before in zip(samples, values, strict=True):
        after = forward(smaller, x.astype(np.int8))[smaller.output]
        np.testing.assert_array_equal(after, before[model.output])


def test_a_constant_that_padding_does_not_have_is_not_exact(model: Model, groups: Groups) -> None:
    """A stem that gives another constant than zero is not constant behind a padded depthwise."""
    constant_at(model, 5)
    b = model.weighted[0].inputs[2].data
    assert b is not None
    b[5] = 10**6
    w = model.weighted[1].inputs[1].data
    assert w is not None
    w[..., 5] = 1

    assert not constant_units(model, groups)["conv_2d_0"].any()

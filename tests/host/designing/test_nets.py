# SPDX-License-Identifier: Apache-2.0
"""The nets that a design chooses from: what they are made of, and that their plans tell their cost
before they are trained."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mcutrain.host.designing.handmade import HANDMADE
from mcutrain.host.designing.nets import (
    CHAIN,
    FLAT,
    GENES,
    MAX,
    RESIDUAL,
    Net,
    handmade_nets,
    least_nets,
)
from mcutrain.host.designing.pricing import NetPricer
from mcutrain.host.designing.proposals import Proposals, net_of
from mcutrain.host.designing.samples import CODES, RealSamples
from mcutrain.host.designing.workshop import Effort, Workshop
from mcutrain.host.request import Request
from mcutrain.host.search.budget import Limits
from mcutrain.trainer.errors import BudgetError
from mcutrain.trainer.making.float_layers import Add, DepthwiseConv2D

PLAIN: dict[str, int] = {name: values[0] for name, values in GENES.items()}
DEEP = PLAIN | {"width": 8, "depth": 2, "halving": 2, "growth": 150, "norm": 1, "separable": 1}
SERIES, IMAGE = (24, 1, 3), (12, 12, 1)
GROUPS = np.repeat(np.arange(8), 6)


def samples(shape: tuple[int, int, int], group: Any = GROUPS) -> RealSamples:
    rng = np.random.default_rng(3)
    y = np.tile(np.arange(3), 16)
    x = 0.1 * rng.normal(size=(48, *shape)) + 0.2 * (y - 1).reshape(-1, 1, 1, 1)
    return RealSamples(x.astype(np.float32), y, group)


def workshop(folder: Path, shape: tuple[int, int, int] = SERIES, **changed: Any) -> Workshop:
    given: dict[str, Any] = {
        "request": Request.of(Path(), update="full"), "general": samples(shape), "own": None,
        "quant": CODES, "outputs": 3, "folder": folder, "folds": 4,
        "limits": Limits(1 << 20), "adaptation": 1, "rate": 2**-6,
    } | changed  # fmt: skip
    return Workshop(**given)


@pytest.mark.parametrize("family", [CHAIN, RESIDUAL])
@pytest.mark.parametrize("shape", [SERIES, IMAGE])
def test_genes_are_layers(family: str, shape: tuple[int, int, int]) -> None:
    net = Net.of(family, DEEP).build(shape, 5, seed=1)
    ops = [layer.op for layer in net.layers]
    first = net.shapes[net.layers[0].name]

    assert first == (shape[0], shape[1], 8)
    assert net.shapes[net.last] == (5,)
    assert sum(isinstance(op, Add) for op in ops) == (2 if family == RESIDUAL else 0)
    # Two blocks, the first of which moves by two and so has a layer of its own if inputs are added.
    assert sum(isinstance(op, DepthwiseConv2D) for op in ops) == (3 if family == RESIDUAL else 2)
    assert net.shapes[net.layers[-3].name][2] == 12  # half as wide again


def test_kernels_of_a_series_move_along_time_alone() -> None:
    for family, depth in itertools.product((CHAIN, RESIDUAL), GENES["depth"]):
        net = Net.of(family, DEEP | {"depth": depth, "kernel": 7}).build(SERIES, 2, 0)
        kernels = {layer.op.window.kernel for layer in net.layers if hasattr(layer.op, "window")}

        assert {width for _, width in kernels} == {1}


@pytest.mark.parametrize("pool", [FLAT, MAX])
def test_a_net_is_the_same_for_equal_seeds(pool: int) -> None:
    net = Net.of(CHAIN, DEEP | {"pool": pool})
    one, same, other = (net.build(IMAGE, 2, seed) for seed in (1, 1, 2))

    assert all((one.params[name] == same.params[name]).all() for name in one.params)
    assert any((one.params[name] != other.params[name]).any() for name in one.params)


def test_nets_made_by_hand_are_those_of_the_samples_kind() -> None:
    for shape, is_series in ((SERIES, True), (IMAGE, False)):
        found = handmade_nets(shape, "full")
        names = {net.family for net in found}

        assert names == {name for name, made in HANDMADE.items() if made.is_series == is_series}
        assert all(net.build((64, shape[1] * 40 or 1, 3) if not is_series else (64, 1, 3), 4, 0)
                   for net in found)  # fmt: skip


def test_the_watch_net_is_that_of_the_example() -> None:
    from mcutrain.examples.watch.make_watch import CLASSES, make_net

    made, ours = make_net(), Net.of("watch", {"percent": 100}).build((50, 1, 6), CLASSES, 1)
    shapes = [[p.shape for p in net.params.values()] for net in (made, ours)]

    assert shapes[0] == shapes[1]


def test_a_price_is_that_of_the_trained_net(tmp_path: Path) -> None:
    """RAM, flash and instructions do not depend on what the weights are."""
    shop = workshop(tmp_path)
    pricer = NetPricer(shop, Limits(100_000, 100_000, 10**9))
    net = Net.of(RESIDUAL, DEEP)
    cost = pricer.cost(net)
    path = shop.pretrained(net, Effort(1), shop.general)

    assert cost is not None and cost.instructions > 0 and cost.constants > 0
    assert pricer.of_file(net, path) == (cost, pricer.excess(net))
    assert shop.pretrained(net, Effort(1), shop.general) == path  # made once


def test_what_does_not_fit_is_made_narrower(tmp_path: Path) -> None:
    shop = workshop(tmp_path)
    wide = Net.of(CHAIN, PLAIN | {"width": 20, "stride": 2})
    budget = 800
    pricer = NetPricer(shop, Limits(budget))
    narrower = pricer.narrowed(wide)
    assert narrower is not None and not pricer.fits(wide)
    width = dict(narrower.genes)["width"]
    wider = GENES["width"][GENES["width"].index(width) + 1]

    assert pricer.fits(narrower) and not pricer.fits(wide.but(width=wider))
    assert NetPricer(shop, Limits(100)).narrowed(wide) is None


@pytest.mark.parametrize("limit", ["sram", "flash", "instructions"])
def test_a_budget_below_the_least_net_says_what_could_be_reached(
    limit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in {*HANDMADE} - {"watch"}:
        monkeypatch.delitem(HANDMADE, name)
    shop, given = workshop(tmp_path), {"sram": 100_000, "flash": None, "instructions": None}
    pricer = NetPricer(shop, Limits(**given | {limit: 50}))  # type: ignore[arg-type]
    with pytest.raises(BudgetError) as raised:
        pricer.handmade()
    reachable = Limits(**given | {limit: raised.value.needed_bytes})  # type: ignore[arg-type]
    assert any(NetPricer(shop, reachable).fits(net) for net in least_nets("full"))

    assert f"the budget is 50: {raised.value.needed_bytes - 50:,} more" in str(raised.value)


def test_a_net_that_the_samples_are_too_small_for_is_left_out(tmp_path: Path) -> None:
    pricer = NetPricer(workshop(tmp_path, (3, 1, 2)), Limits(100_000))

    assert pricer.cost(Net.of("watch", {"percent": 100})) is not None  # windows shrink with them
    assert all(pricer.cost(net) is not None for net in least_nets("full"))


def test_proposals_fit_differ_and_repeat(tmp_path: Path) -> None:
    def proposed(seed: int) -> list[Net]:
        pricer = NetPricer(workshop(tmp_path), Limits(8000))
        proposals = Proposals(pricer, seed, "full")
        found = []
        for k in range(2):
            net = proposals.next()
            assert net is not None and pricer.fits(net)
            proposals.tell(net, 0.1 * k)
            found.append(net)
        return found

    one, same, other = proposed(0), proposed(0), proposed(1)

    assert one == same != other
    assert len(set(one)) == len(one)


def test_genes_that_change_nothing_are_no_other_net() -> None:
    flat = {"family": RESIDUAL, **DEEP, "depth": 0}

    assert net_of(flat, "full") == net_of(flat | {"growth": 200, "halving": 1}, "full")
    assert net_of(flat, "full").family == CHAIN


@pytest.mark.exhaustive
def test_all_genes_can_be_planned_or_are_refused(tmp_path: Path) -> None:
    """No proposal ends a design: also of samples that most windows are too large for."""
    rng = np.random.default_rng(1)
    for shape in (SERIES, IMAGE, (2, 1, 1), (3, 2, 1)):
        pricer = NetPricer(workshop(tmp_path, shape), Limits(1 << 20))
        for _ in range(25):
            genes = {name: int(rng.choice(values)) for name, values in GENES.items()}
            pricer.cost(Net.of(str(rng.choice([CHAIN, RESIDUAL])), genes))


def test_each_seed_holds_other_people_out(tmp_path: Path) -> None:
    shop = workshop(tmp_path)
    held = [{*map(int, shop.held_groups(fold))} for fold in range(4)]

    assert set().union(*held) == {*range(8)} and sum(map(len, held)) == 8
    for fold in range(4):
        general, judging = shop.parts(fold)
        assert judging.group is not None and {*map(int, judging.group)} == held[fold]
        assert len(general) + len(judging) == 48


def test_own_samples_judge_and_all_of_the_others_are_learned(tmp_path: Path) -> None:
    own = samples(SERIES, None)
    general, judging = workshop(tmp_path, own=own).parts(2)

    assert len(general) == 48 and judging is own

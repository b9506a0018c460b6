# SPDX-License-Identifier: Apache-2.0
"""`mcutrain design`: what it writes, that it goes on where it stopped, what it refuses."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution

import mcutrain
from mcutrain.host.designing import nets, proposals
from mcutrain.host.designing import workshop as workshop_module
from mcutrain.host.designing.design import Designed, Judged, difference, spread
from mcutrain.host.designing.handmade import HANDMADE
from mcutrain.host.designing.nets import CHAIN, GENES, Net
from mcutrain.host.designing.report import verdict
from mcutrain.host.designing.samples import CODES, RealSamples
from mcutrain.host.designing.workshop import Workshop
from mcutrain.host.request import Request
from mcutrain.host.search.budget import Cost, Limits
from mcutrain.host.search.study import RECORDS
from mcutrain.host.search.trial import TrialScore
from mcutrain.host.training import tail as tail_module
from mcutrain.trainer.errors import BudgetError
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import load
from tests.support.command import AT_A_RATE, Run

BUDGET = 2000
QUICK: dict[str, Any] = {
    "trials": 2, "promote": 1, "epochs": 4, "adapt_epochs": 1, "validation": 0.5, "lr": 2**-6,
}  # fmt: skip
ASKED = (
    *AT_A_RATE, "--trials", 2, "--promote", 1, "--epochs", 4, "--adapt-epochs", 1,
    "--validation", 0.5, "--jobs", 1, "--json",
)  # fmt: skip


def arrays(people: int = 4, seed: int = 1) -> dict[str, Any]:
    """Series of 16 readings of two channels: three rhythms, each person at an own angle."""
    rng = np.random.default_rng(seed)
    y = np.tile(np.arange(3), 8 * people)
    group = np.repeat(np.arange(people), 24)
    angle = np.linspace(0, 6.28, 16) * (1 + y[:, None]) + rng.uniform(0, 6, (len(y), 1))
    turn = 0.4 * group[:, None]
    x = np.stack([np.sin(angle) * np.cos(turn), np.sin(angle) * np.sin(turn)], axis=2)
    x = np.clip(64 * x + rng.normal(0, 8, x.shape), -128, 127).astype(np.int8)
    return {"x_train": x, "y_train": y, "group_train": group}


@pytest.fixture
def in_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trains in the reference: for a few steps quicker than compiling each net. Shrinking takes
    thousands of steps, so that no cut fits here."""

    def refuse(*given: object) -> bytes:
        raise BudgetError("no cut fits", 0, 0)

    monkeypatch.setattr(tail_module, "native_compiler", lambda: None)
    monkeypatch.setattr(workshop_module, "shrunk", refuse)


@pytest.fixture(autouse=True)
def few_nets(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small space, so that little is planned and trained."""
    for name in {*HANDMADE} - {"watch"}:
        monkeypatch.delitem(HANDMADE, name)
    monkeypatch.setattr(nets, "PERCENTS", (50, 25))
    for name in proposals.SPACE:
        if name != "family":
            few = CategoricalDistribution(GENES[name][:2] if name == "width" else GENES[name][:1])
            monkeypatch.setitem(proposals.SPACE, name, few)
    monkeypatch.setitem(proposals.SPACE, "stride", CategoricalDistribution((2, 3)))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    np.savez(tmp_path / "people.npz", **arrays())
    return tmp_path / "people.npz"


def test_a_design_fits_and_goes_on_where_it_stopped(
    run: Run, data: Path, tmp_path: Path, in_numpy: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "net.tflite"
    asked = ("design", "--data", data, "--sram", BUDGET, "--output", output, *ASKED)
    found = run(*asked).json
    best = found["best"]
    plan = make_plan(load(output), PlanOptions(best["update"]))

    assert best["ram_bytes"] == plan.memory.arena_bytes + plan.memory.state_bytes <= BUDGET
    assert {one["kind"] for one in found["ranked"]} == {"by hand", "designed"}
    assert all(one["ram_bytes"] <= BUDGET for one in found["ranked"] + found["others"])
    assert {len(one["seeds"]) for one in found["ranked"]} == {3}
    accuracies = [one["confirmed"]["accuracy"] + one["confirmed"]["certainty"]
                  for one in found["ranked"]]  # fmt: skip
    assert accuracies == sorted(accuracies, reverse=True)
    assert best == found["ranked"][0]
    net = output.read_bytes()

    # A study that was cut short, in the middle of a line, and then trains what is missing alone.
    records = tmp_path / "net.study" / RECORDS
    lines = records.read_text().splitlines(keepends=True)
    records.write_text("".join(lines[:-6]) + lines[-6][:20])
    for path in sorted((tmp_path / "net.study" / "nets").iterdir())[1:]:
        assert path.suffix == ".tflite"
    output.unlink()
    assert run(*asked).json == found and output.read_bytes() == net

    def never(*given: object) -> bytes:
        raise AssertionError("it was trained already")

    monkeypatch.setattr(workshop_module.Workshop, "trained", never)
    assert run(*asked).json == found

    other = run(*asked, "--seed", 5)
    assert other.status == 1 and "is of another" in other.err


@pytest.mark.slow
@pytest.mark.exhaustive
def test_a_shrunk_net_is_among_the_candidates(run: Run, data: Path, tmp_path: Path) -> None:
    output = tmp_path / "net.tflite"
    asked = ("design", "--data", data, "--sram", BUDGET, "--output", output, "--update", "full")
    found = run(*asked, *ASKED).json
    (small,) = (one for one in found["ranked"] if one["kind"] == "shrunk")

    assert small["net"] == "watch, shrunk" and small["genes"]["sram"] == BUDGET
    assert 0 < small["ram_bytes"] <= BUDGET and len(small["seeds"]) == 3
    assert "watch, shrunk" in found["verdict"]


def test_the_next_command_trains_the_net(
    run: Run, data: Path, tmp_path: Path, in_numpy: None
) -> None:
    own = arrays(1, seed=9)
    whole = {**own, "x_test": own["x_train"], "y_test": own["y_train"]}
    np.savez(tmp_path / "own.npz", **whole)
    found = mcutrain.design(
        data, BUDGET, tmp_path / "net.tflite", own=tmp_path / "own.npz", update="last:2", **QUICK
    )
    told = found.to_json()
    words = shlex.split(told["next"])

    assert found.update == "last:2" and found.model.path == tmp_path / "net.tflite"
    assert found.accuracy == told["best"]["confirmed"]["accuracy"]
    assert found.verdict == told["verdict"] and "Design(" in repr(found)
    assert told["best"]["net"] in found._repr_html_()
    assert words[0] == "mcutrain" and run(*words[1:], "--epochs", 1, *AT_A_RATE).status == 0
    assert not [*tmp_path.glob("net.study*")]  # that of a call without one does not stay


def test_values_can_be_targets_and_a_table_says_which_net_is_best(
    run: Run, tmp_path: Path, in_numpy: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without groups, where some samples stand for people; that is said."""
    given = arrays()
    amount = np.random.default_rng(2).uniform(0.2, 1, len(given["y_train"]))
    x = (given["x_train"] * amount[:, None, None]).astype(np.int8)
    np.savez(tmp_path / "people.npz", x_train=x, y_train=amount)
    monkeypatch.chdir(tmp_path)
    ran = run("design", "--data", "people.npz", "--sram", BUDGET, "--update", "full", *ASKED[:-1])
    plan = make_plan(load(tmp_path / "net.tflite"), PlanOptions("full", loss="mse"))

    assert ran.status == 0, ran.err
    said = " ".join(ran.err.split())
    assert "the same people are in what is pretrained on and in what judges" in said
    assert "by hand" in ran.out and "designed" in ran.out and "better than" in ran.out
    assert "mse" in ran.out and plan.task.logits.type.size == 1
    command = "next: mcutrain train net.tflite --data own.npz --update full --loss mse"
    assert f"wrote net.tflite; {command}" in ran.out


REFUSED: list[tuple[tuple[Any, ...], str]] = [
    (("--sram", 100), "the budget is 100"),
    (("--sram", "64K", "--output", "net.bin"), "the net is a .tflite file"),
    (("--sram", "64K", "--validation", 1), "--validation is a share between 0 and 1"),
    (("--sram", "64K", "--from", "pool"), "--from is of a model that is there"),
    (("--sram", "64K", "--loss", "reconstruction"), "not for --loss reconstruction"),
    (("--sram", "64K", "--update", "s.toml"), "a scheme file names the layers of one net"),
    (("--sram", "64K", "--shape", "3x3"), "--shape 3x3 is 9"),
    (("--sram", "64K", "--window", 4), "--window says nothing of an .npz"),
    (("--sram", "64K", "--own", "no.npz"), "no.npz"),
]


@pytest.mark.parametrize(("asked", "said"), REFUSED, ids=[said for _, said in REFUSED])
def test_what_cannot_be_is_one_line(
    asked: tuple[Any, ...], said: str, run: Run, data: Path, monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    ran = run("design", "--data", data, *asked, "--quiet")

    assert ran.status == 1 and ran.out == ""
    assert len(ran.err.splitlines()) == 1 and said in ran.err, ran.err
    assert not (tmp_path / "net.tflite").exists()


@pytest.mark.parametrize(
    ("group", "said"),
    [
        (np.zeros(96, int), "names one group alone"),
        (np.arange(96), "has 1 sample: to learn from and to be judged by"),
    ],
)
def test_groups_that_cannot_judge_are_refused(
    group: Any, said: str, run: Run, data: Path, tmp_path: Path
) -> None:
    np.savez(data, **{**arrays(), "group_train": group})
    ran = run("design", "--data", data, "--sram", BUDGET, "-o", tmp_path / "n.tflite", "--quiet")

    assert ran.status == 1 and said in ran.err


def test_a_person_needs_two_samples_of_a_class(run: Run, data: Path, tmp_path: Path) -> None:
    given = arrays()
    given["group_train"][:3] = 99  # of three classes
    np.savez(data, **given)
    ran = run("design", "--data", data, "--sram", BUDGET, "-o", tmp_path / "n.tflite", "--quiet")

    assert ran.status == 1 and "group 99 has 3 samples, each of another class" in ran.err


def workshop(folder: Path, **changes: Any) -> Workshop:
    given = {"request": Request.of(Path(), "full"), "limits": Limits(BUDGET), "update": "full"}
    given |= {"x": np.zeros((12, 8, 1, 8), np.float32), "group": np.arange(12) % 3} | changes
    samples = RealSamples(given["x"], np.arange(12) % 2, given["group"])
    return Workshop(given["request"], samples, None, CODES, 2, folder, 3, given["limits"])


def test_samples_of_another_shape_or_of_others_are_other_samples(tmp_path: Path) -> None:
    """A study of them must not go on with the scores of these."""
    first = workshop(tmp_path)
    others = [
        workshop(tmp_path, x=np.zeros((12, 8, 8, 1), np.float32)),
        workshop(tmp_path, group=(np.arange(12) + 1) % 3),
        workshop(tmp_path, group=None),
    ]
    digests = [each.digest(each.general) for each in (first, *others)]

    assert len({*digests}) == 4
    assert first.digest(workshop(tmp_path).general) == digests[0]


def test_a_cut_is_that_of_its_conditions(tmp_path: Path) -> None:
    first, whole = workshop(tmp_path), Net.of("watch", {"percent": 100})
    others = [
        workshop(tmp_path, request=Request.of(Path(), "last:2")),
        workshop(tmp_path, request=Request.of(Path(), "full", frozen="int4")),
        workshop(tmp_path, limits=Limits(BUDGET, 9999)),
        workshop(tmp_path, limits=Limits(BUDGET, None, 9999)),
    ]
    cuts = [whole.shrunk(BUDGET, each.conditions) for each in (first, *others)]

    assert len({cut.structure for cut in cuts}) == 5
    assert {cut.shown for cut in cuts} == {"watch, shrunk"}
    assert {cut.whole for cut in cuts} == {whole}
    assert workshop(tmp_path, limits=Limits(900)).conditions == first.conditions


def test_a_dry_design_leaves_nothing(run: Run, data: Path, tmp_path: Path) -> None:
    asked = ("design", "--data", data, "--sram", BUDGET, "-o", tmp_path / "n.tflite", "--dry-run")
    told = run(*asked, "--json").json

    assert told["shape"] == [16, 1, 2] and told["outputs"] == 3 and told["trials"] == 24
    assert "96 general" in run(*asked).out
    assert run("design", "--data", data, "--sram", 50, "--dry-run").status == 1
    assert [*tmp_path.iterdir()] == [data]


Scores = Mapping[tuple[int, int], TrialScore]


def scores(*by_seed: float) -> Scores:
    """Of three people, a tenth apart."""
    return {
        (fold, person): TrialScore(value + 0.1 * person, 0.0)
        for fold, value in enumerate(by_seed)
        for person in range(3)
    }


def test_nets_are_compared_in_pairs() -> None:
    """What people and seeds have in common drops out of a difference."""
    gap = difference(scores(0.5, 0.6, 0.4), scores(0.4, 0.5, 0.3))

    assert gap.mean == pytest.approx(0.1) and gap.error == pytest.approx(0, abs=1e-12)
    assert gap.is_clear
    uneven = difference(scores(0.5, 0.7, 0.3), scores(0.4, 0.5, 0.3))
    assert uneven.mean == pytest.approx(0.1)
    assert uneven.error == pytest.approx(0.1 / 3**0.5) and not uneven.is_clear
    assert spread({(0, 0): 1.0}) == float("inf")


def judged(family: str, confirmed: Scores) -> Judged:
    genes = {"percent": 50} if family == "watch" else {"width": 4}
    cost = Cost(1, 1, 1, 1)
    return Judged(Net.of(family, genes), cost, TrialScore(0.5, 0.5), confirmed)


@pytest.mark.parametrize(
    ("designed", "handmade", "said"),
    [
        ((0.6, 0.6, 0.6), (0.5, 0.5, 0.51), "(designed); 9.67 ± 0.33 points better than watch"),
        ((0.5, 0.5, 0.5), (0.6, 0.6, 0.61), "(by hand); 10.3 ± 0.33 points better than chain"),
        ((0.5, 0.7, 0.3), (0.4, 0.5, 0.3), "which chance alone could make"),
        (None, (0.4, 0.5, 0.3), "the best net is watch at 50 % (by hand)"),
        ((0.4, 0.5, 0.3), None, "no net made by hand fits"),
    ],
)
def test_it_says_when_a_net_made_by_hand_is_better(designed: Any, handmade: Any, said: str) -> None:
    pairs = ((CHAIN, designed), ("watch", handmade))
    ranked = [judged(name, scores(*values)) for name, values in pairs if values is not None]
    ranked.sort(key=lambda one: -one.score.value)

    assert said in verdict(Designed(ranked, [], 2))

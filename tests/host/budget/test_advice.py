# SPDX-License-Identifier: Apache-2.0
"""A budget of RAM: how it is read, what is chosen for it, and what is said if nothing fits."""

from __future__ import annotations

import json
import re
import shlex
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from mcutrain.host.budget.advice import Peak, advise
from mcutrain.host.budget.fit import PRICES, Fit, candidates, find_fit, ram_bytes, repeated
from mcutrain.host.request import Request
from mcutrain.host.sizes import parse_bytes
from mcutrain.trainer.errors import BudgetError, ModelError
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.planner.lifetimes import demand
from mcutrain.trainer.planner.memory import bytes_covered
from mcutrain.trainer.planner.row_region import RowRegion
from mcutrain.trainer.tflite.reader import load
from tests.support.command import AT_A_RATE, Ran, Run
from tests.support.paths import ROOT
from tests.support.small_models import residual_model, write_dataset

WATCH = ROOT / "examples" / "watch" / "watch.tflite"
STREAM, AGAIN = "--stream-input", "--recompute"
ORDER = tuple(
    " ".join(filter(None, (free, formats)))
    for formats in ("", "--errors e8", "--weights int8", "--errors e8 --weights int8")
    for free in ("", STREAM, f"{STREAM} {AGAIN}", AGAIN)
)


def plain(told: str) -> str:
    """Options without the bytes down to which values are computed again."""
    return re.sub(rf"{AGAIN}-to \d+", AGAIN, told)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.tflite"
    path.write_bytes(residual_model())
    return path


@pytest.mark.parametrize(
    ("text", "nbytes"),
    [
        ("65536", 65536), ("1", 1), ("64K", 65536), ("64k", 65536), ("64KiB", 65536),
        ("64 KiB", 65536), (" 64K ", 65536), ("0.25M", 262144), ("1.5MiB", 1572864), ("1G", 2**30),
        ("100B", 100), ("0.3K", 307), ("007", 7),
    ],
)  # fmt: skip
def test_sizes_are_read(text: str, nbytes: int) -> None:
    assert parse_bytes(text) == nbytes


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "K", "-1", "+1", "0", "0K", "0.0001", "1e6", "nan", "inf", "0x10", "64KB", "64kb",
        "64Kib2", "1_000", "1,000", "1.", ".5K", "1.2.3", "64K\n64K", "٦٤", "６４", "64T", "1/2",
        "9" * 5000, "0." + "0" * 5000 + "1", "--json", "64  K", "\x00",
    ],
)  # fmt: skip
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"number of bytes|less than 1 byte") as caught:
        parse_bytes(text)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("given", [("plan", "--sram", "64KB"), ("search", "--sram", "0"),
                                   ("search", "--sram", "4K", "--flash", "much")])  # fmt: skip
def test_a_bad_size_is_a_usage_error(run: Run, small: Path, given: tuple[str, ...]) -> None:
    verb, *options = given
    data = ("--data", small) if verb == "search" else ()
    ran = run(verb, small, *data, *options)

    assert (ran.status, ran.out) == (2, "")
    assert "Invalid value" in ran.err


def test_the_order_is_that_of_the_measured_prices() -> None:
    """What PRICES says is the median and the worst over all rows of docs/accuracy.md."""
    points: dict[str, list[float]] = {"E8 errors": [], "int8 weights": []}
    header: list[str] = []
    for line in (ROOT / "docs" / "accuracy.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if "E8 errors" in cells:
            header = cells
        elif header and re.fullmatch(r"[+-][\d.]+ ± [\d.]+", cells[-1]):
            for column, found in points.items():
                found.append(float(cells[header.index(column)].split(" ")[0]))
        elif not line.startswith("|"):
            header = []

    for option, column in (("--errors e8", "E8 errors"), ("--weights int8", "int8 weights")):
        found = points[column]
        assert len(found) > 8
        assert PRICES[option].startswith(f"{-median(found):.1f} points in the median")
        assert PRICES[option].endswith(f"{-min(found):.1f} at worst")
    assert median(points["E8 errors"]) > median(points["int8 weights"])


def bytes_of(asked: Request) -> dict[str, int]:
    """RAM of the plan with each of the options of ORDER that it can have, with as much computed
    again as lowers it. Resident samples are not tried with that where others can stream."""
    found, model = {}, load(asked.model)
    for options in ORDER:
        wanted = asked.but(
            errors="e8" if "e8" in options else None,
            weights="int8" if "int8" in options else None,
            stream_input="stream" in options,
            recompute=AGAIN in options,
        )
        if f"{STREAM} {options}" in found:
            continue
        with suppress(ModelError):
            memory = wanted.plan_of(model).memory
            found[options] = memory.arena_bytes + memory.state_bytes
    return found


@pytest.mark.parametrize(
    ("name", "update"),
    [("small", "head"), ("small", "full"), ("watch", "last:2"), ("watch", "full")],
)
def test_the_first_that_fits_is_chosen(small: Path, name: str, update: str) -> None:
    asked = Request.of(small if name == "small" else WATCH, update)
    model, known = load(asked.model), bytes_of(asked)

    sizes = sorted(known.values())
    for budget in {size - below for size in sizes[::3] for below in (0, 1)}:
        fit = find_fit(asked, model, budget)
        expected = next((options for options, size in known.items() if size <= budget), None)
        told = "nothing fits" if expected is None else expected or "as asked"
        assert plain(fit.told) == told
        assert (fit.chosen is None) == (budget < min(known.values()))
        for row in fit.to_json()["steps"]:
            options = plain(" ".join(row["options"]))
            if row["refusal"] is None:
                assert row["fits"] == (known[options] <= budget)
                assert row["saves_bytes"] == known[""] - row["sram_bytes"]
                if not row["fits"] or AGAIN not in options:
                    assert row["sram_bytes"] == known[options]
            else:
                assert options not in known
                assert "row by row" in row["refusal"]


def test_plan_takes_what_fits(run: Run, small: Path) -> None:
    known = bytes_of(Request.of(small, "full"))
    budget = known["--errors e8 --weights int8"]
    cost = run("plan", small, "--update", "full", "--sram", budget, "--json").json

    assert cost["arena_bytes"] + cost["learned_bytes"] <= budget
    chosen = plain(" ".join(cost["budget"]["chosen"]))
    assert chosen == next(o for o, n in known.items() if n <= budget)
    assert cost["formats"]["weights"] == (
        "int8" if "int8" in str(cost["budget"]["chosen"]) else "int8.8"
    )
    assert cost["advice"] is None
    said = run("plan", small, "--update", "full", "--sram", budget).out
    assert "as asked: " in said
    assert cost["budget"]["command"].removesuffix(" --json") in said
    for option in cost["budget"]["chosen"]:
        assert f"price of {option}: {PRICES[plain(option)]}" in said


def assert_nothing_fits(ran: Ran, budget: int, least: int) -> dict[str, Any]:
    """A failure that says by how much; the advice."""
    said = json.loads(ran.out)
    advice: dict[str, Any] = said["advice"]
    assert ran.status == 1
    assert said["budget"]["chosen"] is said["budget"]["command"] is None
    assert (advice["needed_bytes"], advice["excess_bytes"]) == (least, least - budget)
    assert len(ran.err.splitlines()) == 1
    assert f"nothing fits {budget:,} bytes" in ran.err
    assert f"{least - budget:,} too many" in ran.err
    return advice


def test_the_command_repeats_what_was_chosen(run: Run, small: Path) -> None:
    first = run("plan", small, "--update", "last:2", "--sram", 1900, "--classes", 3, "--json").json
    command = shlex.split(first["budget"]["command"])

    assert command[0] == "mcutrain"
    assert "--sram" not in command
    again = run(*command[1:]).json
    assert again == {k: v for k, v in first.items() if k not in ("budget", "advice")}


def test_a_command_is_repeated_word_by_word() -> None:
    given = ["plan", "a b.tflite", "--sram=64K", "--from", "x;y", "--sram", "1M", "--json"]

    said = repeated(given, ("--stream-input", "--errors e8"))

    assert said == "mcutrain plan --stream-input --errors e8 'a b.tflite' --from 'x;y' --json"


def test_what_was_asked_for_stays(small: Path) -> None:
    asked = Request.of(small, "head", errors="e12", weights="int8")
    assert [" ".join(options) for options, _ in candidates(asked)] == list(ORDER[:4])

    asked = Request.of(
        small, "head", weights="int8.8", accumulate=4, stream_input=True, recompute_to=2000
    )
    tried = list(candidates(asked))
    assert [" ".join(options) for options, _ in tried] == ["", "--errors e8"]
    assert all(r.options.recompute_to == 2000 for _, r in tried)
    assert all(r.options.stream_input and r.options.weights == "int8.8" for _, r in tried)
    assert all(r.options.accumulate == 4 for _, r in tried)

    assert [" ".join(options) for options, _ in candidates(Request(small))] == list(ORDER)


def test_an_exported_file_keeps_its_formats(run: Run, small: Path, tmp_path: Path) -> None:
    data, trained = write_dataset(tmp_path / "data.npz"), tmp_path / "trained.tflite"
    train = ("train", small, *AT_A_RATE, "--data", data, "--epochs", 1)
    ran = run(*train, "--errors", "e8", "--export", trained)
    assert ran.status == 0, ran.err
    tried = [options for options, _ in candidates(Request(trained).resolved())]

    assert [" ".join(options) for options in tried] == list(ORDER[:4])
    assert run("plan", trained, "--sram", "1M", "--json").json["formats"]["errors"] == "e8"


def test_what_no_plan_can_have_is_an_error_of_its_own(run: Run, small: Path) -> None:
    ran = run("plan", small, "--update", "last:9", "--sram", "1M")
    assert (ran.status, ran.out) == (1, "")
    assert "K must be 1 to 4" in ran.err
    with pytest.raises(ModelError, match="row by row"):
        find_fit(Request.of(small, "full", stream_input=True), load(small), 10**6)


@pytest.mark.parametrize("update", ["full", "last:3", "bias", "head"])
def test_the_peak_holds_what_is_live(update: str) -> None:
    plan = make_plan(load(WATCH), PlanOptions(update))
    peak = Peak.of(plan)

    wanted = demand(plan.graph, [t for t in plan.memory.slots if t.name.endswith("_record")])
    step = [node.name for node in plan.graph.nodes].index(peak.node)
    live = {
        block.item.name: block.size for block in wanted.blocks if block.first <= step <= block.last
    }
    told = {name.removeprefix("scratch of ") for name, _ in peak.tensors}
    assert live.keys() <= told
    sizes = [size for _, size in peak.tensors]
    assert sizes == sorted(sizes, reverse=True)
    assert max(sizes) <= peak.in_use <= min(sum(sizes), plan.memory.arena_bytes)
    slots = set(plan.memory.slots.values())
    assert peak.in_use == max(
        bytes_covered(s for s in slots if s.first <= k <= s.last)
        for k in range(len(plan.graph.nodes))
    )


def test_help_is_planned_and_in_order_of_effect(run: Run) -> None:
    given = ("plan", WATCH, "--update", "full", "--classes", 7, "--errors", "e12")
    advice = assert_nothing_fits(run(*given, "--sram", 2000, "--json"), 2000, 3376)
    saved = [one["saves_bytes"] for one in advice["help"]]
    text = {one["change"]: one for one in advice["help"]}
    others = [word for option in advice["options"] for word in option.split(" ")]

    assert saved == sorted(saved, reverse=True)
    assert min(saved) > 0
    assert {
        "--update head",
        "--update bias",
        "--update last:3",
        "--errors e8",
    } <= set(text)
    assert not any("--classes" in change for change in text)  # another task, not a smaller one
    for change in ("--update head", "--update last:3", "--update bias"):
        options = {"--update": "full", "--classes": "7"} | dict([change.split(" ")])
        words = [word for pair in options.items() for word in pair]
        cost = run("plan", WATCH, *words, *others, "--json").json
        needed = cost["arena_bytes"] + cost["learned_bytes"]
        assert text[change]["sram_bytes"] == needed == 3376 - text[change]["saves_bytes"]
        assert text[change]["fits"] == (needed <= 2000)


def test_a_smaller_scheme_comes_as_a_file(run: Run, tmp_path: Path) -> None:
    advice = json.loads(run("plan", WATCH, "--update", "full", "--sram", 2000, "--json").out)[
        "advice"
    ]
    found = [one for one in advice["help"] if one["scheme"]]

    assert any("ratio 0.5 for layer 0" in one["change"] for one in found)
    for k, one in enumerate(found):
        path = tmp_path / f"{k}.toml"
        path.write_text(one["scheme"])
        cost = run(
            "plan", WATCH, "--update", path, *" ".join(advice["options"]).split(), "--json"
        ).json
        assert cost["arena_bytes"] + cost["learned_bytes"] == one["sram_bytes"]


def test_the_error_names_peak_and_help_in_order(run: Run) -> None:
    ran = run("plan", WATCH, "--update", "last:3", "--sram", 500)
    advice = json.loads(run("plan", WATCH, "--update", "last:3", "--sram", 500, "--json").out)[
        "advice"
    ]
    peak = advice["peak"]
    named = [f"{peak['node']} ({peak['operator']})"]
    named += [f"{t['name']} {t['bytes']:,}" for t in peak["tensors"][:3]]
    named += [f"{one['change']} (-{one['saves_bytes']:,})" for one in advice["help"][:3]]
    places = [ran.err.index(name) for name in named]

    assert ran.status == 1
    assert places == sorted(places)
    assert len(ran.err.splitlines()) == 1
    for one in advice["help"]:
        assert f"  {one['change']}: {one['saves_bytes']:,} saved" in ran.out


def test_latents_and_sums_are_counted_and_can_go() -> None:
    model, request = load(WATCH), Request.of(WATCH, "last:2", accumulate=4)
    bare = find_fit(request, model, 1)
    fit = find_fit(request.but(latent_slots=10), model, 1)
    advice = advise(fit, model, lambda _: None)
    saves = {one.text: one.saves for one in advice.help}
    step, plan = fit.least

    assert plan.slot_bytes > 0
    assert ram_bytes(plan) == ram_bytes(bare.least[1]) + plan.slot_bytes
    assert saves["no --latent-slots"] == plan.slot_bytes == 2 * saves["--latent-slots 5"]
    assert saves["--accumulate 1"] > 0
    assert "kept latents" in str(advice.error())
    assert isinstance(advice.error(), BudgetError)
    assert step.request.options.accumulate == 4


def test_a_build_counts_and_is_measured_once() -> None:
    """With an overhead of 100 bytes a plan fits only if it leaves as many."""
    model, built = load(WATCH), []

    def build(wanted: Request) -> int:
        built.append(wanted)
        return ram_bytes(wanted.plan()) + 100

    def fitted(sram: int) -> Fit:
        built.clear()
        return find_fit(Request.of(WATCH, "head"), model, sram, build=build)

    whole = ram_bytes(make_plan(model, PlanOptions("head")))
    assert [fitted(whole + 100).told, len(built)] == ["as asked", 1]
    fit = fitted(whole + 99)  # the plan fits, its build does not
    assert (fit.told, fit.overhead, len(built)) == ("--stream-input", 100, 2)
    assert [row["sram_bytes"] - whole for row in fit.to_json()["steps"]] == [100, 40]
    assert fitted(200).chosen is None
    assert len(built) == 1
    assert fitted(200).overhead == 100


@pytest.mark.exhaustive
def test_with_a_target_all_ram_counts(run: Run) -> None:
    given = ("plan", WATCH, "--target", "native")
    asked = run(*given, "--json").json
    streamed = run(*given, "--stream-input", "--json").json
    if asked["sram_bytes"] is None:
        pytest.skip("builds for this computer are not measured")

    fit = run(*given, "--sram", asked["sram_bytes"], "--json").json
    assert (fit["budget"]["chosen"], fit["sram_bytes"]) == ([], asked["sram_bytes"])
    fit = run(*given, "--sram", streamed["sram_bytes"], "--json").json
    assert fit["sram_bytes"] <= streamed["sram_bytes"]
    ran = run(*given, "--sram", 1000, "--json")
    assert ran.status == 1
    assert json.loads(ran.out)["advice"]["other_bytes"]["stack, link and other RAM"] > 1000
    assert "stack, link and other RAM" in ran.err


def test_plan_shows_lower_bound_and_regions(run: Run) -> None:
    cost = run("plan", WATCH, "--stream-input", "--json").json
    plan = make_plan(load(WATCH), PlanOptions("head", stream_input=True))
    regions = [node for node in plan.graph.nodes if isinstance(node.op, RowRegion)]

    assert cost["stream_input"] is True
    assert cost["arena_bound_bytes"] == plan.memory.lower_bound <= cost["arena_bytes"]
    assert [r["region"] for r in cost["regions"]] == [node.name for node in regions]
    first = cost["regions"][0]
    assert first["arriving"] == "input"
    for row in first["kept"]:
        slots = {t.name: s for t, s in plan.memory.slots.items()}
        assert 0 < row["rows"] <= row["height"]
        assert row["bytes"] <= slots[row["tensor"]].size
    inside = {row["name"] for row in cost["layers"] if row["region"] == first["region"]}
    assert inside == set(first["nodes"])
    said = run("plan", WATCH, "--stream-input").out
    assert "its lower bound" in said
    assert "input arrives row by row" in said
    assert run("plan", WATCH, "--json").json["stream_input"] is False


def test_a_budget_for_a_real_model(run: Run, models: Path) -> None:
    model = models / "mlperf-tiny" / "pretrainedResnet_quant.tflite"

    ran = run("plan", model, "--update", "last:4", "--sram", "20K", "--json")
    assert ran.status == 1
    changes = [one["change"] for one in json.loads(ran.out)["advice"]["help"]]
    assert changes[0] == "--update head"

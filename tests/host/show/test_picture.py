# SPDX-License-Identifier: Apache-2.0
"""The picture of a plan: what is drawn is what was planned."""

from __future__ import annotations

import json
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.patches import Rectangle

from mcutrain.host.cost import planned
from mcutrain.host.kinds import ARENA_KINDS, arena_kinds, flash_bytes, ram_bytes, state_bytes
from mcutrain.host.show.arena import Arena
from mcutrain.host.show.arena_view import box_id, boxes_of_layers, described
from mcutrain.host.show.picture import Pictured, figure_of, png
from mcutrain.host.show.plan_page import page
from mcutrain.trainer.chip import Chip, Memory
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.ops.clamp_mask import ClampMask
from mcutrain.trainer.ops.sgd import SUM
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.planner.memory import ARENA
from mcutrain.trainer.planner.row_region import RowRegion
from mcutrain.trainer.tflite.reader import load, parse
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.command import Run
from tests.support.random_trunks import random_trunk
from tests.support.small_models import residual_model


def small(update: str = "full", **options: Any) -> TrainingPlan:
    return make_plan(parse(residual_model(), "small"), PlanOptions(update, **options))


def pictured(plan: TrainingPlan, label: str = "a plan") -> Pictured:
    return Pictured(plan, planned(plan), label)


@cache
def plans() -> list[TrainingPlan]:
    trunks = [
        make_plan(parse(random_trunk(seed), "trunk"), PlanOptions("head", stream_input=stream))
        for seed in (1, 4)
        for stream in (False, True)
    ]
    return [small(), small("last:2", errors="e8", accumulate=4), *trunks]


@pytest.fixture(scope="module", params=range(6))
def plan(request: pytest.FixtureRequest) -> TrainingPlan:
    """One after another, in the one process that runs this file."""
    return plans()[request.param]


def test_the_plans_have_what_is_tested() -> None:
    assert len(plans()) == 6
    assert any(isinstance(n.op, RowRegion) for p in plans() for n in p.graph.nodes)
    assert {kind for p in plans() for kind in arena_kinds(p).values()} == set(ARENA_KINDS)
    assert any(Arena(p).shared for p in plans())


def rectangles(plan: TrainingPlan) -> dict[str, tuple[float, float, float, float]]:
    """Left, bottom, right and top by id, as they are drawn."""
    axes = figure_of([pictured(plan)]).axes[0]
    drawn = [p for p in axes.patches if isinstance(p, Rectangle) and p.get_gid()]
    boxes = {str(p.get_gid()): p.get_bbox().extents.tolist() for p in drawn}
    assert len(boxes) == len(drawn)
    return {name: tuple(extents) for name, extents in boxes.items()}


def test_the_rectangles_are_the_slots(plan: TrainingPlan) -> None:
    widths = [len(n.op.nodes) if isinstance(n.op, RowRegion) else 1 for n in plan.graph.nodes]
    starts = [-1, *np.cumsum([0, *widths]).tolist(), sum(widths) + 1]
    slots = list(dict.fromkeys(plan.memory.slots.values()))
    expected = {
        box_id(0, k): (starts[s.first + 1], s.offset, starts[s.last + 2], s.offset + s.size)
        for k, s in enumerate(slots)
    }
    assert rectangles(plan) == expected


def test_the_nodes_are_in_order_and_regions_have_their_inner_ones(plan: TrainingPlan) -> None:
    nodes, regions, ends = [], [], []
    for node in plan.graph.nodes:
        inner = node.op.nodes if isinstance(node.op, RowRegion) else (node,)
        if isinstance(node.op, RowRegion):
            regions.append(len(nodes))
            ends.append(len(nodes) + len(inner))
        nodes += [n.name for n in inner]
    axes = figure_of([pictured(plan)]).axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == nodes
    arena = Arena(plan)
    assert [(arena.starts[k], arena.starts[k + 1]) for k in arena.regions] == [
        *zip(regions, ends, strict=True)
    ]
    bars = [c for c in axes.collections if isinstance(c, LineCollection) and c.get_linewidth() == 4]
    drawn = [np.round(c.get_segments()[0][:, 0]).tolist() for c in bars]
    assert drawn == [list(span) for span in zip(regions, ends, strict=True)]
    low, high = axes.get_xlim()
    assert low == -1 and high == len(nodes) + 1


def test_hatched_are_the_bytes_that_two_hold(plan: TrainingPlan) -> None:
    arena = Arena(plan)
    for step in range(len(plan.graph.nodes)):
        held = np.zeros(plan.memory.arena_bytes, np.int64)
        for slot in set(plan.memory.slots.values()):
            if slot.first <= step <= slot.last:
                held[slot.offset : slot.end] += 1
        for at, bottom, size in arena.shared:
            if at == step:
                held[bottom : bottom + size] -= 1
        assert held.max() <= 1
        assert held.sum() == arena.in_use[step]


def test_kinds_of_the_arena_and_of_the_state(plan: TrainingPlan) -> None:
    kinds = arena_kinds(plan)
    assert list(kinds) == list(plan.memory.slots)
    assert {kind for item, kind in kinds.items() if isinstance(item, Node)} <= {"scratch"}
    assert all(kinds[t] == "errors" for t in plan.errors)
    masks = [n.output for n in plan.graph.nodes if isinstance(n.op, ClampMask)]
    assert [t for t, kind in kinds.items() if kind == "masks"] == masks
    assert kinds[plan.record] == "other"
    assert kinds[plan.task.input] == ("rings" if plan.arriving else "inputs")
    assert sum(state_bytes(plan).values()) == plan.memory.state_bytes
    waiting = sum(t.type.nbytes for t in plan.learning.companions.of(SUM).values())
    assert state_bytes(plan).get("sums", 0) == waiting


def test_the_peak_is_named(plan: TrainingPlan) -> None:
    arena = Arena(plan)
    peak = plan.memory.peak(plan.graph)
    assert arena.nodes[arena.peaks[0]] is peak
    figure = figure_of([pictured(plan)])
    words = [text.get_text() for text in figure.axes[0].texts]
    assert any(w.startswith(f"peak: {peak.name}") for w in words)
    text = page([pictured(plan)])
    assert f"at the peak, {peak.name}" in text
    assert f"none can have less than {plan.memory.lower_bound:,}." in text


def test_the_parts_of_the_step() -> None:
    plan = small("last:2")
    arena = Arena(plan)
    by_node = {arena.nodes[k].name: arena.part(k) for k in range(len(arena.nodes))}
    assert {by_node[n.name] for n in plan.inference} == {"forward"}
    assert by_node[plan.task.loss.name] == "loss"
    assert {part for name, part in by_node.items() if name.endswith("_update")} == {"update"}
    assert by_node["count_step"] == "update"
    assert "backward" in by_node.values()
    assert arena.parts[0][1] == 0 and arena.parts[-1][2] == len(arena.nodes)


def test_several_memories_lie_one_over_the_other() -> None:
    plan = small()
    half = plan.memory.arena_bytes * 3 // 4
    main, fast = half + plan.memory.state_bytes, Memory("fast", half, speed=2.0)
    spread = plan.on(Chip("two memories", ram_bytes=main, beside=(fast,)))
    arena = Arena(spread)
    assert set(arena.floors) == {"fast", ARENA}
    for box in arena.boxes:
        low = arena.floors[box.slot.memory]
        assert low <= arena.bottom(box)
        assert arena.bottom(box) + box.slot.size <= low + spread.memory.used_bytes[box.slot.memory]
    assert png([pictured(spread)]).startswith(b"\x89PNG")
    text = page([pictured(spread)])
    assert all(f"<title>{name}</title>" in text for name in ("fast", ARENA))


class Strict(HTMLParser):
    """Collects tags and text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.titles: dict[int, str] = {}  # by the place of their tags

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)
        if self.tags and self.tags[-1][0] == "title":
            self.titles.setdefault(len(self.tags) - 1, data)


def read(text: str) -> Strict:
    parser = Strict()
    parser.feed(text)
    return parser


def boxes(text: str) -> dict[str, dict[str, str | None]]:
    """The rectangles of a page's arenas by id, with their titles."""
    parser, found = read(text), {}
    for k, (tag, attrs) in enumerate(parser.tags):
        if tag == "rect" and str(attrs.get("class")).startswith("box"):
            assert parser.tags[k + 1][0] == "title"
            found[str(attrs["id"])] = {**attrs, "title": parser.titles[k + 1]}
    return found


def test_a_rectangle_is_a_slot_and_says_what_it_is(plan: TrainingPlan) -> None:
    arena, drawn = Arena(plan), boxes(page([pictured(plan)]))
    assert list(drawn) == [box_id(0, k) for k in range(len(arena.boxes))]
    for k, box in enumerate(arena.boxes):
        found = drawn[box_id(0, k)]
        begin, end = arena.span(box)
        top = plan.memory.arena_bytes - arena.bottom(box) - box.slot.size
        place = {"x": begin, "width": end - begin, "y": top, "height": box.slot.size}
        assert {name: int(str(found[name])) for name in place} == place
        assert found["title"] == described(arena, box)
        assert f"at {box.slot.offset:,}" in described(arena, box)


def test_a_layer_has_the_boxes_that_its_nodes_touch(plan: TrainingPlan) -> None:
    arena = Arena(plan)
    operators = [node.index for node in plan.forward]
    slots = plan.memory.slots
    for node, held in zip(plan.forward, boxes_of_layers(arena, operators), strict=True):
        touched = {slots[t] for t in (*node.inputs, node.output) if t in slots}
        assert touched <= {arena.boxes[k].slot for k in held}
    assert any(len(held) > 1 for held in boxes_of_layers(arena, operators))


@pytest.mark.slow
def test_a_page_is_one_file_with_tables() -> None:
    found = read(page([pictured(small())]))
    for tag, attrs in found.tags:
        assert tag not in ("img", "iframe", "object")
        assert not attrs.keys() & {"src", "onload"}
        assert (attrs.get("href") or "#").startswith(("#", "data:,"))
    assert [tag for tag, _ in found.tags].count("script") == 1
    assert [tag for tag, _ in found.tags].count("caption") == 4
    assert page([pictured(small())]) == page([pictured(small())])


HOSTILE = ["<script>alert(1)</script>", "$\\frac{", "a\x00\x1b[31m\n--></svg>", '"onload="x', "名"]


@pytest.mark.slow
def test_hostile_names_are_text(tmp_path: Path, run: Run, model: Path) -> None:
    plan = small()
    tensors = [t for t in plan.memory.slots if not isinstance(t, Node)]
    for k, tensor in enumerate(tensors):
        tensor.label = HOSTILE[k % len(HOSTILE)]
        tensor.name = f"{HOSTILE[k % len(HOSTILE)]}{k}"
    for k, node in enumerate(plan.graph.nodes):
        node.name = f"{HOSTILE[k % len(HOSTILE)]}{k}"
    shown = [pictured(plan, f"label {name}") for name in (HOSTILE[0], HOSTILE[2])]
    text = page(shown)
    assert text.count("<script") == 1 and "\x1b" not in text and "\x00" not in text
    assert text.count("</svg>") == 4  # of each plan the arena, and the parts of the step
    assert not any(name.startswith("on") for _, attrs in read(text).tags for name in attrs)
    assert HOSTILE[0] in "".join(read(text).words)
    assert png(shown).startswith(b"\x89PNG")


def test_two_plans_have_the_same_scales() -> None:
    two = [pictured(small("head"), "head"), pictured(small("full"), "full")]
    first, second = figure_of(two).axes[:2]
    assert first.get_xlim() == second.get_xlim()
    assert first.get_ylim() == second.get_ylim()
    text = page(two)
    change = two[1].plan.memory.arena_bytes - two[0].plan.memory.arena_bytes
    cells = "".join(f"<td>{p.plan.memory.arena_bytes:,}</td>" for p in two)
    assert change and f"<tr><th scope=row>RAM, arena</th>{cells}<td>{change:+,}</td>" in text
    assert len(boxes(text)) == sum(len(p.arena.boxes) for p in two)


@pytest.mark.slow
def test_the_command_draws(run: Run, model: Path, tmp_path: Path) -> None:
    html, image = tmp_path / "plan.html", tmp_path / "plan.png"
    ran = run("plan", model, "--update", "last:2", "--html", html, "--png", image, "--json")
    assert json.loads(ran.out)["arena_bytes"] > 0
    assert ran.out.count("\n") == 1
    assert image.read_bytes().startswith(b"\x89PNG")
    assert "small, last:2" in html.read_text()


def test_compare_takes_the_options_that_differ(run: Run, model: Path, tmp_path: Path) -> None:
    html = tmp_path / "plan.html"
    own = ("--update", "full", "--classes", 3)
    text = "--errors e8 --latent-slots 0"
    cost = run("plan", model, *own, "--html", html, "--compare", text, "--json").json
    assert cost["formats"]["errors"] == "e12"
    alone = run("plan", model, *own, "--errors", "e8", "--json").json
    assert cost.pop("compared") == alone
    assert cost == run("plan", model, *own, "--json").json
    assert "small, full, --classes 3, --errors e8" in html.read_text()
    table = run("plan", model, *own, "--compare", text).out
    assert table.count("arena") == 2 * run("plan", model, *own).out.count("arena")


def test_compare_with_another_model(run: Run, model: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.tflite"
    other.write_bytes(random_trunk(1))
    cost = run("plan", model, "--compare", f"'{other}' --stream-input", "--json").json
    assert (cost["model"], cost["compared"]["model"]) == ("small", load(other).name)


@pytest.mark.parametrize(
    "text", ["--errors e9", "--update last:9", "--update 'x", "missing.tflite"]
)
def test_compare_refuses_in_one_line(run: Run, model: Path, text: str) -> None:
    ran = run("plan", model, "--compare", text, "--json")
    assert ran.status == 1 and not ran.out
    assert ran.err.startswith("error: ") and ran.err.count("\n") == 1


@pytest.mark.parametrize("text", ["--nonsense", "--json", "--help", "--html x", "a b", "--classes"])
def test_compare_takes_options_of_a_plan_only(run: Run, model: Path, text: str) -> None:
    ran = run("plan", model, "--compare", text, "--json")
    assert ran.status == 2 and not ran.out


@pytest.mark.parametrize("option", ["--html", "--png"])
def test_an_unwritable_path_is_refused_first(run: Run, model: Path, option: str) -> None:
    ran = run("plan", model, "--update", "nonsense", option, model / "in" / "a.file")
    assert ran.status == 1 and "cannot write" in ran.err
    assert "cannot write" in run("plan", model, option, model.parent).err


def test_parts_of_a_build_sum_up(run: Run, model: Path, tmp_path: Path) -> None:
    html = tmp_path / "plan.html"
    cost = run("plan", model, "--target", "native", "--html", html, "--json").json
    if cost["sram_bytes"] is None:
        pytest.skip("native builds are not measured on this computer")
    plan = make_plan(load(model), PlanOptions("head"))
    assert sum(ram_bytes(plan, cost).values()) == cost["sram_bytes"]
    assert sum(flash_bytes(cost).values()) == cost["flash_bytes"]
    assert f"<td>{cost['stack_bytes']:,}" in html.read_text()

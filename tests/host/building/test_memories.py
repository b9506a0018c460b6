# SPDX-License-Identifier: Apache-2.0
"""Boards with several memories: a plan is spread over them, trains there bit for bit, and every
byte of each memory is counted."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mcutrain.codegen.emit import emit_source
from mcutrain.codegen.header import emit_header
from mcutrain.codegen.manifest import manifest
from mcutrain.codegen.program import lay_out
from mcutrain.host import boards
from mcutrain.host.boards import chip_of
from mcutrain.host.building.firmware import Build, build
from mcutrain.host.building.source import build_hash, plan_with_hash
from mcutrain.host.building.target import Target
from mcutrain.host.cost import measured
from mcutrain.host.defaults import BAUD
from mcutrain.host.errors import DeviceError
from mcutrain.host.kinds import arena_bytes
from mcutrain.host.simulation.simulator import simulate
from mcutrain.host.training.dataset import Dataset, load_dataset
from mcutrain.host.training.loop import train
from mcutrain.host.training.runners import DeviceRunner, connected, simulated
from mcutrain.host.training.training_options import TrainingOptions
from mcutrain.host.training.verify import Verifier, read_tensor
from mcutrain.trainer.chip import GENERIC, Chip, Memory
from mcutrain.trainer.errors import BudgetError
from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.planner.lifetimes import aligned
from mcutrain.trainer.planner.memory import ARENA, STATE
from mcutrain.trainer.tflite.reader import load, parse
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.command import Run
from tests.support.marks import exhaustive
from tests.support.native import NativeModel
from tests.support.paths import WATCH
from tests.support.simulated_boards import board_param
from tests.support.small_models import residual_model

pytestmark = pytest.mark.board

BOARD = "mps2_an385"
TARGET = Target.parse(f"sim:{BOARD}")
ON_BOARD = pytest.mark.parametrize("board", [board_param(BOARD)])
LINK_AND_STACK = 2892  # of the smartwatch on this board, with what else is linked
Sized = Callable[[int, int], None]


@cache
def watch(update: str = "last:2") -> TrainingPlan:
    return make_plan(load(WATCH / "watch.tflite"), PlanOptions(update))


@pytest.fixture
def sized(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sized:
    """Let the board have so many bytes of main RAM and of block RAM; the chip keeps its own."""

    def resize(ram: int, blockram: int) -> None:
        folder = tmp_path / "boards"
        if not folder.exists():
            shutil.copytree(boards.BOARDS_DIR, folder)
        path = folder / f"{BOARD}.json"
        description = json.loads(path.read_text())
        description["upload"]["maximum_ram_size"] = ram
        description["build"]["memories"][0]["bytes"] = blockram
        path.write_text(json.dumps(description))
        monkeypatch.setattr(boards, "BOARDS_DIR", folder)
        monkeypatch.setenv("MCUTRAIN_CACHE", str(tmp_path / "cache"))

    return resize


def used(cost: dict[str, Any]) -> dict[str, int]:
    return {memory["name"]: memory["used_bytes"] for memory in cost["memories"]}


def check_trained(built: Build) -> None:
    """Four steps bit for bit, from memories full of anything; and each tensor can be read."""
    plan = built.plan
    data = load_dataset(WATCH / "demo.npz", plan)
    data = Dataset(data.x_train[:4], data.y_train[:4], data.x_test[:2], data.y_test[:2])
    with simulated(built) as runner:
        assert isinstance(runner, DeviceRunner)
        for number, nbytes in enumerate(plan.memory.regions.values()):
            runner.device.write(number, bytes([0xA5]) * nbytes)
        with pytest.raises(DeviceError, match="outside its range"):
            runner.device.read(len(plan.memory.regions), 0, 1)
        options = TrainingOptions(epochs=1, rate=2**-6, seed=3, verify=True)
        result = train(plan, data, runner, options, lambda progress: None)
        assert result.difference is None, result.difference
        assert result.verified_steps == 4

        reference, verifier = Interpreter(plan, 3), Verifier(plan, 3)
        runner.reset(3)
        np.testing.assert_array_equal(runner.infer(data.x_test[0]), reference.infer(data.x_test[0]))
        loss, digest = runner.step(data.x_train[0], data.y_train[0], True)
        assert verifier.step(data.x_train[0], data.y_train[0], loss, digest)
        assert read_tensor(runner.device, plan, plan.record).tolist() == [loss.sum, loss.distance]
        # Runs the step call by call and compares what each call wrote, wherever it lies.
        found = verifier.locate(runner.device, data.x_train[0], data.y_train[0])
        assert (found.elements, found.reproduced) == (0, False)


def hottest(plan: TrainingPlan) -> list[str]:
    """The memories of the tensors, of those first that most nodes use for their size."""
    uses = {
        tensor: sum(tensor in (*n.inputs, *n.outputs) for n in plan.graph.nodes)
        for tensor in plan.graph.tensors
    }
    placed_in = [(uses[t], s) for t, s in plan.memory.slots.items() if t in uses]
    return [slot.memory for _, slot in sorted(placed_in, key=lambda pair: -pair[0])]


@ON_BOARD
def test_the_arena_lies_in_the_fast_memory_if_it_fits(board: str) -> None:
    plan = watch().on(chip_of(board))
    (fast,) = chip_of(board).beside

    assert (fast.name, fast.nbytes) == ("blockram", 16384)
    assert plan.memory.regions == {ARENA: 0, STATE: 1288, "blockram": 1104}
    assert plan.memory.state_memory == ARENA
    assert plan.numerics_hash == watch().numerics_hash
    assert plan.on(chip_of(board)).memory == plan.memory
    assert plan.on(GENERIC).memory == watch().memory


@pytest.mark.slow
@ON_BOARD
@pytest.mark.parametrize("update", [exhaustive("last:2", ["last:2"]), "full"])
def test_tensors_in_both_memories_train_bit_for_bit(board: str, update: str, sized: Sized) -> None:
    sized(2**22, 608)
    built = build(watch(update).on(TARGET.chip), TARGET)
    memory, cost = built.plan.memory, measured(built)

    assert memory.regions[ARENA] > 0 and 0 < memory.regions["blockram"] <= 608
    assert {s.memory for s in memory.slots.values()} == {ARENA, "blockram"}
    assert cost["arena_bytes"] == memory.arena_bytes >= memory.lower_bound
    assert used(cost) == {
        "ram": cost["sram_bytes"] - memory.regions["blockram"],
        "blockram": memory.regions["blockram"],
    }
    assert sum(arena_bytes(built.plan).values()) == memory.arena_bytes
    check_trained(built)


@pytest.mark.exhaustive
@pytest.mark.slow
@ON_BOARD
def test_a_small_main_ram_lets_the_arena_overflow(board: str, sized: Sized) -> None:
    """The rest beside state, link and stack is less than the arena, and so is the block RAM."""
    plan = watch("full")
    rest = 1600
    sized(LINK_AND_STACK + plan.memory.state_bytes + rest, 1200)
    built = build(plan.on(TARGET.chip), TARGET)
    memory = built.plan.memory

    assert memory.state_memory == ARENA
    assert rest < plan.memory.lower_bound > 1200
    assert 0 < memory.regions[ARENA] <= rest and 0 < memory.regions["blockram"] <= 1200
    assert used(measured(built))["ram"] <= LINK_AND_STACK + plan.memory.state_bytes + rest
    check_trained(built)


@pytest.mark.exhaustive
@pytest.mark.slow
@ON_BOARD
def test_a_state_too_large_for_the_main_ram_lies_in_another_memory(
    board: str, sized: Sized
) -> None:
    sized(LINK_AND_STACK + 1000, 16384)
    built = build(watch().on(TARGET.chip), TARGET)
    memory = built.plan.memory

    assert memory.state_memory == "blockram" and memory.state_bytes == 1288
    assert used(measured(built))["blockram"] == memory.ram_bytes["blockram"] >= 1288
    assert "static MCT_MEMORY(blockram) _Alignas(4) uint8_t watch_state[1288];" in emit_source(
        lay_out(built.plan)
    )
    check_trained(built)


@ON_BOARD
def test_memories_that_are_too_small_are_named(board: str, sized: Sized) -> None:
    sized(LINK_AND_STACK + 1288, 128)
    needs = rf"^{BOARD}: the arena needs 1,104 bytes at least in the memories arena .*blockram 128"
    with pytest.raises(BudgetError, match=needs) as few:
        build(watch().on(TARGET.chip), TARGET)
    assert few.value.needed_bytes > few.value.available_bytes
    assert plan_with_hash(watch().on, bytes(8)) is None

    sized(1000, 1000)
    with pytest.raises(BudgetError, match="the learned state needs 1,288 bytes in one memory"):
        build(watch().on(TARGET.chip), TARGET)


@pytest.mark.exhaustive
@pytest.mark.slow
@ON_BOARD
def test_what_the_stack_leaves_is_decided_by_the_linker(board: str, sized: Sized) -> None:
    """The plan fits beside the link, and not beside the stack too: how much is missing is told."""
    ram = LINK_AND_STACK + 1288 + 700
    sized(ram, 608)
    with pytest.raises(BudgetError, match=r"bytes of RAM \(arena .*stack \d+, link") as few:
        build(watch().on(TARGET.chip), TARGET)
    assert few.value.available_bytes == ram < few.value.needed_bytes

    sized(few.value.needed_bytes, 608)
    assert used(measured(build(watch().on(TARGET.chip), TARGET)))["ram"] <= few.value.needed_bytes


def spread(update: str) -> TrainingPlan:
    memories = (Memory(ARENA, 1400), Memory("ccm", 700, 2.0), Memory("dtcm", 400, 3.0))
    memories = (Memory(ARENA, 1400 + watch(update).memory.state_bytes), *memories[1:])
    return watch(update).on(chip_with(memories))


def chip_with(memories: Sequence[Memory]) -> Chip:
    """A chip of these memories, of which the first is the main RAM, with nothing else in it."""
    main, *beside = memories
    return Chip("memories", ram_bytes=main.nbytes, beside=tuple(beside))


@pytest.mark.parametrize("update", ["last:2", "full"])
def test_generated_c_in_three_memories_has_the_references_bits(update: str, tmp_path: Path) -> None:
    plan = spread(update)
    regions = plan.memory.regions
    device, reference = NativeModel(plan, tmp_path), Interpreter(plan, 7)
    assert list(device.regions) == list(regions)
    assert list(regions)[:2] == [ARENA, STATE] and regions["dtcm"] and regions["ccm"]
    for region in device.regions.values():
        region[:] = 0xA5
    device.reset(7)
    data = load_dataset(WATCH / "demo.npz", plan)
    for sample, label in zip(data.x_train[:6], data.y_train[:6], strict=True):
        assert device.step(sample, label) == reference.step(sample, int(label))
        assert device.digest() == reference.digest()


def test_header_and_manifest_list_the_regions_in_order() -> None:
    plan = spread("full")
    image = lay_out(plan)
    document, source = manifest(image, bytes(8)), emit_source(image)

    assert "watch_regions[MCT_REGION_COUNT + 2];" in emit_header(image)
    named = [f"watch_{STATE}" if n == STATE else image.arena(n) for n in plan.memory.regions]
    assert re.findall(r"^    \{(\w+), sizeof \1\},$", source, re.MULTILINE) == named
    assert {r["name"]: r["bytes"] for r in document["regions"]} == plan.memory.regions
    ends = dict.fromkeys(plan.memory.regions, 0)
    for tensor in document["tensors"]:
        ends[tensor["region"]] = max(ends[tensor["region"]], tensor["offset"])
    assert all(
        end < nbytes
        for end, nbytes in zip(ends.values(), plan.memory.regions.values(), strict=True)
    )


def test_a_target_without_other_memories_has_the_same_c() -> None:
    plain = lay_out(watch())
    again = lay_out(spread("last:2").on(GENERIC))

    assert emit_source(plain) == emit_source(again)
    assert emit_header(plain) == emit_header(again)
    assert "MCT_MEMORY" not in emit_source(plain)


def test_a_build_finds_its_board() -> None:
    digest = build_hash(lay_out(watch().on(TARGET.chip)), BOARD)

    found = plan_with_hash(watch().on, digest)
    assert found is not None and (found[0].chip, found[1]) == (TARGET.chip, BOARD)


@ON_BOARD
def test_a_device_at_a_port_is_read_where_its_build_has_put_things(board: str) -> None:
    plan, built = watch(), build(watch().on(TARGET.chip), TARGET)
    data = load_dataset(WATCH / "demo.npz", plan)
    with simulate(board, built.elf) as port, connected(port, plan.on, BAUD) as runner:
        runner.reset(5)
        found = runner.infer(data.x_test[0])

    assert runner.plan.memory == built.plan.memory
    np.testing.assert_array_equal(found, Interpreter(plan, 5).infer(data.x_test[0]))


def test_a_plan_that_one_memory_holds_is_never_refused() -> None:
    """In an arena at its lower bound, for which the greedy orders alone are too coarse."""
    plan = make_plan(parse(residual_model(), "small"), PlanOptions("full"))
    memory = plan.memory
    whole = Memory(ARENA, aligned(memory.arena_bytes + memory.state_bytes, 8))
    tight = plan.on(chip_with([whole, Memory("ccm", 4, 2.0)]))

    assert tight.memory.ram_bytes[ARENA] <= memory.ram_bytes[ARENA]


@ON_BOARD
def test_the_command_lists_every_memory(board: str, run: Run, tmp_path: Path) -> None:
    html = tmp_path / "plan.html"
    args = (WATCH / "watch.tflite", "--update", "last:2", "--target", TARGET.name)
    cost = run("plan", *args, "--html", html, "--json").json

    assert cost["memories"][1] == {
        "name": "blockram", "used_bytes": 1104, "available_bytes": 16384
    }  # fmt: skip
    assert "memory blockram: 1,104 of 16,384 bytes" in run("build", *args).out
    page = html.read_text()
    assert re.search(r"<td[^>]*>blockram<", page)  # where a tensor lies
    assert re.search(r"RAM, in blockram\b.{0,60}>1,104\b", page, re.S)
    budget = run("plan", *args, "--sram", cost["sram_bytes"], "--json").json
    assert budget["budget"]["chosen"] == []
    assert budget["sram_bytes"] == cost["sram_bytes"]

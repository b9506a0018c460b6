# SPDX-License-Identifier: Apache-2.0
"""On every simulated board: the watch trains bit for bit, the linker map is accounted for to the
byte, and the stack in use stays within its bound."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from mcutrain.host.boards import board_description, chip_of
from mcutrain.host.building.firmware import Build, build
from mcutrain.host.building.target import Target
from mcutrain.host.cost import measured
from mcutrain.host.errors import TransportError
from mcutrain.host.link.device import Device
from mcutrain.host.link.transport import SerialTransport
from mcutrain.host.measure.elf import load_image
from mcutrain.host.simulation.emulators.qemu import version_of
from mcutrain.host.simulation.painted_stack import PAINT, paint, simulate_painted
from mcutrain.host.training.dataset import Dataset, load_dataset
from mcutrain.host.training.loop import train
from mcutrain.host.training.runners import simulated
from mcutrain.host.training.training_options import TrainingOptions
from mcutrain.trainer.errors import BudgetError
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import load
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.latent_slots import with_slots
from tests.support.paths import WATCH
from tests.support.simulated_boards import board_param, each_port, one_board


@cache
def watch(board: str) -> TrainingPlan:
    return make_plan(load(WATCH / "watch.tflite"), PlanOptions("last:2"), chip_of(board))


@cache
def watch_on(board: str) -> Build:
    return build(watch(board), Target.parse(f"sim:{board}"))


def small_data(plan: TrainingPlan, samples: int = 12) -> Dataset:
    data = load_dataset(WATCH / "demo.npz", plan)
    return Dataset(data.x_train[:samples], data.y_train[:samples], data.x_test[:2], data.y_test[:2])


@pytest.mark.slow
@each_port
def test_the_watch_trains_bit_for_bit_within_its_stack(board: str) -> None:
    built = watch_on(board)
    plan = built.plan
    with simulated(built) as runner:
        options = TrainingOptions(epochs=1, rate=2**-6, seed=3, verify=True)
        result = train(plan, small_data(plan), runner, options, lambda progress: None)
        used = runner.stack_used_bytes()

    assert result.difference is None, result.difference
    assert result.verified_steps == result.steps == 12
    cost = measured(built)
    assert used is not None
    assert cost["stack_bytes"] / 2 < used <= cost["stack_bytes"]


@pytest.mark.parametrize("board", [board_param("microbit")])
def test_a_keyword_net_learns_a_head_in_sixteen_kibibytes(board: str, models: Path) -> None:
    """The arena of its inference alone takes 16,000 bytes elsewhere."""
    model = load(models / "mlperf-tiny" / "kws_ref_model.tflite")
    plan = make_plan(model, PlanOptions("head"), chip_of(board))
    built = build(plan, Target.parse(f"sim:{board}"))
    rng = np.random.default_rng(0)
    x = rng.integers(-128, 128, (4, plan.task.input.type.size)).astype(np.int8)
    data = Dataset(x[:3], np.arange(3), x[3:], np.arange(1))
    with simulated(built) as runner:
        options = TrainingOptions(epochs=1, rate=2**-6, seed=3, verify=True)
        result = train(plan, data, runner, options, lambda progress: None)

    assert result.difference is None, result.difference
    assert result.verified_steps == result.steps == 3
    assert measured(built)["sram_bytes"] <= 16 * 1024


REAL_NETS = [
    ("kws_ref_model.tflite", "last:2"),
    pytest.param("pretrainedResnet_quant.tflite", "last:4", marks=pytest.mark.exhaustive),
]


@pytest.mark.slow
@pytest.mark.parametrize("board", [board_param("netduinoplus2", is_long=True)])
def test_tensors_in_a_memory_beside_the_main_one_train_bit_for_bit(
    board: str, models: Path
) -> None:
    """The learned state leaves no room in the main RAM: the arena lies in the CCM."""
    name, update = "pretrainedResnet_quant.tflite", "last:4"
    plan = make_plan(load(models / "mlperf-tiny" / name), PlanOptions(update), chip_of(board))
    assert plan.memory.ram_bytes["ccm"] > 16 * 1024
    if version_of("qemu-system-arm") >= (8, 0):
        train_two_steps(plan, board)
        return
    with pytest.raises(TransportError, match=r"has no ccm, where the firmware has \d+,\d+ bytes"):
        train_two_steps(plan, board)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "update"), REAL_NETS)
@pytest.mark.parametrize(
    "board", [board_param("mps2_an505", is_long=True), board_param("mps3_an547")]
)
def test_real_nets_train_bit_for_bit(board: str, name: str, update: str, models: Path) -> None:
    plan = make_plan(load(models / "mlperf-tiny" / name), PlanOptions(update), chip_of(board))
    train_two_steps(plan, board)


def train_two_steps(plan: TrainingPlan, board: str) -> None:
    """On random samples; both are verified."""
    rng = np.random.default_rng(0)
    x = rng.integers(-128, 128, (3, plan.task.input.type.size)).astype(np.int8)
    data = Dataset(x[:2], np.arange(2), x[2:], np.arange(1))
    with simulated(build(plan, Target.parse(f"sim:{board}"))) as runner:
        options = TrainingOptions(epochs=1, rate=2**-6, seed=3, verify=True)
        result = train(plan, data, runner, options, lambda progress: None)

    assert result.difference is None, result.difference
    assert result.verified_steps == result.steps == 2


class Interrupting(SerialTransport):
    """Sends empty frames behind each request: their bytes arrive while it is executed."""

    zeros = 40

    def write(self, data: bytes) -> None:
        super().write(data + bytes(self.zeros))


class InterruptingForLong(Interrupting):
    """The same to the end of a step, where each byte takes the time that its line has for it."""

    zeros = 5000


@one_board
def test_an_interrupt_in_the_deepest_function_stays_within_the_bound(board: str) -> None:
    """The bound is reached to the last register: its path is run, and interrupted at its end."""
    built, plan = watch_on(board), watch(board)
    cost = measured(built)
    frames = [name for name, _ in cost["stack_path"]]
    at = frames.index("(exception frame)")
    thread = sum(nbytes for _, nbytes in cost["stack_path"][:at])
    sample = small_data(plan).x_train[0].tobytes()

    used = 0
    with (
        simulate_painted(board, built.elf) as (port, stack),
        (InterruptingForLong if "atmega" in board else Interrupting)(port) as transport,
    ):
        assert stack is not None
        device = Device.open(transport, built.build_hash, plan.numerics_hash)
        for _ in range(4000):
            device.write_sample(sample)
            device.step(1)
            used = stack.used_bytes()
            assert used <= cost["stack_bytes"]
            if used > thread:
                break

    entries = r"mct_cortex_m_uart|mct_riscv_(trap|interrupt)|__vector_\d+"
    assert re.fullmatch(entries, frames[at + 1])
    assert thread < used


@one_board
def test_every_byte_between_the_ends_of_memory_is_counted(board: str) -> None:
    """What the linker has used of RAM and flash is what the plan says, by independent tools."""
    built = watch_on(board)
    cost, sizes = measured(built), board_description(board)["upload"]
    image = load_image(built.elf)
    beside = {f".{m.name}": m.name for m in chip_of(board).beside}
    regions = regions_of(built)
    ram_end = max(s.end for s in image.sections if s.kind.in_ram and s.name not in beside)
    main, *others = cost["memories"]

    assert main["used_bytes"] == ram_end - regions["RAM"].start <= sizes["maximum_ram_size"]
    assert cost["sram_bytes"] == sum(m["used_bytes"] for m in cost["memories"])
    flash_bytes = 0
    for region in regions.values():  # code and constants may lie in two of them
        held = [s for s in image.sections if s.kind.in_flash and s.load_address in region]
        if held:
            assert min(s.load_address for s in held) == region.start
            flash_bytes += max(s.load_address + s.nbytes for s in held) - region.start
    assert cost["flash_bytes"] == flash_bytes <= sizes["maximum_size"]
    section_sizes = size_of_sections(built.elf, built.target.toolchain_prefix)
    resident = [".stack", ".data", ".bss"]
    assert main["used_bytes"] == sum(section_sizes.get(name, 0) for name in resident)
    assert {m["name"]: m["used_bytes"] for m in others} == {
        name: section_sizes.get(section, 0) for section, name in beside.items()
    }


def regions_of(built: Build) -> dict[str, range]:
    """The addresses of each memory, from the linker's map."""
    text = next(built.folder.rglob("firmware.map")).read_text()
    table = text.split("\nMemory Configuration\n")[1].split("\n*default*")[0]
    rows = (line.split() for line in table.splitlines()[2:])
    return {
        name: range(int(begin, 16), int(begin, 16) + int(nbytes, 16))
        for name, begin, nbytes, *_ in rows
    }


def size_of_sections(elf: Path, prefix: str) -> dict[str, int]:
    command = [f"{prefix}size", "-A", "-d", str(elf)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows = (line.split() for line in text.splitlines() if line.startswith("."))
    return {name: int(nbytes) for name, nbytes, _ in rows}


@each_port
def test_a_board_states_its_memories_once_and_truly(board: str) -> None:
    """The linker script and the description, which the plan is checked against, agree."""
    description = board_description(board)
    sizes = {name: len(region) for name, region in regions_of(watch_on(board)).items()}
    beside = {m.name.upper(): m.nbytes for m in chip_of(board).beside}
    flash = sizes.keys() - {"RAM", *beside}

    assert sizes["RAM"] == description["upload"]["maximum_ram_size"]
    assert {name: sizes[name] for name in beside} == beside
    assert "FLASH" in flash
    assert sum(sizes[name] for name in flash) == description["upload"]["maximum_size"]
    assert all(re.fullmatch("[a-z][a-z0-9]*", m.name) for m in chip_of(board).beside)
    assert not {m.name for m in chip_of(board).beside} & {"arena", "state", "ram", "flash"}


@pytest.mark.parametrize("board", [board_param("stm32vldiscovery", is_long=True)])
def test_what_does_not_fit_is_told_to_the_byte(board: str) -> None:
    """Latents fill the RAM: what must go for it to fit is what the message says."""
    target, plan = Target.parse(f"sim:{board}"), with_slots(watch(board), 21)
    with pytest.raises(BudgetError, match=r"more than the 8,192 of sim:stm32vl") as refused:
        build(plan, target)
    needed, slot = refused.value.needed_bytes, plan.slot_bytes // 21
    assert (
        f"needs {needed:,} bytes of RAM (arena {plan.memory.arena_bytes:,}, "
        f"learned {plan.memory.state_bytes:,}" in str(refused.value)
    )
    assert f"latents {plan.slot_bytes:,}" in str(refused.value)

    fewer = with_slots(plan, 21 - -(-(needed - 8192) // slot))
    assert 8192 - slot - 8 < measured(build(fewer, target))["sram_bytes"] <= 8192


@each_port
def test_paint_covers_the_stack_and_nothing_else(board: str, tmp_path: Path) -> None:
    elf = watch_on(board).elf
    _, nbytes = paint(elf, tmp_path)
    before, after = load_image(elf), load_image(tmp_path / elf.name)
    painted = (tmp_path / elf.name).read_bytes()[elf.stat().st_size :]

    assert painted == bytes([PAINT]) * nbytes
    assert before.sections == after.sections
    assert np.frombuffer(painted, np.uint8).size == before.section(".stack").nbytes  # type: ignore[union-attr]

# SPDX-License-Identifier: Apache-2.0
"""The program that runs an AVR: what it counts against cycles of the instruction set's manual, what
it reads back, and what it refuses."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from mcutrain.host.boards import board_description, chip_of
from mcutrain.host.building.firmware import build
from mcutrain.host.building.fitting import check_budget
from mcutrain.host.building.source import constant_bytes, copied_constant_bytes
from mcutrain.host.building.target import Target
from mcutrain.host.cost import measured
from mcutrain.host.errors import TransportError
from mcutrain.host.measure.machines_avr import DATA_BASE
from mcutrain.host.simulation.counts import Counting, Region, read_counted, read_counts
from mcutrain.host.simulation.emulators import simavr
from mcutrain.host.simulation.emulators.emulator import Missing
from mcutrain.host.simulation.emulators.simavr import Simavr
from mcutrain.host.system.here import start
from mcutrain.host.training.runners import simulated
from mcutrain.host.waiting import Waiting
from mcutrain.trainer.errors import BudgetError
from mcutrain.trainer.interpreter import Interpreter, pack_state, unpack_state
from mcutrain.trainer.making.options import Activation, FullyConnectedOptions
from mcutrain.trainer.making.writer import WriterOp, write_model
from mcutrain.trainer.ops.sgd import INPUT_SHIFT, LearningRate
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import parse
from tests.support.simulated_boards import board_param
from tests.support.small_links import Linked, link_avr
from tests.support.small_models import activation, bias, weights

BOARDS = {"atmega1284p": 4, "atmega2560": 5}  # cycles of CALL and of RET: a byte more is pushed
each_avr = pytest.mark.parametrize("board", [board_param(board) for board in BOARDS])

# 100 cycles, and a return; then the next function is called.
COUNTED = """
volatile unsigned long kept = 0x12345678;
__attribute__((naked, noinline, used)) void first(void)
{
    __asm__ volatile(".rept 100\\n nop\\n .endr\\n ret");
}
__attribute__((naked, noinline, used)) void second(void) { __asm__ volatile("ret"); }
int main(void) { for (;;) { __asm__ volatile("call first\\n call second"); kept; } }
"""


def address_of(linked: Linked, name: str) -> int:
    return next(s.address for s in linked.image.symbols if s.name == name)


@contextmanager
def running(emulator: Simavr, elf: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """The runner, from when it has named its port."""
    process = start([*emulator.command(elf), *arguments], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert b"USART0 is /dev/" in process.stdout.readline()
        yield process
    finally:
        process.terminate()
        assert process.wait(60) == 0
        process.stdout.close()


@each_avr
def test_cycles_are_those_of_the_manual(board: str, tmp_path: Path) -> None:
    linked = link_avr(tmp_path, {"main": COUNTED}, board)
    begin, end = address_of(linked, "first"), address_of(linked, "second")
    out, owners = tmp_path / "counts", tmp_path / "owners"
    owners.write_text(f"{begin:x} {begin + 60:x} 1\n{begin + 60:x} {begin + 200:x} 2\n")
    emulator = Simavr(board_description(board)["simulation"])
    asked = Counting((Region("step", begin, end),), out, owners)
    waiting = Waiting(60)
    with running(emulator, linked.elf, *emulator.counting_args(asked)):
        while waiting.left_s() > 0 and out.read_text().count("\n") < 3:
            pass
    counted = read_counted(out)["step"]

    call = BOARDS[board]
    assert {each.count for each in counted} == {100 + call + call}
    # An owner has what follows its instructions, up to the next one's.
    assert counted[0].by_owner == {1: 30, 2: 70 + call + call}


@each_avr
def test_ram_is_read_as_the_core_sees_it(board: str, tmp_path: Path) -> None:
    linked = link_avr(tmp_path, {"main": COUNTED}, board)
    emulator = Simavr(board_description(board)["simulation"])
    kept = address_of(linked, "kept")
    waiting = Waiting(60)
    with running(emulator, linked.elf, *emulator.memory_args(tmp_path)):
        found = bytes(4)
        while waiting.left_s() > 0 and found == bytes(4):  # until its start-up has run
            found = emulator.read_memory(tmp_path, kept, 4)
        with pytest.raises(TransportError, match=r"simavr has no 70000 bytes of RAM at 0x800100"):
            emulator.read_memory(tmp_path, DATA_BASE + 0x100, 70000)
    with pytest.raises(TransportError, match="simavr does not answer"):
        emulator.read_memory(tmp_path / "nowhere", kept, 4)

    assert found == (0x12345678).to_bytes(4, "little")


@pytest.mark.parametrize("board", [board_param("atmega1284p")])
def test_what_cannot_run_is_told_in_a_line(board: str, tmp_path: Path) -> None:
    linked = link_avr(tmp_path, {"main": COUNTED}, board)
    simulation = board_description(board)["simulation"]
    text = tmp_path / "text"
    text.write_text("no ELF")
    elf = str(linked.elf)

    assert refusal({**simulation, "mcu": "atmega9"}, elf).endswith("simavr has no atmega9\n")
    assert refusal(simulation, str(text)) == f"{text}: not a firmware of an AVR\n"
    assert refusal(simulation, elf, "surprise") == "unknown argument surprise\n"
    assert "no region" in refusal(simulation, elf, "region=step")


def refusal(simulation: dict[str, object], *arguments: str) -> str:
    """What the runner says when it ends at once."""
    command = [*Simavr(simulation).command(Path("x"))[:-1], *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    return done.stderr


def test_a_library_that_is_not_installed_is_told_with_its_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(simavr, "HEADER", tmp_path / "none.h")
    assert next(Simavr({}).missing()) == Missing("libsimavr", "sudo apt-get install libsimavr-dev")


def perceptron(inputs: int, units: int) -> bytes:
    """Two layers, the second of 10 classes."""
    rng = np.random.default_rng(0)
    relu = FullyConnectedOptions(fused_activation_function=Activation.RELU)
    tensors = [
        activation("x", (1, inputs), 1 / 16, -128),
        weights("w1", (units, inputs), 0, rng), bias("b1", units, rng),
        activation("h", (1, units), 0.5, -128),
        weights("w2", (10, units), 0, rng), bias("b2", 10, rng),
        activation("y", (1, 10), 1.0, 0),
    ]  # fmt: skip
    ops = [
        WriterOp("FULLY_CONNECTED", ("x", "w1", "b1"), ("h",), relu),
        WriterOp("FULLY_CONNECTED", ("h", "w2", "b2"), ("y",), FullyConnectedOptions()),
    ]
    return write_model(tensors, ops, ["x"], ["y"])


@pytest.mark.slow
@pytest.mark.parametrize("board", [board_param("atmega1284p", is_long=True)])
@pytest.mark.parametrize(
    ("precondition", "most_first", "most"),
    [("off", 430_000, 190_000), ("inputs", 500_000, 212_000)],
)
def test_a_perceptron_trains_in_few_cycles(
    precondition: str, most_first: int, most: int, board: str, tmp_path: Path
) -> None:
    """64 inputs, 32 and 10 units, all weights learn; the figure of ADR 0071 and its worst case."""
    options = PlanOptions("full", precondition=precondition)
    plan = make_plan(parse(perceptron(64, 32), "mlp"), options, chip_of(board))
    built = build(plan, Target.parse(f"sim:{board}"))
    rng, labels = np.random.default_rng(1), np.arange(200) % 10
    centres = rng.integers(-128, 128, (10, 64))
    x = np.clip(centres[labels] + rng.integers(-60, 60, (200, 64)), -128, 127).astype(np.int8)
    with simulated(built, tmp_path / "counts") as runner:
        runner.reset(0)
        runner.set_learning_rate(LearningRate.from_real(2.0**-6))
        for sample, label in zip(x[:60], labels[:60], strict=True):
            runner.step(sample, label, wants_digest=False)
    first, *others = read_counts(tmp_path / "counts")["step"]

    assert measured(built)["sram_bytes"] <= 8192
    assert first <= most_first
    assert np.mean(others) <= most


@pytest.mark.slow
@pytest.mark.parametrize("board", [board_param("atmega1284p")])
def test_steps_of_any_size_behind_an_input_channel_are_exact(board: str, tmp_path: Path) -> None:
    """Shifts below a byte, of bytes, beyond 30 and to the left each go a way of their own."""
    plan = make_plan(parse(perceptron(32, 16), "mlp"), PlanOptions("full"), chip_of(board))
    rng, reference = np.random.default_rng(2), Interpreter(plan, seed=3)
    first = unpack_state(plan, pack_state(plan, reference.state))
    with simulated(build(plan, Target.parse(f"sim:{board}")), tmp_path / "counts") as runner:
        for k in range(40):
            reference.state = unpack_state(plan, pack_state(plan, first))
            for shift in plan.learning.companions.of(INPUT_SHIFT).values():
                reference.state[shift] = rng.integers(-9, 10, shift.type.shape).astype(np.int8)
            runner.load(pack_state(plan, reference.state))
            rate = LearningRate.from_real(2.0 ** -(k % 20))
            sample, label = rng.integers(-128, 128, (1, 32)).astype(np.int8), k % 10
            reference.set_learning_rate(rate)
            runner.set_learning_rate(rate)
            reference.step(sample, label)
            runner.step(sample, label, wants_digest=False)

            assert runner.state() == pack_state(plan, reference.state), k


def test_constants_that_do_not_fit_are_told() -> None:
    """They are in RAM, whatever flash there is."""
    model, board = parse(perceptron(128, 64), "wide"), "atmega2560"
    plan = make_plan(model, PlanOptions("head"), chip_of(board))
    copied = copied_constant_bytes(plan, plan.chip)
    assert 128 * 64 < copied < constant_bytes(plan)
    with pytest.raises(BudgetError, match=rf"{copied:,} of them for constants, which pointers"):
        check_budget(plan, Target.parse(f"sim:{board}"))
    assert copied_constant_bytes(plan, chip_of("microbit")) == 0

# SPDX-License-Identifier: Apache-2.0
"""The model in a linked program, executed in this process."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from mcutrain.host.building.cores import CORES, core_named
from mcutrain.host.building.firmware import build
from mcutrain.host.building.source import step_calls
from mcutrain.host.building.target import Target
from mcutrain.host.cli.commands import verify as command
from mcutrain.host.errors import EmulationError, MismatchError
from mcutrain.host.link.model_device import ModelDevice
from mcutrain.host.request import Request
from mcutrain.host.simulation.counts import read_counts
from mcutrain.host.simulation.function_device import FunctionDevice
from mcutrain.host.simulation.unicorn import machine
from mcutrain.host.simulation.unicorn.functions import ProgramFunctions, region_symbol
from mcutrain.host.simulation.unicorn.matching import plan_of
from mcutrain.host.simulation.unicorn.program import load_program
from mcutrain.host.training.runners import simulated
from mcutrain.trainer.errors import Error
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.command import Ran, Run
from tests.support.paths import WATCH
from tests.support.programs import own_program

pytestmark = pytest.mark.board
MODEL, DATA = WATCH / "watch.tflite", WATCH / "demo.npz"
FEW = ("cortex-m0", "cortex-m4", "riscv32")  # the others differ in name from these
VERIFY = ("verify", MODEL, "--data", DATA)


@pytest.fixture(scope="module")
def plan() -> TrainingPlan:
    return Request.of(MODEL, "last:2").plan()


@pytest.fixture(scope="module")
def own(plan: TrainingPlan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return own_program(plan, tmp_path_factory.mktemp("own"))


def device_of(elf: Path, plan: TrainingPlan, limit: int | None = None) -> FunctionDevice:
    program = load_program(elf, plan.name)
    return FunctionDevice(ProgramFunctions(program, plan, limit), plan, step_calls(plan))


def equal_steps(device: FunctionDevice, plan: TrainingPlan, count: int) -> int:
    """How many of the first steps are the reference's."""
    data, reference, equal = np.load(DATA), Interpreter(plan, 7), 0
    device.reset(7)
    for sample, label in list(zip(data["x_train"], data["y_train"], strict=True))[:count]:
        expected = reference.step(sample, int(label))
        device.write_sample(sample.tobytes())
        found = device.step(int(label), wants_digest=True)
        told = (found.sum, found.distance, found.predicted, found.digest)
        equal += told == (expected.sum, expected.distance, expected.predicted, reference.digest())
    return equal


def test_a_users_own_program_trains_bit_for_bit(own: Path, run: Run) -> None:
    found = run(*VERIFY, "--update", "last:2", "--elf", own, "--json")

    assert found.status == 0, found.err
    told = json.loads(found.out)
    assert (told["verified_steps"], told["verified_inferences"]) == (35, 35)
    assert (told["bit_exact"], told["core"], told["model"]) == (True, "cortex-m4", "watch")
    memory = told["memory"]
    assert (memory["arena_bytes"], memory["state_bytes"]) == (1104, 1288)
    assert memory["program_flash_bytes"] > memory["constant_bytes"] + memory["code_bytes"]
    assert 0 < told["forward_instructions"] < told["instructions_per_step"]
    assert 0 < told["stack_used_bytes"] < machine.STACK_BYTES


def test_what_the_linker_dropped_is_read_from_memory(own: Path, plan: TrainingPlan) -> None:
    program = load_program(own, plan.name)

    dropped = ("loss", "digest", "begin", "logits", "set_learning_rate")
    assert program.numerics_hash is None
    assert [program.function(name) for name in dropped] == [None] * len(dropped)
    assert equal_steps(device_of(own, plan), plan, 2) == 2


@pytest.mark.parametrize(
    "core",
    [core if core in FEW else pytest.param(core, marks=pytest.mark.exhaustive) for core in CORES],
)
def test_every_core_trains_bit_for_bit(core: str, plan: TrainingPlan) -> None:
    target = Target.parse(f"unicorn:{core}")
    there = Request.of(MODEL, "last:2").on(target.chip).plan()
    with simulated(build(there, target)) as runner:
        assert isinstance(runner.device, FunctionDevice)
        assert equal_steps(runner.device, there, 3) == 3


@pytest.mark.exhaustive
def test_counts_are_those_of_qemu(tmp_path: Path) -> None:
    """Of the same firmware. QEMU counts on to the mark behind the call, which is always as far."""
    target, data = Target.parse("sim:mps2_an386"), np.load(DATA)
    there = Request.of(MODEL, "last:2").on(target.chip).plan()
    built, file = build(there, target), tmp_path / "counts"
    with simulated(built, file) as runner:
        take_counted_steps(runner.device, data)
    device = device_of(built.elf, there)
    device.counts = {}
    take_counted_steps(device, data)
    further = np.subtract(read_counts(file)["step"], device.counts["step"])

    assert len(further) == 3 and min(device.counts["step"]) > 50_000
    assert 0 < further[0] < 10 and (further == further[0]).all()


def take_counted_steps(device: ModelDevice, data: Mapping[str, Array]) -> None:
    device.reset(0)
    for k in range(3):
        device.write_sample(data["x_train"][k].tobytes())
        device.step(int(data["y_train"][k]))


def test_a_call_may_be_interrupted_at_any_instruction(
    own: Path, plan: TrainingPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In conditional blocks too, whose state is not in the address."""
    monkeypatch.setattr(machine, "SLICE_US", 1)
    monkeypatch.setattr(machine, "SLOWEST", 1 << 40)
    monkeypatch.setattr(machine, "PORTION", 97)

    assert equal_steps(device_of(own, plan), plan, 2) == 2


def test_a_state_that_is_written_goes_on(own: Path, plan: TrainingPlan) -> None:
    device = device_of(own, plan)
    equal_steps(device, plan, 2)
    state = device.read(1)
    device.reset(3)
    device.write(1, state)

    assert device.read(1) == state
    assert device.digest().steps == 2


def test_the_program_tells_which_chip_its_c_is_for(plan: TrainingPlan, tmp_path: Path) -> None:
    chip = CORES["cortex-m4"].chip
    fast = Request.of(MODEL, "last:2").on(chip).plan()
    elf = own_program(fast, tmp_path)
    found = plan_of(Request.of(MODEL, "last:2"), load_program(elf, "watch"))

    assert found.chip.features == {"dsp"}
    assert found.memory.regions == fast.memory.regions != plan.memory.regions


def changed(elf: Path, table: str, to: Path, value: int) -> Path:
    """A copy of a program with another first byte of a constant."""
    program, raw = load_program(elf, "watch"), bytearray(elf.read_bytes())
    symbol = program.symbols[table]
    raw[raw.find(program.image.read(symbol.address, symbol.nbytes))] ^= value
    to.write_bytes(raw)
    return to


def test_a_difference_is_found_and_told(plan: TrainingPlan, tmp_path: Path, run: Run) -> None:
    """A rate in flash has lost a bit: the node that reads it is named, if the program can be run
    call by call."""
    kept = tuple(f"-Wl,--undefined=watch_{name}" for name in ("begin", "run"))
    for flags, said in (
        (kept, "step 0: the device differs from the reference first at node conv_2d_2_w"),
        ((), "step 0: the program differs from the reference; no node is known, for "),
    ):
        elf = own_program(plan, tmp_path, flags=flags)
        other = changed(elf, "watch_conv_2d_2_w_update_rate", tmp_path / "other.elf", 1)
        found = run(*VERIFY, "--update", "last:2", "--elf", other)

        assert found.status == 1
        assert f"error: {said}" in found.err
        assert "0 steps and 0 inferences are equal" in found.out


# What is wrong with a program, and what is said.
def test_a_program_of_another_plan_is_refused(plan: TrainingPlan, tmp_path: Path, run: Run) -> None:
    elf = own_program(plan, tmp_path, flags=("-Wl,--undefined=watch_numerics_hash",))
    found = run(*VERIFY, "--update", "last:1", "--elf", elf)
    assert "give the options that its C was generated with" in refused(found)
    assert "its model watch is " in found.err


def test_without_its_hash_too(own: Path, run: Run) -> None:
    other = run(*VERIFY, "--update", "last:1", "--elf", own)
    assert "other bytes (arena 1,104, state 1,288) than this plan (" in refused(other)


def test_its_state_after_a_reset_is_compared(own: Path, tmp_path: Path, run: Run) -> None:
    other = changed(own, "watch_fully_connected_5_w_initial", tmp_path / "other.elf", 1)
    found = run(*VERIFY, "--update", "last:2", "--elf", other)

    assert "its state is not the one that this plan begins with" in refused(found)


def refused(found: Ran) -> str:
    """The one line of an error."""
    assert (found.status, found.out) == (1, "")
    last = found.err.splitlines()[-1]
    assert last.startswith("error: ") and found.err.count("error: ") == 1
    return last


def test_files_that_are_no_program_are_refused(own: Path, tmp_path: Path, run: Run) -> None:
    raw = own.read_bytes()
    stripped = tmp_path / "stripped.elf"
    subprocess.run(["arm-none-eabi-strip", own, "-o", stripped], check=True)
    (tmp_path / "half.elf").write_bytes(raw[: len(raw) // 2])
    (tmp_path / "empty.elf").write_bytes(b"")
    (tmp_path / "a.bin").write_bytes(b"\0" * 64)
    (tmp_path / "big.elf").write_bytes(raw[:5] + b"\x02" + raw[6:])
    x86 = shutil.which("true")
    (tmp_path / "sparc.elf").write_bytes(raw[:18] + struct.pack("<H", 2) + raw[20:])
    for path, said in (
        (stripped, "no symbols; link without -s"),
        (tmp_path / "half.elf", "not a readable ELF file"),
        (tmp_path / "empty.elf", "is no ELF file"),
        (tmp_path / "a.bin", "is no ELF file; give what the linker wrote, not a .bin"),
        (tmp_path / "big.elf", "is a program of 32 bits, big-endian"),
        (x86, "is a program of 64 bits, little-endian; give one for cortex-m0"),
        (tmp_path / "sparc.elf", "is a program for SPARC; give one for cortex-m0"),
    ):
        found = run(*VERIFY, "--update", "last:2", "--elf", path)
        assert said in refused(found), path


def test_damaged_tables_end_in_an_error(own: Path, tmp_path: Path) -> None:
    raw, path = own.read_bytes(), tmp_path / "damaged.elf"
    table = int.from_bytes(raw[32:36], "little")
    random = np.random.default_rng(1)
    for _ in range(60):
        changed = bytearray(raw)
        for at in (
            random.integers(0, 52, 2).tolist() + (table + random.integers(0, 400, 3)).tolist()
        ):
            if at < len(changed):
                changed[at] = int(random.integers(256))
        path.write_bytes(changed)
        said = ""
        with suppress(Error):  # some damage does not matter
            said = load_program(path, "watch").model
        assert said in ("", "watch")


def test_a_program_without_a_model_is_refused(tmp_path: Path, run: Run) -> None:
    (tmp_path / "no.c").write_text("int main(void) { return 0; }")
    elf = tmp_path / "no.elf"
    command = ["arm-none-eabi-gcc", "-mcpu=cortex-m0", "-mthumb", "-nostdlib", "-Wl,--entry=main"]
    subprocess.run([*command, tmp_path / "no.c", "-o", elf], check=True)

    said = refused(run(*VERIFY, "--elf", elf))
    assert "holds no model that mcutrain generated" in said


BAD = """
        if ({name}_push(0, window, sizeof window) == MCT_OK && {name}_step(*sensor) == MCT_OK) {{
            learned++;
        }}
"""


def replacing(name: str, code: str) -> str:
    """C that comes before the archive's kernel of that name."""
    return f"void {name}(void) {{ {code} }}\n"


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("*(volatile int *)0x40001000 = 1;", "it writes 4 bytes at 0x40001000"),
        ("(void)*(volatile int *)0x50001000;", "it reads 4 bytes at 0x50001000"),
        ("((void (*)(void))0x60000001)();", "at 0x60000000, where this program has no memory"),
        ('__asm volatile("svc #0");', "it raises the exception 2, and no handler runs here"),
    ],
)
def test_a_fault_in_the_middle_is_one_line(
    code: str, said: str, plan: TrainingPlan, tmp_path: Path
) -> None:
    kernel = "mct_average_pool2d_s8"
    elf = own_program(plan, tmp_path, body=BAD, extra=replacing(kernel, code), flags=("-w",))
    device = device_of(elf, plan)
    with pytest.raises(EmulationError, match=said) as raised:
        equal_steps(device, plan, 1)
    assert "watch_step stopped in " in str(raised.value)


@pytest.mark.parametrize("is_counted", [False, True])
def test_a_step_that_never_ends_is_given_up(
    is_counted: bool, plan: TrainingPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "SLICE_US", 1000)
    extra = replacing("mct_average_pool2d_s8", "for (;;) { }")
    elf = own_program(plan, tmp_path, body=BAD, extra=extra, flags=("-w",))
    device = device_of(elf, plan, 200_000)
    device.counts = {} if is_counted else None
    words = "watch_step has not returned after 200,000 instructions, and is in mct_average_pool2d"
    with pytest.raises(EmulationError, match=words):
        equal_steps(device, plan, 1)


def test_a_stack_that_runs_over_is_noticed(plan: TrainingPlan, tmp_path: Path) -> None:
    deep = "volatile char a[0x11000]; a[0] = 1;"
    extra = replacing("mct_average_pool2d_s8", deep)
    elf = own_program(plan, tmp_path, body=BAD, extra=extra, flags=("-w",))
    with pytest.raises(EmulationError, match="it writes 1 bytes at 0x"):
        equal_steps(device_of(elf, plan), plan, 1)


def test_code_of_another_core_does_not_run(own: Path, plan: TrainingPlan) -> None:
    program = load_program(own, plan.name, "cortex-m0")
    device = FunctionDevice(ProgramFunctions(program, plan), plan, step_calls(plan))
    with pytest.raises(EmulationError, match="on cortex-m0: Invalid instruction"):
        equal_steps(device, plan, 1)


def test_a_core_with_vectors_is_refused() -> None:
    with pytest.raises(Error, match=r"no vectors .MVE.: give sim:mps3_an547"):
        core_named("cortex-m55")
    with pytest.raises(Error, match="unknown core 'z80': give cortex-m0, "):
        Target.parse("unicorn:z80")


def test_the_help_names_all_cores() -> None:
    assert tuple(CORES) == command.CORES


def test_a_program_for_another_processor_names_it(own: Path) -> None:
    with pytest.raises(Error, match="is a program for Arm; riscv32 does not execute it"):
        load_program(own, "watch", "riscv32")


def test_a_region_that_a_program_has_not_is_named(own: Path) -> None:
    with pytest.raises(MismatchError, match="no variable watch_arena_other"):
        region_symbol(load_program(own, "watch"), "other")

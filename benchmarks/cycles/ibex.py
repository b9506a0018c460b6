# SPDX-License-Identifier: Apache-2.0
"""The RTL of an Ibex core, made a program by Verilator, and what runs on it.

The RTL is lowRISC's, from the Python package pythondata-cpu-ibex; it is no dependency, since it
takes 56 MB. What is made is kept in build/ibex.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.places import BUILD
from mcutrain.host.boards import board_description
from mcutrain.host.building.source import generate
from mcutrain.host.errors import BuildError
from mcutrain.host.places import FIRMWARE_DIR
from mcutrain.host.prediction.samples import SEED, random_samples
from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.ops.sgd import LearningRate
from mcutrain.trainer.training_plan import TrainingPlan

HERE = Path(__file__).parent
MADE = BUILD / "ibex"
PACKAGE, VERSION = "pythondata_cpu_ibex", "0.0.post2937"
BOARD = "rv32_virt"  # whose compiler flags and chip these are
RATE = LearningRate.from_real(2.0**-6)
STEPS = 4
MOST_CYCLES = 100_000_000
STACK_BYTES = 4096
# Packages of SystemVerilog come before the modules that import them.
PACKAGES = (
    "prim_ram_1p_pkg", "prim_secded_pkg", "prim_mubi_pkg", "prim_count_pkg", "prim_cipher_pkg",
    "prim_util_pkg",
)  # fmt: skip


@dataclass(frozen=True)
class Configuration:
    """A core as ibex_configs.yaml of the RTL names it; ``multiplier`` is a value of rv32m_e."""

    name: str
    multiplier: int
    is_fast: bool


CONFIGURATIONS = (Configuration("small", 2, False), Configuration("maxperf", 3, True))


@dataclass(frozen=True)
class Ran:
    """Cycles and instructions of each step, and of an inference behind them."""

    steps: tuple[tuple[int, int], ...]
    inference: tuple[int, int]


def rtl() -> Path:
    """The folder of the RTL. Raises BuildError with what installs it, and Verilator."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        name = PACKAGE.replace("_", "-")
        raise BuildError(f"no RTL of an Ibex: run pip install {name}=={VERSION}")
    if shutil.which("verilator") is None:
        raise BuildError("verilator is not installed; run: sudo apt-get install verilator")
    return Path(found.origin).parent / "system_verilog"


def simulator(configuration: Configuration) -> Path:
    """The program that is the core, made now unless it was before. Raises BuildError."""
    folder = MADE / configuration.name
    program = folder / "simulate"
    if not program.is_file():
        source = rtl()
        prim = source / "vendor" / "lowrisc_ip" / "ip"
        common = source / "dv" / "uvm" / "core_ibex" / "common" / "prim"
        command = [
            "verilator", "--cc", "--exe", "--build", "-O3", "-CFLAGS", "-O2", "--prefix", "Vcore",
            "--top-module", "core", "-Wno-fatal", "-Wno-lint", "-Wno-style", "+define+SYNTHESIS",
            f"-GMultiplier={configuration.multiplier}", f"-GIsFast={int(configuration.is_fast)}",
            f"+incdir+{prim / 'prim' / 'rtl'}",
            f"+incdir+{source / 'vendor' / 'lowrisc_ip' / 'dv' / 'sv' / 'dv_utils'}",
            "--Mdir", str(folder), "-o", program.name, str(common / "prim_pkg.sv"),
            *(str(prim / "prim" / "rtl" / f"{name}.sv") for name in PACKAGES),
            str(source / "rtl" / "ibex_pkg.sv"), "-y", str(source / "rtl"),
            "-y", str(prim / "prim" / "rtl"), "-y", str(prim / "prim_generic" / "rtl"),
            "-y", str(common), str(HERE / "core.sv"), str(HERE / "simulate.cc"),
        ]  # fmt: skip
        executed(command)
    return program


def run(plan: TrainingPlan, configuration: Configuration) -> Ran:
    """Trains a few steps on the core. BuildError if anything does not build, does not end, or has
    other bits than the reference."""
    image = image_of(plan)
    command = [str(simulator(configuration)), str(image), str(MOST_CYCLES)]
    numbers = [int(line) for line in executed(command).split()]
    steps = [numbers[3 * n : 3 * n + 3] for n in range(STEPS)]
    if [digest for _, _, digest in steps] != digests(plan):
        raise BuildError(f"{plan.name}: the core's digests are not the reference's")
    cycles, instructions = numbers[3 * STEPS :]
    return Ran(tuple((cycles, count) for cycles, count, _ in steps), (cycles, instructions))


def digests(plan: TrainingPlan) -> list[int]:
    """Those of the reference, behind each step."""
    reference, found = Interpreter(plan, SEED), []
    reference.set_learning_rate(RATE)
    for sample, target in random_samples(plan, STEPS):
        reference.step(sample, target)
        found.append(reference.digest())
    return found


def image_of(plan: TrainingPlan) -> Path:
    """The program and the model as they lie in memory from 0x80000000 on. Raises BuildError."""
    folder = MADE / plan.name
    generate(plan, folder, BOARD)
    (folder / "samples.h").write_text(samples_header(plan))
    built = board_description(BOARD)["build"]
    left_out = json.loads((folder / f"{plan.name}.json").read_text())["left_out"]
    kernels = sorted((FIRMWARE_DIR / "kernels").glob("*.c"))
    sources = [
        HERE / "program.c", folder / f"{plan.name}.c", FIRMWARE_DIR / "ports/riscv/startup.c",
        *(path for path in kernels if f"kernels/{path.name}" not in left_out),
        *sorted((FIRMWARE_DIR / "mct").glob("*.c")),
    ]  # fmt: skip
    elf, image = folder / "program.elf", folder / "program.bin"
    executed([
        f"{built['toolchain']}gcc", *built["cpu_flags"], "-std=gnu11", "-O2",
        "-ffunction-sections", "-fdata-sections", "-nostdlib", "-Wl,--gc-sections",
        f"-DCALL(function)={plan.name}_##function", "-include", f"{plan.name}.h",
        f"-I{FIRMWARE_DIR}", f"-I{folder}", f"-L{FIRMWARE_DIR / 'ports'}",
        f"-T{HERE / 'ibex.ld'}", f"-Wl,--defsym=MCT_STACK_BYTES={STACK_BYTES}",
        *map(str, sources), "-lc", "-lgcc", "-o", str(elf),
    ])  # fmt: skip
    sections = [f"--only-section={name}" for name in (".boot", ".text", ".rodata", ".data")]
    executed([f"{built['toolchain']}objcopy", "-O", "binary", *sections, str(elf), str(image)])
    image.write_bytes(bytes(0x80) + image.read_bytes())
    return image


def samples_header(plan: TrainingPlan) -> str:
    """What the program learns from, as C."""
    taught = random_samples(plan, STEPS)
    rows = ",\n".join(
        "{" + ", ".join(map(str, np.asarray(sample).reshape(-1))) + "}" for sample, _ in taught
    )
    labels = ", ".join(str(int(target)) for _, target in taught)
    nbytes = plan.task.input.type.nbytes
    return (
        "#include <stdint.h>\n"
        f"enum {{ SEED = {SEED}, MULTIPLIER = {RATE.multiplier}, SHIFT = {RATE.shift}, "
        f"SAMPLES = {STEPS} }};\n"
        f"static const int8_t samples[SAMPLES][{nbytes}] = {{\n{rows}}};\n"
        f"static const uint32_t labels[SAMPLES] = {{{labels}}};\n"
    )


def executed(command: Sequence[str]) -> str:
    """What a program prints. BuildError with its last line if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()[-1]
        raise BuildError(f"{Path(command[0]).name} failed: {said}")
    return done.stdout

# SPDX-License-Identifier: Apache-2.0
"""Kinds of instructions by their encodings, as the assembler makes them, and cycles of them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from mcutrain.host.boards import chip_of
from mcutrain.host.building.firmware import build
from mcutrain.host.building.target import Target
from mcutrain.host.simulation.counts import read_counted
from mcutrain.host.simulation.cycles import KINDS, TIMINGS
from mcutrain.host.simulation.profile import profiles
from mcutrain.host.training.runners import profiling
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import load
from tests.support.paths import FIRMWARE, WATCH
from tests.support.simulated_boards import board_param, missing

PLUGIN = FIRMWARE / "platform" / "emulators" / "qemu"
# Each is assembled for a Cortex-M4: kind, registers that it moves among several.
INSTRUCTIONS = {
    "add r0, r1, r2": ("other", 0),
    "add.w r0, r1, r2, lsl #3": ("other", 0),
    "ldr r0, [r1, #4]": ("load", 0),
    "nop": ("other", 0),
    "ldrb r0, [r1, r2]": ("load", 0),
    "ldrsh r3, [r1, r2]": ("next load", 0),
    "strb r0, [r1, #1]": ("store", 0),
    "ldr.w r8, [r1, #400]": ("next load", 0),
    "mov r0, r0": ("other", 0),
    "ldr r0, [sp, #8]": ("load", 0),
    "str r0, [sp, #8]": ("store", 0),
    "str r0, [r1, r2]": ("store at", 0),
    "str.w r8, [r1, r2, lsl #2]": ("store at", 0),
    "str r0, [r1], #4": ("store", 0),
    "ldrsb.w r0, [r8], #1": ("next load", 0),
    "push {r0, r4, lr}": ("several", 3),
    "pop {r0, r4}": ("several", 2),
    "pop {r4, pc}": ("link", 2),
    "ldmia r0!, {r1, r2, r3}": ("several", 3),
    "stmia.w r0, {r1, r9}": ("several", 2),
    "ldmia.w sp!, {r4, r8, pc}": ("link", 3),
    "ldrd r0, r1, [r2]": ("several", 2),
    "strd r0, r1, [r2, #8]": ("several", 2),
    "tbb [pc, r0]": ("table", 0),
    "tbh [pc, r0, lsl #1]": ("table", 0),
    "muls r0, r1": ("multiply", 0),
    "mul r8, r1, r2": ("multiply", 0),
    "mla r0, r1, r2, r3": ("accumulate", 0),
    "mls r0, r1, r2, r3": ("accumulate", 0),
    "smlad r0, r1, r2, r3": ("multiply", 0),
    "smmulr r0, r1, r2": ("multiply", 0),
    "smull r0, r1, r2, r3": ("long", 0),
    "umull r0, r1, r2, r3": ("long", 0),
    "smlal r0, r1, r2, r3": ("long accumulate", 0),
    "umlal r0, r1, r2, r3": ("long accumulate", 0),
    "sdiv r0, r1, r2": ("divide", 0),
    "udiv r0, r1, r2": ("divide", 0),
    "bl 1b": ("link", 0),
    "blx r3": ("link", 0),
    "bx lr": ("other", 0),
    "b 1b": ("other", 0),
    "bne.w 1b": ("other", 0),
    "cbz r0, 2f": ("other", 0),
    "msr primask, r0": ("special", 0),
    "mrs r0, primask": ("special", 0),
    "dsb": ("special", 0),
    "ssat r0, #8, r1": ("other", 0),
    "sxtb16 r0, r1, ror #8": ("other", 0),
    "movw r0, #0x1234": ("other", 0),
    "pkhbt r0, r1, r2, lsl #16": ("other", 0),
}
HARNESS = """\
#include <stdio.h>
#include "thumb.h"
int main(void)
{
    uint8_t bytes[4];
    bool was_single = false;
    while (fread(bytes, 1, 2, stdin) == 2) {
        bool is_wide = bytes[1] >= 0xe8;
        if (is_wide && fread(bytes + 2, 1, 2, stdin) != 2) {
            return 1;
        }
        thumb found = thumb_of(bytes, is_wide, &was_single);
        printf("%d %u\\n", (int)found.kind, found.registers);
    }
    return 0;
}
"""


def output(*command: object, data: bytes | None = None) -> bytes:
    return subprocess.run([*map(str, command)], input=data, capture_output=True, check=True).stdout


@pytest.mark.board
@pytest.mark.skipif(bool(missing("mps2_an386")), reason=missing("mps2_an386"))
def test_encodings_have_their_kinds(tmp_path: Path) -> None:
    text = "\n".join([".syntax unified", ".thumb", "1:", *INSTRUCTIONS, "2: nop", ""])
    (tmp_path / "all.s").write_text(text)
    (tmp_path / "harness.c").write_text(HARNESS)
    made, flat, program = tmp_path / "all.o", tmp_path / "all.bin", tmp_path / "harness"
    output("arm-none-eabi-gcc", "-mcpu=cortex-m4", "-mthumb", "-c", tmp_path / "all.s", "-o", made)
    output("arm-none-eabi-objcopy", "-O", "binary", "-j", ".text", made, flat)
    flags = ("-std=c11", "-Wall", "-Wextra", "-Werror", "-fsanitize=undefined,address")
    output("gcc", *flags, "-I", PLUGIN, tmp_path / "harness.c", "-o", program)
    lines = output(program, data=flat.read_bytes()).decode().splitlines()

    found = [(KINDS[int(kind)], int(count)) for kind, count in map(str.split, lines)]
    assert dict(zip(INSTRUCTIONS, found, strict=False)) == INSTRUCTIONS
    assert len(found) == len(INSTRUCTIONS) + 1


@pytest.mark.slow
@pytest.mark.parametrize("board", [board_param("mps2_an386"), board_param("microbit")])
def test_kinds_add_up_to_the_instructions(board: str, tmp_path: Path) -> None:
    """Of each node; what always branches is among the branches that were taken."""
    plan = make_plan(load(WATCH / "watch.tflite"), PlanOptions("last:2"), chip_of(board))
    built = build(plan, Target.parse(f"sim:{board}"))
    sample = np.zeros(plan.task.input.type.shape, np.int8)
    with profiling(built, tmp_path / "counts") as runner:
        runner.reset(1)
        for label in range(2):
            runner.step(sample, np.array(label), wants_digest=False)
    (_, run) = read_counted(tmp_path / "counts")["step"]
    step = profiles(built, tmp_path / "counts")["step"]

    assert run.kinds.keys() == run.by_owner.keys()
    for owner, counts in run.kinds.items():
        kinds = dict(zip(KINDS, counts, strict=True))
        taken, registers = kinds.pop("taken"), kinds.pop("register")
        assert sum(kinds.values()) == run.by_owner[owner]
        assert kinds["link"] <= taken <= run.by_owner[owner] / 2
        assert registers >= 2 * (kinds["several"] > 0)
    assert step.estimated_cycles == sum(c.estimated_cycles or 0 for c in step.nodes) + round(
        TIMINGS[f"cortex-{'m4' if board == 'mps2_an386' else 'm0'}"].estimate(run.kinds[0])
    )
    assert 1.1 < step.estimated_cycles / step.count < 2.2


def test_an_estimate_weighs_each_kind() -> None:
    counts = [0] * len(KINDS)
    for kind, count in (("other", 10), ("load", 3), ("next load", 2), ("several", 1)):
        counts[KINDS.index(kind)] = count
    counts[KINDS.index("register")], counts[KINDS.index("taken")] = 4, 2

    assert TIMINGS["cortex-m4"].estimate(counts) == 10 + 3 * 2 + 2 + 1 + 4 + 2 * 2
    assert TIMINGS["cortex-m0"].estimate(counts) == 10 + 3 * 2 + 2 * 2 + 1 + 4 + 2 * 2
    assert {kind for timing in TIMINGS.values() for kind in timing.cycles} <= set(KINDS)

# SPDX-License-Identifier: Apache-2.0
"""The stack bound of RV32 code against frames known beforehand, and against a run in QEMU."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from mcutrain.host.measure.disassembly import MACHINES
from mcutrain.host.measure.machine import Flow
from mcutrain.host.measure.stack import EXCEPTION_FRAME, read_usage
from mcutrain.trainer.errors import Error
from tests.support.marks import exhaustive
from tests.support.small_links import link_riscv, needs_riscv
from tests.support.stack_programs import CALL_F, CHAIN, FAULTS, PAINTED, SWITCH, frames

MARCHES = ("rv32im", "rv32imac")
HANDLER = """
__attribute__((noinline)) int work(int n) { volatile char a[80]; a[n] = 1; return a[0]; }
extern volatile int seed;
__attribute__((interrupt("machine"), aligned(4))) void irq(void)
{
    volatile char a[40];
    a[seed] = 1;
    a[0] = work(a[0]);
}
"""


@needs_riscv
def test_a_chain_of_calls_costs_its_frames(tmp_path: Path) -> None:
    linked = link_riscv(tmp_path, {"main": CHAIN})
    found = frames(linked)
    usage = read_usage(linked.object_dir / "main.su")

    assert list(found) == ["start", "main", "outer", "inner"]
    assert [usage[name].nbytes for name in ("main", "outer", "inner")] == list(found.values())[1:]
    assert linked.stack().initial == 0x80000000 + 4096
    assert 200 <= found["inner"] <= 200 + 8 + 16


@needs_riscv
def test_a_handler_saves_what_the_core_does_not(tmp_path: Path) -> None:
    without = link_riscv(tmp_path, {"main": CHAIN}).stack()
    linked = link_riscv(tmp_path, {"main": CHAIN, "irq": HANDLER})
    report = linked.stack()
    at = report.path.index((EXCEPTION_FRAME, 0))
    usage = read_usage(linked.object_dir / "irq.su")

    assert report.path[:at] == without.path
    # ra, seven temporaries and eight arguments, of four bytes each, beside the array.
    assert report.path[at + 1 :] == (("irq", usage["irq"].nbytes), ("work", usage["work"].nbytes))
    assert 64 + 40 <= usage["irq"].nbytes <= 64 + 40 + 16


@needs_riscv
@pytest.mark.parametrize("march", [exhaustive(march, ["rv32im"]) for march in MARCHES])
@pytest.mark.parametrize("optimise", ["-O0", "-Os", "-O2"])
def test_every_case_of_a_switch_counts(tmp_path: Path, march: str, optimise: str) -> None:
    linked = link_riscv(tmp_path, {"main": SWITCH}, march, optimise)

    assert frames(linked)["f7"] >= 128


@needs_riscv
def test_a_switch_counts_whose_table_begins_a_page(tmp_path: Path) -> None:
    """LUI alone makes the table's address then, and objdump tells none."""
    linked = link_riscv(tmp_path, {"main": SWITCH}, table_alignment=4096)

    assert frames(linked)["f7"] >= 128


@needs_riscv
def test_a_frame_too_large_for_one_instruction_counts(tmp_path: Path) -> None:
    text = CHAIN.replace("a[200]", "a[9000]")
    linked = link_riscv(tmp_path, {"main": text})

    assert 9000 <= frames(linked)["inner"] <= 9000 + 32


@needs_riscv
def test_a_tail_call_does_not_pay_for_the_frame_it_has_left(tmp_path: Path) -> None:
    last = "FUNCTION last(int n) { shallow(n); return inner(n); }\nint main"
    text = CHAIN.replace("int main", last).replace("+ outer(seed)", "+ last(seed)")
    found = frames(link_riscv(tmp_path, {"main": text}))

    assert "last" not in found
    assert 200 <= found["inner"] <= 200 + 24


@needs_riscv
def test_a_library_function_is_bounded_by_its_code(tmp_path: Path) -> None:
    text = """
    #include <string.h>
    #include <stdint.h>
    char to[100], from[100];
    volatile unsigned n;
    volatile uint64_t divisor = 3;
    int main(void) { memmove(to, from, n); return (int)(UINT64_MAX / divisor); }
    """
    found = frames(link_riscv(tmp_path, {"main": text}))

    assert list(found)[:2] == ["start", "main"]
    assert list(found)[2:] in (["memmove"], ["__udivdi3"], [])


@needs_riscv
@pytest.mark.parametrize("fault", FAULTS)
def test_what_has_no_bound_is_an_error_that_names_the_function(tmp_path: Path, fault: str) -> None:
    text, message = FAULTS[fault]
    linked = link_riscv(tmp_path, {"main": text + CALL_F}, optimise="-O1")

    with pytest.raises(Error, match=message):
        linked.stack()


@needs_riscv
def test_a_jump_through_a_table_of_functions_is_no_switch(tmp_path: Path) -> None:
    text = CHAIN.replace(
        "int main",
        "int (*const table[])(int) = {inner, outer};\n"
        "FUNCTION f(int n) { return table[n](n); }\nint main",
    )
    linked = link_riscv(tmp_path, {"main": text.replace("outer(seed)", "f(seed)")})

    with pytest.raises(Error, match=r"^f calls through a pointer \(jr"):
        linked.stack()
    assert frames(linked, {"f": ["inner", "outer"]})["inner"] >= 200


def test_instructions_that_matter_are_understood() -> None:
    decode = MACHINES["EM_RISCV"].decode

    pushes = ["add sp,sp,-16", "addi sp,sp,2032", "sw ra,12(sp)", "addi s0,sp,32", "mv sp,s0"]
    assert [decode(0, text).push_bytes for text in pushes] == [16, -2032, 0, 0, 0]
    moves = [
        "add sp,sp,t0",
        "mv sp,t0",
        "lw sp,0(a0)",
        "sub sp,sp,a5",
        "sw sp,0(a0)",
        "beq sp,a0,8 <f>",
    ]
    assert [decode(0, text).moves_stack for text in moves] == [True] * 4 + [False] * 2
    ends = ["ret", "mret", "ebreak", "unimp"]
    assert [decode(0, text).flow for text in ends] == [Flow.END] * 4
    flows = ["jal 44 <f>", "jal ra,44 <f>", "j 44 <f>", "bltz a0,44 <f>", "bgtu a0,a1,44 <f>"]
    expected = [Flow.CALL, Flow.CALL, Flow.JUMP, Flow.BRANCH, Flow.BRANCH]
    assert [decode(0, text).flow for text in flows] == expected
    assert [decode(0, text).target for text in flows] == [0x44] * 5
    pointers = ["jal t0,44 <__riscv_save_4>", "jalr a5", "jr a5"]
    expected = [Flow.INDIRECT_CALL, Flow.INDIRECT_CALL, Flow.INDIRECT_JUMP]
    assert [decode(0, text).flow for text in pointers] == expected


# What PAINTED needs of an FE310: the software interrupt of its CLINT, and semihosting.
ON_RISCV = """
#define HANDLER __attribute__((interrupt("machine"), aligned(4)))
#define CSR(name, bits) __asm__ volatile(".option arch, +zicsr\\n csrs " name ", %0" ::"r"(bits));
#define ENABLE CSR("mie", 8) CSR("mstatus", 8)
#define SOFTWARE_INTERRUPT (*(volatile uint32_t *)0x02000000u)
#define PEND SOFTWARE_INTERRUPT = 1; while (SOFTWARE_INTERRUPT) {}
#define RESULT "a0"
#define ARGUMENT "a1"
#define BREAKPOINT ".option push\\n .option norvc\\n .balign 16\\n" \
    "slli x0, x0, 0x1f\\n ebreak\\n srai x0, x0, 7\\n .option pop"
#define STACK_POINTER "mv %0, sp"
"""


@needs_riscv
@pytest.mark.skipif(
    shutil.which("qemu-system-riscv32") is None,
    reason="qemu-system-riscv32 is missing: apt install qemu-system-misc",
)
@pytest.mark.parametrize("optimise", [exhaustive(o, ["-O0", "-Os"]) for o in ("-O0", "-Os", "-O2")])
def test_a_run_stays_within_the_bound_and_comes_near_it(tmp_path: Path, optimise: str) -> None:
    text = ON_RISCV + PAINTED.replace(
        "seed += in_handler", "SOFTWARE_INTERRUPT = 0; seed += in_handler"
    )
    linked = link_riscv(tmp_path, {"main": text}, optimise=optimise)
    command = ["qemu-system-riscv32", "-M", "sifive_e", "-nographic", "-monitor", "none"]
    command += ["-serial", "null", "-semihosting-config", "enable=on,target=native"]
    run = subprocess.run(
        [*command, "-kernel", str(linked.elf)], capture_output=True, text=True, timeout=60
    )
    used = re.search(r"used ([0-9a-f]{8})", run.stdout + run.stderr)
    assert used, run.stderr
    used_bytes, bound = int(used[1], 16), linked.stack()

    assert [name for name, _ in bound.path[-2:]] == ["irq", "in_handler"]
    # What may be left: the padding below the lowest array.
    assert 0 <= bound.total_bytes - used_bytes <= 16

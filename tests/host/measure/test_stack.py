# SPDX-License-Identifier: Apache-2.0
"""The stack bound against frames known beforehand, and against a run in QEMU."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from mcutrain.host.measure.disassembly import MACHINES, Flow
from mcutrain.host.measure.stack import read_usage
from mcutrain.trainer.errors import Error
from tests.support.small_links import ARM, link_arm, link_native, needs_arm, needs_gcc
from tests.support.stack_programs import CALL_F, CHAIN, FAULTS, PAINTED, SWITCH, frames


@needs_arm
def test_a_chain_of_calls_costs_its_frames(tmp_path: Path) -> None:
    linked = link_arm(tmp_path, {"main": CHAIN})
    found = frames(linked)
    usage = read_usage(linked.object_dir / "main.su")

    assert list(found)[:4] == ["Reset_Handler", "main", "outer", "inner"]
    assert [usage[name].nbytes for name in ("main", "outer", "inner")] == list(found.values())[1:4]
    # Array, saved registers (at most r4-r7, lr) and alignment.
    assert 64 <= found["outer"] <= 64 + 20 + 8
    assert 200 <= found["inner"] <= 200 + 20 + 8


@needs_arm
@pytest.mark.parametrize(
    ("cpu", "number", "expected"),
    [
        (["-mcpu=cortex-m4", "-mfloat-abi=soft"], "float", 36),
        (["-mcpu=cortex-m0"], "int", 36),
        (["-mcpu=cortex-m7", "-mfloat-abi=hard"], "int", 36),
        (["-mcpu=cortex-m7", "-mfloat-abi=hard"], "float", 108),
    ],
)
def test_the_deepest_interrupt_comes_on_top(
    tmp_path: Path, cpu: list[str], number: str, expected: int
) -> None:
    handler = """
    __attribute__((noinline)) int work(int n) { volatile char a[80]; a[n] = 1; return a[0]; }
    extern volatile int seed;
    void irq(void) { volatile char a[40]; a[seed] = 1; a[0] = work(a[0]); }
    """
    main = CHAIN.replace("volatile int seed", f"volatile {number} other; volatile int seed")
    main = main.replace("return shallow", "other *= 3; return shallow")
    without = link_arm(tmp_path, {"main": main}, cpu=cpu).stack()
    report = link_arm(tmp_path, {"main": main, "irq": handler}, cpu=cpu).stack()
    at = report.path.index(("(exception frame)", expected))
    interrupt = report.path[at:]

    assert report.path[:at] == without.path[:at]
    assert [name for name, _ in interrupt[1:]] == ["irq", "work"]
    assert 120 <= interrupt[1][1] + interrupt[2][1] <= 120 + 40


@needs_arm
def test_a_library_function_is_bounded_by_its_code(tmp_path: Path) -> None:
    text = """
    #include <string.h>
    #include <stdint.h>
    char to[100], from[100];
    volatile unsigned n;
    volatile uint64_t divisor = 3;
    int main(void) { memcpy(to, from, n); return (int)(UINT64_MAX / divisor); }
    """
    found = frames(link_arm(tmp_path, {"main": text}))

    # The wrapper keeps the remainder, lr and the caller's stack pointer: 16 bytes (libgcc,
    # bpabi.S); the division saves at least r4 to r8 and lr.
    assert found["__aeabi_uldivmod"] == 16
    assert 24 <= found["__udivmoddi4"] <= 36


@needs_arm
def test_saved_arguments_of_a_variadic_function_count_though_the_compiler_omits_them(
    tmp_path: Path,
) -> None:
    text = """
    #include <stdarg.h>
    volatile int seed;
    #define FUNCTION __attribute__((noinline, noclone)) int
    FUNCTION leaf(int n) { volatile char a[8]; a[n] = 1; return a[0]; }
    FUNCTION sum(int n, ...)
    {
        va_list list;
        va_start(list, n);
        int total = leaf(n);
        while (n-- > 0) total += va_arg(list, int);
        va_end(list);
        return total;
    }
    int main(void) { return sum(seed, 1, 2, 3); }
    """
    linked = link_arm(tmp_path, {"main": text})

    # r0 to r3 go to the stack in front of the frame: 16 bytes that are not in the .su file.
    assert frames(linked)["sum"] == read_usage(linked.object_dir / "main.su")["sum"].nbytes + 16


@needs_arm
def test_a_tail_call_does_not_pay_for_the_frame_it_has_left(tmp_path: Path) -> None:
    text = CHAIN.replace(
        "int main", "FUNCTION last(int n) { shallow(n); return inner(n); }\nint main"
    )
    text = text.replace("+ outer(seed)", "+ last(seed)")
    found = frames(link_arm(tmp_path, {"main": text}))

    assert "last" not in found
    assert 200 <= found["inner"] <= 200 + 20 + 8


@needs_arm
@pytest.mark.parametrize("cpu", ["cortex-m0", "cortex-m4", "cortex-m33"])
@pytest.mark.parametrize("optimise", ["-O0", "-Os", "-O2"])
def test_every_case_of_a_switch_counts(tmp_path: Path, cpu: str, optimise: str) -> None:
    linked = link_arm(tmp_path, {"main": SWITCH}, cpu=[f"-mcpu={cpu}"], optimise=optimise)

    assert frames(linked)["f7"] >= 128


@needs_arm
@pytest.mark.parametrize("cpu", ["cortex-m0", "cortex-m4"])
def test_a_frame_too_large_for_one_instruction_counts(tmp_path: Path, cpu: str) -> None:
    text = CHAIN.replace("a[200]", "a[9000]")
    linked = link_arm(tmp_path, {"main": text}, cpu=[f"-mcpu={cpu}"])

    assert 9000 <= frames(linked)["inner"] <= 9000 + 28


@needs_arm
def test_a_far_branch_of_armv6_m_is_no_recursion(tmp_path: Path) -> None:
    lines = "\n".join(f"seed += {n}; seed ^= n;" for n in range(1000, 1400))
    text = f"""
    volatile int seed;
    __attribute__((noinline)) int far(int n)
    {{
        volatile char a[100];
        while (n-- > 0) {{ {lines} a[n] = 1; }}
        return seed;
    }}
    int main(void) {{ return far(seed) + 1; }}
    """
    linked = link_arm(tmp_path, {"main": text}, cpu=["-mcpu=cortex-m0"])
    listing = subprocess.run([f"{ARM}objdump", "-d", linked.elf], capture_output=True, text=True)

    assert re.search(r"\tbl\t[0-9a-f]+ <far\+0x", listing.stdout)
    assert 100 <= frames(linked)["far"] <= 100 + 28


@needs_arm
@pytest.mark.parametrize("fault", FAULTS)
def test_what_has_no_bound_is_an_error_that_names_the_function(tmp_path: Path, fault: str) -> None:
    text, message = FAULTS[fault]
    linked = link_arm(tmp_path, {"main": text + CALL_F})

    with pytest.raises(Error, match=message):
        linked.stack()


@needs_gcc
@pytest.mark.parametrize("fault", FAULTS)
def test_what_has_no_bound_is_an_error_on_the_host_too(tmp_path: Path, fault: str) -> None:
    text, message = FAULTS[fault]
    # The recursion as written: at -O2 gcc unrolls it on x86.
    linked = link_native(tmp_path, {"main": text + CALL_F}, optimise="-O1")

    with pytest.raises(Error, match=message):
        linked.stack()


@needs_arm
def test_a_call_through_a_pointer_counts_what_is_listed(tmp_path: Path) -> None:
    text = CHAIN.replace("return shallow(seed) + outer(seed)", "return f(seed)").replace(
        "int main",
        "int (*volatile p)(int) = inner; int (*volatile q)(int) = outer;\n"
        "FUNCTION f(int n) { return p(n) + 1; }\nint main",
    )
    linked = link_arm(tmp_path, {"main": text})

    assert frames(linked, {"f": ["inner"]})["inner"] >= 200
    with pytest.raises(Error, match="g: no such function"):
        linked.stack({"f": ["g"]})


@needs_arm
def test_a_su_file_of_another_build_is_noticed(tmp_path: Path) -> None:
    linked = link_arm(tmp_path, {"main": CHAIN})
    su = linked.object_dir / "main.su"
    su.write_text(re.sub(r"inner\t\d+", "inner\t999", su.read_text()))

    with pytest.raises(Error, match=r"inner: its code moves the stack by 2.. bytes, .* says 999"):
        linked.stack()


@needs_gcc
def test_on_the_host_the_red_zone_and_the_return_address_count(tmp_path: Path) -> None:
    text = CHAIN.replace("a[200]", "a[100]")  # fits the 128 bytes below the stack pointer
    linked = link_native(tmp_path, {"main": text})
    found = frames(linked)

    if read_usage(linked.object_dir / "main.su")["inner"].nbytes != 8:
        pytest.skip("this compiler does not use the red zone here")
    assert list(found) == ["main", "outer", "inner"]
    assert 100 + 8 <= found["inner"] <= 128 + 8


@needs_gcc
def test_on_the_host_a_function_given_to_the_library_counts_as_called(tmp_path: Path) -> None:
    text = """
    #include <stdlib.h>
    static int compare(const void *a, const void *b)
    {
        volatile char space[300];
        space[*(const char *)b] = 1;
        return space[*(const char *)a];
    }
    char values[10];
    int main(void) { qsort(values, 10, 1, compare); return values[0]; }
    """
    assert frames(link_native(tmp_path, {"main": text}))["compare"] >= 300


@needs_gcc
@pytest.mark.parametrize("optimise", ["-O0", "-O2", "-Os"])
def test_on_the_host_every_case_of_a_switch_counts(tmp_path: Path, optimise: str) -> None:
    assert frames(link_native(tmp_path, {"main": SWITCH}, optimise))["f7"] >= 128


def test_instructions_that_matter_are_understood() -> None:
    thumb, x86 = MACHINES["EM_ARM"].decode, MACHINES["EM_X86_64"].decode

    pushes = ["push {r4, lr}", "stmdb sp!, {r4, r5, r6, r7, r8, r9, sl, fp, lr}"]
    pushes += ["vpush {d8-d15}", "sub.w sp, sp, #528 @ 0x210", "str.w lr, [sp, #-4]!", "add sp, #8"]
    assert [thumb(0, text).push_bytes for text in pushes] == [8, 36, 64, 528, 4, -8]
    ends = ["pop {r4, pc}", "bx lr", "ldr.w pc, [sp], #4", "ldmia.w sp!, {r4, pc}", "udf #255"]
    assert [thumb(0, text).flow for text in ends] == [Flow.END] * 5
    assert thumb(0, "bxeq lr").flow is thumb(0, "popne {r4, pc}").flow is Flow.NEXT
    calls = ["bl 44 <f>", "blle 44 <f>", "ble.n 44 <f>", "b.w 44 <f>", "cbz r3, 44 <f>"]
    expected = [Flow.CALL, Flow.CALL, Flow.BRANCH, Flow.JUMP, Flow.BRANCH]
    assert [thumb(0, text).flow for text in calls] == expected
    assert [thumb(0, text).target for text in calls] == [0x44] * 5
    assert x86(0, "jmp    *0x2fe2(%rip)        # 3fc8 <exit@GLIBC_2.2.5>").flow is Flow.END
    assert x86(0, "notrack jmp *%rax").flow is Flow.TABLE
    assert x86(0, "sub    %rax,%rsp").moves_stack


# What PAINTED needs of a Cortex-M: interrupt 0 through the NVIC, and semihosting.
ON_ARM = """
#define HANDLER
#define ENABLE *(volatile uint32_t *)0xe000e100u = 1;
#define PEND *(volatile uint32_t *)0xe000e200u = 1; __asm__ volatile("dsb\\n isb" ::: "memory");
#define RESULT "r0"
#define ARGUMENT "r1"
#define BREAKPOINT "bkpt 0xab"
#define STACK_POINTER "mov %0, sp"
"""


@needs_arm
@pytest.mark.skipif(
    shutil.which("qemu-system-arm") is None,
    reason="qemu-system-arm is missing: apt install qemu-system-arm",
)
@pytest.mark.parametrize("optimise", ["-O0", "-Os", "-O2"])
@pytest.mark.parametrize(
    ("machine", "cpu"),
    [
        ("mps2-an386", ("-mcpu=cortex-m4", "-mfloat-abi=soft")),
        ("mps2-an385", ("-mcpu=cortex-m3", "-mfloat-abi=soft")),
        ("mps2-an500", ("-mcpu=cortex-m7", "-mfloat-abi=soft")),
        ("microbit", ("-mcpu=cortex-m0",)),
    ],
)
def test_a_run_stays_within_the_bound_and_comes_near_it(
    tmp_path: Path, machine: str, cpu: tuple[str, ...], optimise: str
) -> None:
    linked = link_arm(tmp_path, {"main": ON_ARM + PAINTED}, cpu=cpu, optimise=optimise)
    command = [
        "qemu-system-arm",
        "-M",
        machine,
        "-nographic",
        "-monitor",
        "none",
        "-serial",
        "null",
    ]
    semihosting = ["-semihosting-config", "enable=on,target=native", "-kernel", str(linked.elf)]
    run = subprocess.run([*command, *semihosting], capture_output=True, text=True, timeout=300)
    used = re.search(r"used ([0-9a-f]{8})", run.stdout + run.stderr)
    assert used, run.stderr
    used_bytes, bound = int(used[1], 16), linked.stack()

    assert [name for name, _ in bound.path[-2:]] == ["irq", "in_handler"]
    # What may be left: 4 bytes of exception alignment, and the padding below the lowest array.
    assert 0 <= bound.total_bytes - used_bytes <= 16

# SPDX-License-Identifier: Apache-2.0
"""Small programs whose stack is known beforehand, for any instruction set."""

from __future__ import annotations

from tests.support.small_links import Linked

# Each function keeps an array alive across its call, and is not inlined.
CHAIN = """
#include <stdint.h>
#define FUNCTION __attribute__((noinline, noclone)) int
volatile int seed;
FUNCTION inner(int n) { volatile uint8_t a[200]; a[n] = 1; return a[0] + a[n]; }
FUNCTION outer(int n) { volatile uint8_t a[64]; a[n] = 2; int r = inner(n + 1); return a[n] + r; }
FUNCTION shallow(int n) { volatile uint8_t a[16]; a[n] = 3; return a[0]; }
int main(void) { return shallow(seed) + outer(seed); }
"""

SWITCH = """
#include <stdint.h>
volatile int seed;
#define CASE(n) __attribute__((noinline, noclone)) int f##n(int x) \\
    { volatile uint8_t a[16 * (n + 1)]; a[x] = n; return a[0]; }
CASE(0) CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7)
int main(void)
{
    switch (seed) {
    case 0: return f0(1) + 1;
    case 1: return f1(1) * 3;
    case 2: return f2(1) ^ 5;
    case 3: return f3(1) - 4;
    case 4: return f4(1) + 7;
    case 5: return f7(1) / 3;
    case 6: return f6(1) + 2;
    case 7: return f5(1) & 9;
    default: return 0;
    }
}
"""

FAULTS = {
    "recursion": (
        "__attribute__((noinline)) int f(int n) { return n < 2 ? 1 : f(n - 1) * n + f(n - 2); }",
        r"^f calls itself \(f > f\)",
    ),
    "mutual recursion": (
        """
        int g(int n);
        __attribute__((noinline, noclone)) int f(int n) { return n < 2 ? 1 : g(n - 1) * n; }
        __attribute__((noinline, noclone)) int g(int n) { return n < 2 ? 1 : f(n - 1) + n; }
        """,
        r"calls itself \((f > g > f|g > f > g)\)",
    ),
    "pointer": (
        "int (*volatile p)(int); __attribute__((noinline)) int f(int n) { return p(n) + 1; }",
        r"^f calls through a pointer",
    ),
    "tail call through a pointer": (
        "int (*volatile p)(int); __attribute__((noinline)) int f(int n) { return p(n); }",
        r"^f calls through a pointer",
    ),
    "variable array": (
        "__attribute__((noinline)) int f(int n) { volatile char a[n]; a[n / 2] = 1; return a[0]; }",
        r"^f has a frame of variable size",
    ),
}
CALL_F = "\nvolatile int seed; int main(void) { return f(seed) + 1; }"

# Paints the stack, lets the interrupt strike in the deepest function, prints what was used by
# semihosting. What depends on the instruction set stands before it.
PAINTED = """
#include <stdint.h>
#include <string.h>
#define FUNCTION __attribute__((noinline, noclone))
extern uint32_t stack_bottom[], stack_top[];
volatile uint32_t seed = 1;
volatile uint64_t wide = 12345678901234u;
uint8_t copy[64], source[64];

/* Written at its low end, so that the paint is gone there. */
FUNCTION uint32_t in_handler(uint32_t n) { volatile uint8_t a[88]; a[0] = (uint8_t)n; return a[0]; }
HANDLER void irq(void) { volatile uint8_t a[24]; a[0] = 1; seed += in_handler(a[0]); }

FUNCTION uint32_t deepest(uint32_t n)
{
    volatile uint8_t a[160];
    a[0] = (uint8_t)n;
    PEND
    return a[0];
}
FUNCTION uint32_t middle(uint32_t n)
{
    volatile uint8_t a[48];
    a[0] = (uint8_t)n;
    memcpy(copy, source, n);
    wide = wide / (n + 3u);
    return deepest(n) + a[0] + copy[n];
}
FUNCTION void semihosting(uint32_t operation, const void *argument)
{
    register uint32_t r0 __asm__(RESULT) = operation;
    register const void *r1 __asm__(ARGUMENT) = argument;
    __asm__ volatile(BREAKPOINT : "+r"(r0) : "r"(r1) : "memory");
}
FUNCTION void report(uint32_t nbytes)
{
    static char text[] = "used 00000000\\n";
    for (int digit = 12; digit > 4; digit--, nbytes >>= 4) {
        text[digit] = "0123456789abcdef"[nbytes & 15];
    }
    semihosting(4, text);
    semihosting(0x18, (const void *)0x20026);
}
int main(void)
{
    volatile uint32_t *sp, *word; /* volatile: a call of memset would overpaint its own frame */
    __asm__ volatile(STACK_POINTER : "=r"(sp));
    for (word = stack_bottom; word < sp; word++) *word = 0xa5a5a5a5u;
    ENABLE
    seed += middle(seed);
    for (word = stack_bottom; *word == 0xa5a5a5a5u;) word++;
    report((uint32_t)((uint8_t *)stack_top - (uint8_t *)word));
    for (;;) {}
}
"""


def frames(linked: Linked, indirect_calls: dict[str, list[str]] | None = None) -> dict[str, int]:
    report = linked.stack(indirect_calls)
    assert report.total_bytes == sum(nbytes for _, nbytes in report.path)
    return dict(report.path)

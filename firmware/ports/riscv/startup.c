/* SPDX-License-Identifier: Apache-2.0 */
/* Start of an RV32 core: stack, .data, .bss, main; and its traps. Symbols come from riscv.ld. */
#include "ports/riscv/startup.h"

#include "mct/port.h"
#include "runtime/health.h"

extern const uint32_t mct_data_image[];
extern uint32_t mct_data_begin[], mct_data_end[], mct_bss_begin[], mct_bss_end[];

int main(void);
void mct_riscv_start(void);

__attribute__((interrupt("machine"), used)) static void mct_riscv_interrupt(void)
{
    uint32_t cause;
    __asm__ volatile(MCT_CSR("csrr %0, mcause") : "=r"(cause));
    if (cause != MCT_MCAUSE_EXTERNAL) {
        mct_health_fault(0);
    }
    mct_riscv_external();
}

__attribute__((noreturn, used)) static void mct_riscv_failed(uint32_t at)
{
    mct_health_fault(at);
}

/* All traps. mtvec keeps the address without its two lowest bits. An exception may be the stack's,
 * so it is told from an interrupt before anything is pushed, and handled at the stack's top. */
__attribute__((naked, aligned(4))) static void mct_riscv_trap(void)
{
    __asm__ volatile(".option push\n\t"
                     ".option arch, +zicsr\n\t"
                     "csrw mscratch, t0\n\t"
                     "csrr t0, mcause\n\t"
                     "bgez t0, 1f\n\t"
                     "csrr t0, mscratch\n\t"
                     "j mct_riscv_interrupt\n"
                     "1:\n\t"
                     "la sp, mct_stack_top\n\t"
                     "csrr a0, mepc\n\t"
                     "j mct_riscv_failed\n\t"
                     ".option pop");
}

/* The core begins here, with no stack and with interrupts off. */
__attribute__((naked, section(".text.mct_riscv_reset"))) void mct_riscv_reset(void)
{
    __asm__ volatile(".option push\n\t"
                     ".option norelax\n\t" /* gp is not there yet */
                     "la gp, __global_pointer$\n\t"
                     ".option pop\n\t"
                     "la t0, mct_stack_top\n\t"
                     "mv sp, t0\n\t"
                     "j mct_riscv_start");
}

__attribute__((noreturn, used)) void mct_riscv_start(void)
{
    MCT_CSR_WRITE("mtvec", mct_riscv_trap);
    const uint32_t *image = mct_data_image;
    for (uint32_t *word = mct_data_begin; word < mct_data_end; word++) {
        *word = *image++;
    }
    for (uint32_t *word = mct_bss_begin; word < mct_bss_end; word++) {
        *word = 0;
    }
    /* Nothing that main() does may come before this, even if all is one unit to the compiler. */
    __asm__ volatile("" ::: "memory");
    main();
    mct_health_fault(0);
}

/* Any core can begin again, with its devices as they are; a chip that can reset itself has a file
 * of its own for it. */
__attribute__((weak)) void mct_port_restart(void)
{
    MCT_INTERRUPTS_OFF();
    MCT_CSR_WRITE("mepc", mct_riscv_reset);
    MCT_CSR_WRITE("mstatus", 3u << 11); /* return to machine mode, with interrupts off */
    __asm__ volatile("mret" ::: "memory");
}

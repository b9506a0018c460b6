/* SPDX-License-Identifier: Apache-2.0 */
/* Start of an RV32 core: stack, .data, .bss, main; and its traps. Symbols come from riscv.ld. */
#include "ports/riscv/startup.h"

extern const uint32_t mct_data_image[];
extern uint32_t mct_data_begin[], mct_data_end[], mct_bss_begin[], mct_bss_end[];

int main(void);
void mct_riscv_start(void);

/* One handler for all traps. mtvec keeps the address without its two lowest bits. */
__attribute__((interrupt("machine"), aligned(4))) static void mct_riscv_trap(void)
{
    uint32_t cause;
    __asm__ volatile(MCT_CSR("csrr %0, mcause") : "=r"(cause));
    if (cause != MCT_MCAUSE_EXTERNAL) {
        mct_riscv_fault();
    }
    mct_riscv_external();
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
    mct_riscv_fault();
}

/* Stops for good, asleep: the host sees a device that no longer answers. */
__attribute__((noreturn)) void mct_riscv_fault(void)
{
    MCT_INTERRUPTS_OFF();
    for (;;) {
        MCT_SLEEP();
    }
}

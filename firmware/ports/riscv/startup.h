/* SPDX-License-Identifier: Apache-2.0 */
/* Start and traps of a core with machine mode alone, as RV32 microcontrollers have it. */
#ifndef MCT_RISCV_STARTUP_H
#define MCT_RISCV_STARTUP_H

#include <stdint.h>

void mct_riscv_reset(void);

/* Handles the interrupt of a device (port.c). */
void mct_riscv_external(void);

/* Control and status registers, and their bits (RISC-V Privileged Architecture, chapter 3). The
 * compiler's base instruction set leaves them out. */
#define MCT_CSR(instruction)                                                                       \
    ".option push\n\t.option arch, +zicsr\n\t" instruction "\n\t.option pop"
#define MCT_CSR_WRITE(name, value)                                                                 \
    __asm__ volatile(MCT_CSR("csrw " name ", %0")::"r"(value) : "memory")
#define MCT_INTERRUPTS_OFF() __asm__ volatile(MCT_CSR("csrci mstatus, 8")::: "memory")
#define MCT_INTERRUPTS_ON() __asm__ volatile(MCT_CSR("csrsi mstatus, 8")::: "memory")
#define MCT_SLEEP() __asm__ volatile("wfi" ::: "memory")

enum { MCT_MIE_EXTERNAL = 1 << 11 };
#define MCT_MCAUSE_EXTERNAL 0x8000000bu

#endif

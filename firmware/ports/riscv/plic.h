/* SPDX-License-Identifier: Apache-2.0 */
/* The platform-level interrupt controller, of which only the UART's interrupt is let through
 * (RISC-V PLIC specification 1.0.0, memory map; context 0 is machine mode of the first core). */
#ifndef MCT_RISCV_PLIC_H
#define MCT_RISCV_PLIC_H

#include <stdint.h>

#include "ports/riscv/startup.h"

enum { MCT_PLIC_PRIORITY = 0, MCT_PLIC_ENABLE = 0x2000, MCT_PLIC_THRESHOLD = 0x200000 };
enum { MCT_PLIC_CLAIM = 0x200004 };

static inline volatile uint32_t *mct_plic(uint32_t offset)
{
    return (volatile uint32_t *)(0x0c000000u + offset);
}

/* Lets interrupt `irq` through, and traps of devices. */
static inline void mct_plic_enable(uint32_t irq)
{
    *mct_plic(MCT_PLIC_PRIORITY + 4 * irq) = 1;
    *mct_plic(MCT_PLIC_ENABLE + irq / 32 * 4) = 1u << irq % 32;
    *mct_plic(MCT_PLIC_THRESHOLD) = 0;
    MCT_CSR_WRITE("mie", MCT_MIE_EXTERNAL);
    MCT_INTERRUPTS_ON();
}

#endif

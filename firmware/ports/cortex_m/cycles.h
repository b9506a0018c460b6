/* SPDX-License-Identifier: Apache-2.0 */
/* The cycle counter of the debug unit (DWT), which cores from Cortex-M3 on may have: ARMv7-M
 * Architecture Reference Manual, C1.8; ARMv8-M, D1.2.60. It reads 0 where there is none, and in QEMU. */
#ifndef MCT_CORTEX_M_CYCLES_H
#define MCT_CORTEX_M_CYCLES_H

#include <stdint.h>

#if __ARM_ARCH_ISA_THUMB >= 2 /* not Cortex-M0 and -M23 */
#define MCT_CORTEX_M_COUNTS_CYCLES 1

#define MCT_DEMCR (*(volatile uint32_t *)0xE000EDFCu)
#define MCT_DWT_CTRL (*(volatile uint32_t *)0xE0001000u)
#define MCT_DWT_CYCCNT (*(volatile uint32_t *)0xE0001004u)
#define MCT_DWT_LAR (*(volatile uint32_t *)0xE0001FB0u)

static inline void mct_cycles_start(void)
{
    MCT_DEMCR |= 1u << 24;     /* TRCENA: the debug unit has power */
    MCT_DWT_LAR = 0xC5ACCE55u; /* a Cortex-M7 locks it; others have no such register */
    MCT_DWT_CTRL |= 1u;        /* CYCCNTENA */
}

static inline uint32_t mct_cycles(void)
{
    return MCT_DWT_CYCCNT;
}
#else
#define MCT_CORTEX_M_COUNTS_CYCLES 0
#endif

#endif

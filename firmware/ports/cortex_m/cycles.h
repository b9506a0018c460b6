/* SPDX-License-Identifier: Apache-2.0 */
/* The cycle counter of the debug unit (DWT), which cores from Cortex-M3 on may have: ARMv7-M
 * Architecture Reference Manual, C1.8. It reads 0 where there is none, and in QEMU. */
#ifndef MCT_CORTEX_M_CYCLES_H
#define MCT_CORTEX_M_CYCLES_H

#include <stdint.h>

#if defined(__ARM_ARCH_ISA_THUMB) && __ARM_ARCH_ISA_THUMB >= 2 /* not Cortex-M0 and -M23 */
#define MCT_CORTEX_M_COUNTS_CYCLES 1

/* Starts the counter with each look, which costs less than to know whether it runs. */
static inline uint32_t mct_cortex_m_cycles(void)
{
    *(volatile uint32_t *)0xE000EDFCu |= 1u << 24;   /* DEMCR.TRCENA: the unit has power */
    *(volatile uint32_t *)0xE0001FB0u = 0xC5ACCE55u; /* DWT_LAR: a Cortex-M7 locks it */
    *(volatile uint32_t *)0xE0001000u |= 1u;         /* DWT_CTRL.CYCCNTENA */
    return *(const volatile uint32_t *)0xE0001004u;  /* DWT_CYCCNT */
}
#else
#define MCT_CORTEX_M_COUNTS_CYCLES 0
#endif

#endif

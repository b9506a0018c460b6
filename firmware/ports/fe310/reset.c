/* SPDX-License-Identifier: Apache-2.0 */
/* Resets of an FE310-G000: SiFive FE310-G000 Manual v2p3, chapters 13 (watchdog) and 15 (PMU). */
#include "mct/port.h"

#include "ports/riscv/startup.h"

#define WDOGCFG ((volatile uint32_t *)0x10000000u)
#define WDOGCOUNT ((volatile uint32_t *)0x10000008u)
#define WDOGKEY ((volatile uint32_t *)0x1000001cu)
#define WDOGCMP ((volatile uint32_t *)0x10000020u)
#define PMUCAUSE ((volatile uint32_t *)0x10000144u)

/* Each write takes the key. */
static void write_watchdog(volatile uint32_t *place, uint32_t value)
{
    *WDOGKEY = 0x51f15eu;
    *place = value;
}

/* The watchdog at its shortest: 1 of 32,768 Hz. Where there is none, as in an emulator, the core
 * begins again by itself. */
void mct_port_restart(void)
{
    const uint32_t resets = 1u << 8, counts_always = 1u << 12;
    MCT_INTERRUPTS_OFF();
    write_watchdog(WDOGCOUNT, 0);
    write_watchdog(WDOGCMP, 1);
    write_watchdog(WDOGCFG, resets | counts_always);
    for (volatile uint32_t wait = 0; wait < 100000u; wait++) {
    }
    MCT_CSR_WRITE("mepc", mct_riscv_reset);
    MCT_CSR_WRITE("mstatus", 3u << 11); /* return to machine mode, with interrupts off */
    __asm__ volatile("mret" ::: "memory");
}

mct_reset_cause mct_port_reset_cause(void)
{
    switch (*PMUCAUSE >> 8 & 3u) {
    case 0:
        return MCT_RESET_POWER_ON;
    case 1:
        return MCT_RESET_PIN;
    case 2:
        return MCT_RESET_WATCHDOG;
    default:
        return MCT_RESET_UNKNOWN;
    }
}

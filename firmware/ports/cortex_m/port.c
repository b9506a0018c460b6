/* SPDX-License-Identifier: Apache-2.0 */
/* mct/port.h on any Cortex-M with a UART. */
#define MCT_INTERRUPTS_OFF() __asm__ volatile("cpsid i" ::: "memory")
#define MCT_SLEEP() __asm__ volatile("wfi" ::: "memory")
#define MCT_INTERRUPTS_ON() __asm__ volatile("cpsie i" ::: "memory")

#include "ports/uart/port.h"

#include "ports/cortex_m/startup.h"

void mct_cortex_m_uart(void)
{
    mct_port_uart();
}

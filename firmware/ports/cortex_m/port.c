/* SPDX-License-Identifier: Apache-2.0 */
/* mct/port.h on any Cortex-M with a UART: an interrupt hands on each byte, the core sleeps in
 * between. */
#include "mct/port.h"
#include "ports/cortex_m/cycles.h"
#include "ports/cortex_m/startup.h"
#include "ports/cortex_m/uart.h"

static volatile bool mct_port_uart_came; /* a byte, since the core last slept */

void mct_cortex_m_uart(void)
{
    int32_t byte;
    while ((byte = mct_uart_take()) >= 0) {
        (void)mct_link_receive((uint8_t)byte);
        mct_port_uart_came = true;
    }
}

void mct_port_init(void)
{
    mct_uart_init();
#if MCT_CORTEX_M_COUNTS_CYCLES
    mct_cycles_start();
#endif
}

#if MCT_CORTEX_M_COUNTS_CYCLES
uint32_t mct_port_cycles(void)
{
    return mct_cycles();
}
#endif

void mct_port_write(const uint8_t *data, uint32_t nbytes)
{
    for (uint32_t n = 0; n < nbytes; n++) {
        mct_uart_send(data[n]);
    }
}

void mct_port_receive(bool may_sleep)
{
    if (!may_sleep) {
        return;
    }
    /* With interrupts masked, a byte that arrives after the test still ends the WFI (it becomes
     * pending) and is handled at CPSIE: no wake-up can be lost between the test and the sleep. */
    __asm__ volatile("cpsid i" ::: "memory");
    if (!mct_port_uart_came) {
        __asm__ volatile("wfi" ::: "memory");
    }
    mct_port_uart_came = false;
    __asm__ volatile("cpsie i" ::: "memory");
}

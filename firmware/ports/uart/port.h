/* SPDX-License-Identifier: Apache-2.0 */
/* mct/port.h on any core with a UART: an interrupt hands on each byte, the core sleeps in between.
 * The body of a core's port.c, which says MCT_INTERRUPTS_OFF, MCT_SLEEP and MCT_INTERRUPTS_ON
 * before it includes this, and calls mct_port_uart in the UART's interrupt. A byte that arrives
 * with interrupts off must still end the sleep. */
#include "mct/port.h"
#include "ports/uart/uart.h"

static volatile bool mct_port_uart_came; /* a byte, since the core last slept */

static inline void mct_port_uart(void)
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
}

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
    /* No wake-up can be lost between the test and the sleep: a byte that arrives there is pending,
     * ends the sleep, and is handled when interrupts are on again. */
    MCT_INTERRUPTS_OFF();
    if (!mct_port_uart_came) {
        MCT_SLEEP();
    }
    mct_port_uart_came = false;
    MCT_INTERRUPTS_ON();
}

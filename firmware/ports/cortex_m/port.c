/* SPDX-License-Identifier: Apache-2.0 */
/* mct/port.h on any Cortex-M with a UART: an interrupt fills a ring, the core sleeps in between. */
#include "mct/port.h"
#include "ports/cortex_m/startup.h"
#include "ports/cortex_m/uart.h"

/* Holds what arrives while a frame is being checked; during a step the host only waits, and what
 * overflows is a repeated request, which the session drops as damaged. A power of two; small where
 * frames are small, because RAM is. */
enum { RING_BYTES = MCT_LINK_PAYLOAD < 256 ? 64 : 256 };
static volatile uint8_t mct_port_uart_ring[RING_BYTES];
static volatile uint32_t mct_port_uart_head; /* written by the interrupt only */
static volatile uint32_t mct_port_uart_tail; /* written by the main loop only */

void mct_cortex_m_uart(void)
{
    int32_t byte;
    while ((byte = mct_uart_take()) >= 0) {
        uint32_t head = mct_port_uart_head;
        if (head - mct_port_uart_tail < RING_BYTES) {
            mct_port_uart_ring[head % RING_BYTES] = (uint8_t)byte;
            mct_port_uart_head = head + 1;
        }
    }
}

void mct_port_init(void)
{
    mct_uart_init();
}

uint32_t mct_port_read(uint8_t *data, uint32_t capacity)
{
    uint32_t tail = mct_port_uart_tail;
    uint32_t nbytes = 0;
    while (nbytes < capacity && tail != mct_port_uart_head) {
        data[nbytes++] = mct_port_uart_ring[tail % RING_BYTES];
        tail++;
    }
    mct_port_uart_tail = tail;
    return nbytes;
}

void mct_port_write(const uint8_t *data, uint32_t nbytes)
{
    for (uint32_t n = 0; n < nbytes; n++) {
        mct_uart_send(data[n]);
    }
}

void mct_port_wait(void)
{
    /* With interrupts masked, a byte that arrives after the test still ends the WFI (it becomes
     * pending) and is handled at CPSIE: no wake-up can be lost between the test and the sleep. */
    __asm__ volatile("cpsid i" ::: "memory");
    if (mct_port_uart_head == mct_port_uart_tail) {
        __asm__ volatile("wfi" ::: "memory");
    }
    __asm__ volatile("cpsie i" ::: "memory");
}

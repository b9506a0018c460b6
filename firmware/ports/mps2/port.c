/* SPDX-License-Identifier: Apache-2.0 */
/* ARM MPS2 boards (mps2-an386): CMSDK APB UART 0, receiving by interrupt.
 * Registers: Cortex-M System Design Kit TRM (DDI 0479), "APB UART". */
#include "mct/port.h"

#include <stdbool.h>

#include "ports/mps2/vectors.h"

typedef struct {
    volatile uint32_t data;
    volatile uint32_t state;
    volatile uint32_t ctrl;
    volatile uint32_t intstatus; /* write 1 to clear */
    volatile uint32_t bauddiv;
} cmsdk_uart;

enum {
    STATE_TX_FULL = 1,
    STATE_RX_FULL = 2,
    CTRL_TX_ENABLE = 1,
    CTRL_RX_ENABLE = 2,
    CTRL_RX_INTERRUPT = 8,
    INTSTATUS_RX = 2
};

#define UART ((cmsdk_uart *)0x40004000u)
#define NVIC_ISER0 ((volatile uint32_t *)0xe000e100u)

/* Holds what arrives while a frame is being checked; during a step the host only waits, and what
 * overflows is a repeated request, which the session drops as damaged. A power of two. */
enum { RING_BYTES = 256 };
static volatile uint8_t mct_port_uart_ring[RING_BYTES];
static volatile uint32_t mct_port_uart_head; /* written by the interrupt only */
static volatile uint32_t mct_port_uart_tail; /* written by the main loop only */

void mct_mps2_uart_rx(void)
{
    /* Clear before reading, or a byte that arrives in between would raise no new interrupt. */
    UART->intstatus = INTSTATUS_RX;
    while ((UART->state & STATE_RX_FULL) != 0) {
        uint8_t byte = (uint8_t)UART->data;
        uint32_t head = mct_port_uart_head;
        if (head - mct_port_uart_tail < RING_BYTES) {
            mct_port_uart_ring[head % RING_BYTES] = byte;
            mct_port_uart_head = head + 1;
        }
    }
}

void mct_port_init(void)
{
    UART->bauddiv = 25; /* 1 Mbaud at 25 MHz */
    UART->ctrl = CTRL_TX_ENABLE | CTRL_RX_ENABLE | CTRL_RX_INTERRUPT;
    *NVIC_ISER0 = 1u << MCT_MPS2_UART_RX_IRQ;
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
        while ((UART->state & STATE_TX_FULL) != 0) {
        }
        UART->data = data[n];
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

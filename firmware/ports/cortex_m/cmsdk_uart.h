/* SPDX-License-Identifier: Apache-2.0 */
/* The driver of a CMSDK APB UART, receiving by interrupt: the body of a chip's uart.c, which says
 * MCT_CMSDK_UART (the address), MCT_CMSDK_UART_IRQ (its receive interrupt) and MCT_CMSDK_UART_CLOCK
 * (MHz) before it includes this. Registers: Cortex-M System Design Kit TRM (DDI 0479). */
#include "ports/cortex_m/startup.h"
#include "ports/uart/uart.h"

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

#define UART ((cmsdk_uart *)MCT_CMSDK_UART)

MCT_CORTEX_M_VECTORS(MCT_CMSDK_UART_IRQ);

void mct_uart_init(void)
{
    UART->bauddiv = MCT_CMSDK_UART_CLOCK; /* 1 Mbaud */
    UART->ctrl = CTRL_TX_ENABLE | CTRL_RX_ENABLE | CTRL_RX_INTERRUPT;
    mct_cortex_m_enable(MCT_CMSDK_UART_IRQ);
}

int32_t mct_uart_take(void)
{
    /* Clear before reading, or a byte that arrives in between would raise no new interrupt. */
    UART->intstatus = INTSTATUS_RX;
    return (UART->state & STATE_RX_FULL) != 0 ? (uint8_t)UART->data : -1;
}

void mct_uart_send(uint8_t byte)
{
    while ((UART->state & STATE_TX_FULL) != 0) {
    }
    UART->data = byte;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* ARM MPS2 boards (mps2-an385, mps2-an386, mps2-an500): CMSDK APB UART 0, receiving by interrupt.
 * Registers: Cortex-M System Design Kit TRM (DDI 0479), "APB UART". */
#include "ports/cortex_m/uart.h"
#include "ports/cortex_m/startup.h"

typedef struct {
    volatile uint32_t data;
    volatile uint32_t state;
    volatile uint32_t ctrl;
    volatile uint32_t intstatus; /* write 1 to clear */
    volatile uint32_t bauddiv;
} cmsdk_uart;

enum {
    UART_RX_IRQ = 0,
    STATE_TX_FULL = 1,
    STATE_RX_FULL = 2,
    CTRL_TX_ENABLE = 1,
    CTRL_RX_ENABLE = 2,
    CTRL_RX_INTERRUPT = 8,
    INTSTATUS_RX = 2
};

#define UART ((cmsdk_uart *)0x40004000u)

MCT_CORTEX_M_VECTORS(UART_RX_IRQ);

void mct_uart_init(void)
{
    UART->bauddiv = 25; /* 1 Mbaud at 25 MHz */
    UART->ctrl = CTRL_TX_ENABLE | CTRL_RX_ENABLE | CTRL_RX_INTERRUPT;
    mct_cortex_m_enable(UART_RX_IRQ);
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

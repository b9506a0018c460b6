/* SPDX-License-Identifier: Apache-2.0 */
/* nRF51822 on the BBC micro:bit: UART0 at 115,200 baud on the pins of the USB interface chip.
 * Registers: nRF51 Series Reference Manual 3.0, chapters 14 (GPIO) and 29 (UART). */
#include "ports/uart/uart.h"
#include "ports/cortex_m/startup.h"

enum {
    UART0_IRQ = 2,
    TX_PIN = 24,
    RX_PIN = 25,
    INT_RX_READY = 1 << 2,
    ENABLE_UART = 4,
    BAUD_115200 = 0x01d7e000
};

#define UART(offset) (*(volatile uint32_t *)(0x40002000u + (offset)))
#define TASKS_STARTRX UART(0x000)
#define TASKS_STARTTX UART(0x008)
#define EVENTS_RXDRDY UART(0x108)
#define EVENTS_TXDRDY UART(0x11c)
#define INTENSET UART(0x304)
#define ENABLE UART(0x500)
#define PSELTXD UART(0x50c)
#define PSELRXD UART(0x514)
#define RXD UART(0x518)
#define TXD UART(0x51c)
#define BAUDRATE UART(0x524)
#define GPIO_OUTSET (*(volatile uint32_t *)0x50000508u)
#define GPIO_DIRSET (*(volatile uint32_t *)0x50000518u)

MCT_CORTEX_M_VECTORS(UART0_IRQ);

void mct_uart_init(void)
{
    GPIO_OUTSET = 1u << TX_PIN; /* idle, before it becomes an output */
    GPIO_DIRSET = 1u << TX_PIN;
    PSELTXD = TX_PIN;
    PSELRXD = RX_PIN;
    BAUDRATE = BAUD_115200;
    ENABLE = ENABLE_UART;
    INTENSET = INT_RX_READY;
    TASKS_STARTRX = 1;
    TASKS_STARTTX = 1;
    mct_cortex_m_enable(UART0_IRQ);
}

int32_t mct_uart_take(void)
{
    if (EVENTS_RXDRDY == 0) {
        return -1;
    }
    EVENTS_RXDRDY = 0; /* before reading, which brings up the next of six bytes and its event */
    return (uint8_t)RXD;
}

void mct_uart_send(uint8_t byte)
{
    EVENTS_TXDRDY = 0;
    TXD = byte;
    while (EVENTS_TXDRDY == 0) {
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/* FE310-G000: UART 0 on pins 16 (RX) and 17 (TX), 115,200 baud from the 16 MHz crystal of a
 * HiFive1. Registers: SiFive FE310-G000 Manual v2p3, chapters 6 (clocks), 17 (GPIO), 18 (UART). */
#include "ports/uart/uart.h"

#include "ports/riscv/plic.h"

enum { UART0_IRQ = 3, UART_ENABLE = 1, IP_RECEIVE = 2 };

typedef struct {
    volatile uint32_t txdata; /* negative: full */
    volatile uint32_t rxdata; /* negative: empty */
    volatile uint32_t txctrl;
    volatile uint32_t rxctrl;
    volatile uint32_t ie;
    volatile uint32_t ip;
    volatile uint32_t div;
} sifive_uart;

#define UART0 ((sifive_uart *)0x10013000u)
#define HFXOSCCFG ((volatile uint32_t *)0x10008004u)
#define PLLCFG ((volatile uint32_t *)0x10008008u)
#define PLLOUTDIV ((volatile uint32_t *)0x1000800cu)
#define GPIO_IOF_EN ((volatile uint32_t *)0x10012038u)
#define GPIO_IOF_SEL ((volatile uint32_t *)0x1001203cu)
#define UART0_PINS (3u << 16)
#define FLAG 0x80000000u /* ready of the crystal, full or empty of the UART */

/* The crystal itself, past the PLL. */
static void take_crystal(void)
{
    const uint32_t crystal_on = 1u << 30, bypass = 1u << 18, from_crystal = 1u << 17;
    const uint32_t pll_output = 1u << 16, undivided = 1u << 8;
    *HFXOSCCFG = crystal_on;
    while ((*HFXOSCCFG & FLAG) == 0) {
    }
    *PLLOUTDIV = undivided;
    *PLLCFG = bypass | from_crystal;
    *PLLCFG = bypass | from_crystal | pll_output;
}

void mct_uart_init(void)
{
    take_crystal();
    *GPIO_IOF_SEL &= ~UART0_PINS;
    *GPIO_IOF_EN |= UART0_PINS;
    UART0->div = 138; /* 16 MHz / (138 + 1) */
    UART0->txctrl = UART_ENABLE;
    UART0->rxctrl = UART_ENABLE; /* an interrupt at more than 0 bytes */
    UART0->ie = IP_RECEIVE;
    mct_plic_enable(UART0_IRQ);
}

int32_t mct_uart_take(void)
{
    uint32_t received = UART0->rxdata;
    return (received & FLAG) != 0 ? -1 : (uint8_t)received;
}

void mct_uart_send(uint8_t byte)
{
    while ((UART0->txdata & FLAG) != 0) {
    }
    UART0->txdata = byte;
}

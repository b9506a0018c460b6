/* SPDX-License-Identifier: Apache-2.0 */
/* RP2040: UART0 on GP0 (TX) and GP1 (RX) at 115,200 baud; the core at 125 MHz, by the system PLL
 * from the crystal of 12 MHz. Registers and the order of steps: RP2040 datasheet, the sections that
 * registers.h names. */
#include "ports/cortex_m/uart.h"
#include "ports/cortex_m/startup.h"
#include "ports/rp2040/registers.h"

enum {
    UART0_IRQ = 20,
    TX_PIN = 0,
    RX_PIN = 1,
    FUNCTION_UART = 2,
    RESET_IO_BANK0 = 1 << 5,
    RESET_PADS_BANK0 = 1 << 8,
    RESET_PLL_SYS = 1 << 12,
    RESET_UART0 = 1 << 22,
    XOSC_1_TO_15_MHZ = 0xaa0,
    XOSC_ENABLE = 0xfab << 12,
    XOSC_WAITS = 47, /* 1 ms of 12 MHz, in units of 256 periods */
    REF_XOSC = 2,    /* of CLK_REF_CTRL */
    SYS_AUX = 1,     /* of CLK_SYS_CTRL: its auxiliary source 0 is the PLL */
    PERI_ENABLE = 1 << 11,
    PLL_TIMES = 125, /* 12 MHz * 125 = 1500 MHz */
    PLL_POST = 6 << 16 | 2 << 12,
    PLL_POWER = 1 << 0 | 1 << 5, /* PD, VCOPD */
    PLL_POST_POWER = 1 << 3,     /* POSTDIVPD */
    BAUD_WHOLE = 67,             /* 125 MHz / (16 * 115,200) = 67 + 52 / 64 */
    BAUD_64THS = 52,
    FR_RX_EMPTY = 1 << 4,
    FR_TX_FULL = 1 << 5,
    LCR_8_BITS = 3 << 5, /* and no FIFO: each byte interrupts */
    CR_ENABLE = 1 << 0,
    CR_TX_ENABLE = 1 << 8,
    CR_RX_ENABLE = 1 << 9,
    INT_RX = 1 << 4
};

#define XOSC_STABLE (1u << 31)
#define PLL_LOCK (1u << 31)

MCT_CORTEX_M_VECTORS(UART0_IRQ);

static void take_out_of_reset(uint32_t bits)
{
    RESETS_RESET_CLEAR = bits;
    while ((RESETS_DONE & bits) != bits) {
    }
}

/* From the ring oscillator to the crystal, from there to the PLL. */
static void start_clocks(void)
{
    XOSC_STARTUP = XOSC_WAITS;
    XOSC_CTRL = XOSC_1_TO_15_MHZ | XOSC_ENABLE;
    while ((XOSC_STATUS & XOSC_STABLE) == 0) {
    }
    CLK_REF_CTRL = REF_XOSC;
    while ((CLK_REF_SELECTED & 1u << REF_XOSC) == 0) {
    }
    take_out_of_reset(RESET_PLL_SYS);
    PLL_SYS_CS = 1; /* the crystal's frequency undivided */
    PLL_SYS_FBDIV = PLL_TIMES;
    PLL_SYS_PWR_CLEAR = PLL_POWER;
    while ((PLL_SYS_CS & PLL_LOCK) == 0) {
    }
    PLL_SYS_PRIM = PLL_POST;
    PLL_SYS_PWR_CLEAR = PLL_POST_POWER;
    CLK_SYS_CTRL = SYS_AUX;
    while ((CLK_SYS_SELECTED & 1u << SYS_AUX) == 0) {
    }
    CLK_PERI_CTRL = PERI_ENABLE; /* from the system clock */
}

void mct_uart_init(void)
{
    start_clocks();
    take_out_of_reset(RESET_IO_BANK0 | RESET_PADS_BANK0 | RESET_UART0);
    UART0_IBRD = BAUD_WHOLE;
    UART0_FBRD = BAUD_64THS;
    UART0_LCR_H = LCR_8_BITS; /* after the divisor, which it takes over */
    UART0_CR = CR_ENABLE | CR_TX_ENABLE | CR_RX_ENABLE;
    UART0_IMSC = INT_RX;
    GPIO_CTRL(TX_PIN) = FUNCTION_UART;
    GPIO_CTRL(RX_PIN) = FUNCTION_UART;
    mct_cortex_m_enable(UART0_IRQ);
}

int32_t mct_uart_take(void)
{
    return (UART0_FR & FR_RX_EMPTY) == 0 ? (uint8_t)UART0_DR : -1;
}

void mct_uart_send(uint8_t byte)
{
    while ((UART0_FR & FR_TX_FULL) != 0) {
    }
    UART0_DR = byte;
}

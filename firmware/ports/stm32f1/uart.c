/* SPDX-License-Identifier: Apache-2.0 */
/* STM32F100: USART1 on PA9 (TX) and PA10 (RX), 115,200 baud from the internal 8 MHz oscillator.
 * Registers: reference manual RM0041, chapters 6 (RCC), 7 (GPIO), 23 (USART). */
#include "ports/uart/uart.h"
#include "ports/cortex_m/startup.h"

typedef struct {
    volatile uint32_t sr;
    volatile uint32_t dr;
    volatile uint32_t brr;
    volatile uint32_t cr1;
} stm32_usart;

enum {
    USART1_IRQ = 37,
    SR_OVERRUN = 1 << 3,
    SR_RX_FULL = 1 << 5,
    SR_TX_EMPTY = 1 << 7,
    CR1_RX_ENABLE = 1 << 2,
    CR1_TX_ENABLE = 1 << 3,
    CR1_RX_INTERRUPT = 1 << 5,
    CR1_ENABLE = 1 << 13,
    APB2ENR_GPIOA = 1 << 2,
    APB2ENR_USART1 = 1 << 14
};

#define USART1 ((stm32_usart *)0x40013800u)
#define RCC_APB2ENR ((volatile uint32_t *)0x40021018u)
#define GPIOA_CRH ((volatile uint32_t *)0x40010804u)

MCT_CORTEX_M_VECTORS(USART1_IRQ);

void mct_uart_init(void)
{
    *RCC_APB2ENR |= APB2ENR_GPIOA | APB2ENR_USART1;
    *GPIOA_CRH = (*GPIOA_CRH & ~0xff0u) | 0x4b0u; /* PA9: alternate output, 50 MHz; PA10: input */
    USART1->brr = 69;                             /* 8 MHz / 115,200 */
    USART1->cr1 = CR1_ENABLE | CR1_TX_ENABLE | CR1_RX_ENABLE | CR1_RX_INTERRUPT;
    mct_cortex_m_enable(USART1_IRQ);
}

int32_t mct_uart_take(void)
{
    /* Reading the status and then the data clears both. What is read after an overrun alone is no
     * byte; the frame's CRC tells, and the interrupt would not end otherwise. */
    return (USART1->sr & (SR_RX_FULL | SR_OVERRUN)) != 0 ? (uint8_t)USART1->dr : -1;
}

void mct_uart_send(uint8_t byte)
{
    while ((USART1->sr & SR_TX_EMPTY) == 0) {
    }
    USART1->dr = byte;
}

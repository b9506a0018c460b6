/* SPDX-License-Identifier: Apache-2.0 */
/* STM32F4: a USART at 115,200 baud from the internal 16 MHz oscillator, which runs after a reset.
 * The build says MCT_STM32F4_USART: 1 on PB6 (TX) and PB7 (RX), or 2 on PA2 (TX) and PA3 (RX).
 * Registers: reference manuals RM0090 (STM32F405) and RM0390 (STM32F446), chapters on RCC, GPIO and
 * USART, where both agree; alternate function 7 of these pins: the chips' datasheets. */
#include "ports/cortex_m/uart.h"
#include "ports/cortex_m/startup.h"

typedef struct {
    volatile uint32_t sr;
    volatile uint32_t dr;
    volatile uint32_t brr;
    volatile uint32_t cr1;
} stm32_usart;

typedef struct {
    volatile uint32_t moder;
    volatile uint32_t otyper;
    volatile uint32_t ospeedr;
    volatile uint32_t pupdr;
    volatile uint32_t idr;
    volatile uint32_t odr;
    volatile uint32_t bsrr;
    volatile uint32_t lckr;
    volatile uint32_t afrl; /* alternate functions of pins 0 to 7, 4 bits each */
} stm32_gpio;

enum {
    SR_OVERRUN = 1 << 3,
    SR_RX_FULL = 1 << 5,
    SR_TX_EMPTY = 1 << 7,
    CR1_RX_ENABLE = 1 << 2,
    CR1_TX_ENABLE = 1 << 3,
    CR1_RX_INTERRUPT = 1 << 5,
    CR1_ENABLE = 1 << 13,
    BAUD_115200 = 139, /* of 16 MHz: 0.1 % too slow */
    MODE_ALTERNATE = 2,
    PULL_UP = 1,
    FUNCTION_USART = 7
};

#define RCC_AHB1ENR ((volatile uint32_t *)0x40023830u)
#define RCC_APB1ENR ((volatile uint32_t *)0x40023840u)
#define RCC_APB2ENR ((volatile uint32_t *)0x40023844u)

#if MCT_STM32F4_USART == 1
#define USART ((stm32_usart *)0x40011000u)
#define PORT ((stm32_gpio *)0x40020400u) /* B */
#define RCC_USART_ENR RCC_APB2ENR
enum { USART_IRQ = 37, TX_PIN = 6, AHB1ENR_PORT = 1 << 1, ENR_USART = 1 << 4 };
#elif MCT_STM32F4_USART == 2
#define USART ((stm32_usart *)0x40004400u)
#define PORT ((stm32_gpio *)0x40020000u) /* A */
#define RCC_USART_ENR RCC_APB1ENR
enum { USART_IRQ = 38, TX_PIN = 2, AHB1ENR_PORT = 1 << 0, ENR_USART = 1 << 17 };
#else
#error "say which USART is the link: MCT_STM32F4_USART is 1 or 2"
#endif

MCT_CORTEX_M_VECTORS(USART_IRQ);

/* Puts a value into the field of each of the two pins, which follow each other. */
static void set_pins(volatile uint32_t *reg, uint32_t bits, uint32_t value)
{
    uint32_t at = TX_PIN * bits, mask = (1u << bits) - 1u;
    uint32_t both = mask | mask << bits;
    *reg = (*reg & ~(both << at)) | (value | value << bits) << at;
}

void mct_uart_init(void)
{
    *RCC_AHB1ENR |= AHB1ENR_PORT;
    *RCC_USART_ENR |= ENR_USART;
    (void)*RCC_USART_ENR; /* a register of what was just enabled must not be written at once */
    set_pins(&PORT->afrl, 4, FUNCTION_USART);
    set_pins(&PORT->pupdr, 2, PULL_UP); /* so that an open line is idle */
    set_pins(&PORT->moder, 2, MODE_ALTERNATE);
    USART->brr = BAUD_115200;
    USART->cr1 = CR1_ENABLE | CR1_TX_ENABLE | CR1_RX_ENABLE | CR1_RX_INTERRUPT;
    mct_cortex_m_enable(USART_IRQ);
}

int32_t mct_uart_take(void)
{
    /* Reading the status and then the data clears both. What is read after an overrun alone is no
     * byte; the frame's CRC tells, and the interrupt would not end otherwise. */
    return (USART->sr & (SR_RX_FULL | SR_OVERRUN)) != 0 ? (uint8_t)USART->dr : -1;
}

void mct_uart_send(uint8_t byte)
{
    while ((USART->sr & SR_TX_EMPTY) == 0) {
    }
    USART->dr = byte;
}

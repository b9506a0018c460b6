/* SPDX-License-Identifier: Apache-2.0 */
/* mct/port.h over ST's HAL (STM32Cube). The interrupt hands each byte to the runtime, even while
 * kernels run; the core sleeps in between. MCT_STM32_BOARD names the board's header in this
 * folder. */
#define MCT_TEXT(x) #x
#define MCT_PATH(x) MCT_TEXT(x)
#include MCT_PATH(MCT_STM32_BOARD.h)

#include <string.h>

#include "mct/port.h"

static UART_HandleTypeDef mct_port_uart;
static volatile bool mct_port_came; /* a byte, since the core last slept */

/* Of the HAL's start-up files, which name them. */
void SysTick_Handler(void);
void MCT_STM32_UART_HANDLER(void);

void SysTick_Handler(void)
{
    HAL_IncTick();
}

/* The HAL's own handler would take a handle's lock, which HAL_UART_Transmit holds in some versions,
 * and end the reception at each error. */
void MCT_STM32_UART_HANDLER(void)
{
    while (__HAL_UART_GET_FLAG(&mct_port_uart, UART_FLAG_RXNE)) {
        (void)mct_link_receive((uint8_t)mct_port_uart.Instance->MCT_STM32_RECEIVED);
        mct_port_came = true;
    }
    if (__HAL_UART_GET_FLAG(&mct_port_uart, UART_FLAG_ORE)) {
        __HAL_UART_CLEAR_OREFLAG(&mct_port_uart); /* the lost byte is seen by the frame's CRC */
    }
}

/* Nothing works without clock and link: the core stops, where a debugger finds it. */
static void need(HAL_StatusTypeDef status)
{
    if (status != HAL_OK) {
        __disable_irq();
        for (;;) {
            __WFI();
        }
    }
}

static void init_pin(GPIO_TypeDef *port, uint32_t pin)
{
    GPIO_InitTypeDef wanted = {.Pin = pin,
                               .Mode = GPIO_MODE_AF_PP,
                               .Pull = GPIO_PULLUP,
                               .Speed = GPIO_SPEED_FREQ_HIGH,
                               .Alternate = MCT_STM32_ALTERNATE};
    HAL_GPIO_Init(port, &wanted);
}

void mct_port_init(void)
{
    need(HAL_Init());
    need(mct_stm32_clock_init());
    MCT_STM32_CLOCKS_ENABLE();
    init_pin(MCT_STM32_TX_PORT, MCT_STM32_TX_PIN);
    init_pin(MCT_STM32_RX_PORT, MCT_STM32_RX_PIN);
    mct_port_uart.Instance = MCT_STM32_UART;
    mct_port_uart.Init.BaudRate = MCT_LINK_BAUD;
    mct_port_uart.Init.WordLength = UART_WORDLENGTH_8B;
    mct_port_uart.Init.StopBits = UART_STOPBITS_1;
    mct_port_uart.Init.Parity = UART_PARITY_NONE;
    mct_port_uart.Init.Mode = UART_MODE_TX_RX;
    mct_port_uart.Init.HwFlowCtl = UART_HWCONTROL_NONE;
    mct_port_uart.Init.OverSampling = UART_OVERSAMPLING_16;
    need(HAL_UART_Init(&mct_port_uart));
    HAL_NVIC_SetPriority(MCT_STM32_UART_IRQ, 1, 0);
    HAL_NVIC_EnableIRQ(MCT_STM32_UART_IRQ);
    __HAL_UART_ENABLE_IT(&mct_port_uart, UART_IT_RXNE);
}

void mct_port_device_id(uint8_t id[MCT_DEVICE_ID_BYTES])
{
    const uint32_t words[3] = {HAL_GetUIDw0(), HAL_GetUIDw1(), HAL_GetUIDw2()};
    memcpy(id, words, sizeof words);
}

/* After a power-on the flags of brown-out and pin are set too, after any reset that of the pin. */
mct_reset_cause mct_port_reset_cause(void)
{
    mct_reset_cause cause = MCT_RESET_UNKNOWN;
    if (__HAL_RCC_GET_FLAG(RCC_FLAG_PORRST)) {
        cause = MCT_RESET_POWER_ON;
    } else if (__HAL_RCC_GET_FLAG(RCC_FLAG_BORRST)) {
        cause = MCT_RESET_BROWN_OUT;
    } else if (__HAL_RCC_GET_FLAG(MCT_STM32_WATCHDOG)) {
        cause = MCT_RESET_WATCHDOG;
    } else if (__HAL_RCC_GET_FLAG(RCC_FLAG_SFTRST)) {
        cause = MCT_RESET_SOFTWARE;
    } else if (__HAL_RCC_GET_FLAG(RCC_FLAG_PINRST)) {
        cause = MCT_RESET_PIN;
    }
    __HAL_RCC_CLEAR_RESET_FLAGS();
    return cause;
}

void mct_port_receive(bool may_sleep)
{
    if (!may_sleep) {
        return;
    }
    /* With interrupts masked, a byte that arrives after the test still ends the WFI, and is handled
     * when they are let through: no wake-up is lost between the test and the sleep. */
    __disable_irq();
    if (!mct_port_came) {
        __WFI();
    }
    mct_port_came = false;
    __enable_irq();
}

void mct_port_write(const uint8_t *data, uint32_t nbytes)
{
    while (nbytes > 0) {
        uint16_t now = (uint16_t)(nbytes < UINT16_MAX ? nbytes : UINT16_MAX);
        /* A UART without flow control always takes them. */
        (void)HAL_UART_Transmit(&mct_port_uart, data, now, HAL_MAX_DELAY);
        data += now;
        nbytes -= now;
    }
}

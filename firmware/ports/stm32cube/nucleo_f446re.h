/* SPDX-License-Identifier: Apache-2.0 */
/* Nucleo-F446RE: USART2 on PA2 and PA3, which the ST-LINK makes a port (UM1724). */
#ifndef MCT_NUCLEO_F446RE_H
#define MCT_NUCLEO_F446RE_H

#include "ports/stm32cube/stm32f4.h"

#define MCT_STM32_UART USART2
#define MCT_STM32_UART_IRQ USART2_IRQn
#define MCT_STM32_UART_HANDLER USART2_IRQHandler
#define MCT_STM32_ALTERNATE GPIO_AF7_USART2
#define MCT_STM32_TX_PORT GPIOA
#define MCT_STM32_TX_PIN GPIO_PIN_2
#define MCT_STM32_RX_PORT GPIOA
#define MCT_STM32_RX_PIN GPIO_PIN_3

#define MCT_STM32_CLOCKS_ENABLE()                                                                  \
    do {                                                                                           \
        __HAL_RCC_GPIOA_CLK_ENABLE();                                                              \
        __HAL_RCC_USART2_CLK_ENABLE();                                                             \
    } while (0)

#endif

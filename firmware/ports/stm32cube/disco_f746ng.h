/* SPDX-License-Identifier: Apache-2.0 */
/* 32F746GDISCOVERY: USART1 on PA9 and PB7, which the ST-LINK makes a port (UM1907).
 */
#ifndef MCT_DISCO_F746NG_H
#define MCT_DISCO_F746NG_H

#include "ports/stm32cube/stm32f7.h"

#define MCT_STM32_UART USART1
#define MCT_STM32_UART_IRQ USART1_IRQn
#define MCT_STM32_UART_HANDLER USART1_IRQHandler
#define MCT_STM32_ALTERNATE GPIO_AF7_USART1
#define MCT_STM32_TX_PORT GPIOA
#define MCT_STM32_TX_PIN GPIO_PIN_9
#define MCT_STM32_RX_PORT GPIOB
#define MCT_STM32_RX_PIN GPIO_PIN_7

#define MCT_STM32_CLOCKS_ENABLE()                                                                  \
    do {                                                                                           \
        __HAL_RCC_GPIOA_CLK_ENABLE();                                                              \
        __HAL_RCC_GPIOB_CLK_ENABLE();                                                              \
        __HAL_RCC_USART1_CLK_ENABLE();                                                             \
    } while (0)

#endif

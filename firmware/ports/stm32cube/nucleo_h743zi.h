/* SPDX-License-Identifier: Apache-2.0 */
/* Nucleo-H743ZI: USART3 on PD8 and PD9, which the ST-LINK makes a port (UM1974). */
#ifndef MCT_NUCLEO_H743ZI_H
#define MCT_NUCLEO_H743ZI_H

#include "ports/stm32cube/stm32h7.h"

#define MCT_STM32_UART USART3
#define MCT_STM32_UART_IRQ USART3_IRQn
#define MCT_STM32_UART_HANDLER USART3_IRQHandler
#define MCT_STM32_ALTERNATE GPIO_AF7_USART3
#define MCT_STM32_TX_PORT GPIOD
#define MCT_STM32_TX_PIN GPIO_PIN_8
#define MCT_STM32_RX_PORT GPIOD
#define MCT_STM32_RX_PIN GPIO_PIN_9

#define MCT_STM32_CLOCKS_ENABLE()                                                                  \
    do {                                                                                           \
        __HAL_RCC_GPIOD_CLK_ENABLE();                                                              \
        __HAL_RCC_USART3_CLK_ENABLE();                                                             \
    } while (0)

#endif

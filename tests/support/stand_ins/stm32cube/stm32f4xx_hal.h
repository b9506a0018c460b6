/* SPDX-License-Identifier: Apache-2.0 */
/* The HAL of the STM32F4 (UM1725), with the fields of the F446. */
#ifndef STM32F4XX_HAL_H
#define STM32F4XX_HAL_H

#include <stdint.h>

typedef struct {
    volatile uint32_t SR, DR, BRR, CR1, CR2, CR3, GTPR;
} USART_TypeDef;
#define STAND_IN_RECEIVED DR

typedef struct {
    uint32_t PLLState, PLLSource, PLLM, PLLN, PLLP, PLLQ, PLLR;
} RCC_PLLInitTypeDef;
typedef struct {
    uint32_t ClockType, SYSCLKSource, AHBCLKDivider, APB1CLKDivider, APB2CLKDivider;
} RCC_ClkInitTypeDef;

#define RCC_HSI_ON 1u
#define RCC_PLLP_DIV2 2u
#define RCC_SYSCLKSOURCE_PLLCLK 2u
#define RCC_SYSCLK_DIV1 0u
#define RCC_HCLK_DIV2 0x1000u
#define RCC_HCLK_DIV4 0x1400u
#define FLASH_LATENCY_5 5u

#include "hal.h"

#endif

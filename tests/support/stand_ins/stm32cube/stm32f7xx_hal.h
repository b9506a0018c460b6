/* SPDX-License-Identifier: Apache-2.0 */
/* The HAL of the STM32F7 (UM1905), with the fields of the F746. */
#ifndef STM32F7XX_HAL_H
#define STM32F7XX_HAL_H

#include <stdint.h>

typedef struct {
    volatile uint32_t CR1, CR2, CR3, BRR, GTPR, RTOR, RQR, ISR, ICR, RDR, TDR;
} USART_TypeDef;
#define STAND_IN_RECEIVED RDR

typedef struct {
    uint32_t PLLState, PLLSource, PLLM, PLLN, PLLP, PLLQ;
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

void SCB_EnableICache(void);
void SCB_EnableDCache(void);

#endif

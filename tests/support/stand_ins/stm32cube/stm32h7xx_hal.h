/* SPDX-License-Identifier: Apache-2.0 */
/* The HAL of the STM32H7 (UM2217), with the fields of the H743. */
#ifndef STM32H7XX_HAL_H
#define STM32H7XX_HAL_H

#include <stdint.h>

typedef struct {
    volatile uint32_t CR1, CR2, CR3, BRR, GTPR, RTOR, RQR, ISR, ICR, RDR, TDR, PRESC;
} USART_TypeDef;
#define STAND_IN_RECEIVED RDR

typedef struct {
    uint32_t PLLState, PLLSource, PLLM, PLLN, PLLP, PLLQ, PLLR, PLLRGE, PLLVCOSEL, PLLFRACN;
} RCC_PLLInitTypeDef;
typedef struct {
    uint32_t ClockType, SYSCLKSource, SYSCLKDivider, AHBCLKDivider, APB3CLKDivider, APB1CLKDivider,
        APB2CLKDivider, APB4CLKDivider;
} RCC_ClkInitTypeDef;

#define RCC_HSI_DIV1 1u
#define RCC_PLL1VCIRANGE_3 0xcu
#define RCC_PLL1VCOWIDE 0u
#define RCC_SYSCLKSOURCE_PLLCLK 3u
#define RCC_SYSCLK_DIV1 0u
#define RCC_HCLK_DIV2 8u
#define RCC_APB1_DIV2 0x40u
#define RCC_APB2_DIV2 0x400u
#define RCC_APB3_DIV2 0x40u
#define RCC_APB4_DIV2 0x40u
#define RCC_CLOCKTYPE_D1PCLK1 16u
#define RCC_CLOCKTYPE_D3PCLK1 32u
#define FLASH_LATENCY_4 4u
#define PWR_LDO_SUPPLY 2u
#define PWR_FLAG_VOSRDY 7u
#define __HAL_PWR_GET_FLAG(flag) ((flag) != 0u)

#include "hal.h"

HAL_StatusTypeDef HAL_PWREx_ConfigSupply(uint32_t source);
void SCB_EnableICache(void);
void SCB_EnableDCache(void);

/* Faults, and the flash's error correction. */
typedef struct {
    volatile uint32_t CCR;
} stand_in_scb_block;
extern stand_in_scb_block stand_in_scb;
#define SCB (&stand_in_scb)
#define SCB_CCR_BFHFNMIGN_Msk (1u << 8)
void __disable_fault_irq(void);
void __enable_fault_irq(void);
void __DSB(void);
#define FLASH_FLAG_DBECCERR_BANK2 (1u << 26)
bool stand_in_uncorrectable(void);
#define __HAL_FLASH_GET_FLAG_BANK2(flag) ((flag) != 0u && stand_in_uncorrectable())
#define __HAL_FLASH_CLEAR_FLAG_BANK2(flag) ((void)(flag))

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* STM32H743: 400 MHz from the internal oscillator of 64 MHz (RM0433, chapters PWR and RCC), with
 * both caches. No DMA writes behind them. */
#ifndef MCT_STM32H7_H
#define MCT_STM32H7_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "stm32h7xx_hal.h"

#define MCT_STM32_WATCHDOG RCC_FLAG_IWDG1RST
#define MCT_STM32_RECEIVED RDR

static inline HAL_StatusTypeDef mct_stm32_clock_init(void)
{
    SCB_EnableICache();
    SCB_EnableDCache();
    HAL_StatusTypeDef status = HAL_PWREx_ConfigSupply(PWR_LDO_SUPPLY);
    if (status != HAL_OK) {
        return status;
    }
    __HAL_PWR_VOLTAGESCALING_CONFIG(PWR_REGULATOR_VOLTAGE_SCALE1);
    while (!__HAL_PWR_GET_FLAG(PWR_FLAG_VOSRDY)) {
    }
    RCC_OscInitTypeDef oscillator = {.OscillatorType = RCC_OSCILLATORTYPE_HSI,
                                     .HSIState = RCC_HSI_DIV1,
                                     .HSICalibrationValue = RCC_HSICALIBRATION_DEFAULT,
                                     .PLL = {.PLLState = RCC_PLL_ON,
                                             .PLLSource = RCC_PLLSOURCE_HSI,
                                             .PLLM = 8,
                                             .PLLN = 100,
                                             .PLLP = 2,
                                             .PLLQ = 8,
                                             .PLLR = 2,
                                             .PLLRGE = RCC_PLL1VCIRANGE_3,
                                             .PLLVCOSEL = RCC_PLL1VCOWIDE,
                                             .PLLFRACN = 0}};
    status = HAL_RCC_OscConfig(&oscillator);
    if (status != HAL_OK) {
        return status;
    }
    RCC_ClkInitTypeDef clocks = {.ClockType = RCC_CLOCKTYPE_SYSCLK | RCC_CLOCKTYPE_HCLK |
                                              RCC_CLOCKTYPE_D1PCLK1 | RCC_CLOCKTYPE_PCLK1 |
                                              RCC_CLOCKTYPE_PCLK2 | RCC_CLOCKTYPE_D3PCLK1,
                                 .SYSCLKSource = RCC_SYSCLKSOURCE_PLLCLK,
                                 .SYSCLKDivider = RCC_SYSCLK_DIV1,
                                 .AHBCLKDivider = RCC_HCLK_DIV2,
                                 .APB3CLKDivider = RCC_APB3_DIV2,
                                 .APB1CLKDivider = RCC_APB1_DIV2,
                                 .APB2CLKDivider = RCC_APB2_DIV2,
                                 .APB4CLKDivider = RCC_APB4_DIV2};
    return HAL_RCC_ClockConfig(&clocks, FLASH_LATENCY_4); /* more than it needs, as in ST's own */
}

/* The store: sectors 6 and 7 of bank 2 of 2 MiB (RM0433, 4.3.5). Flash words of 32 bytes, with
 * error correction. */
#define MCT_STM32_STORE 0x081c0000u
#define MCT_STM32_SECTOR 6u
#define MCT_STM32_SECTOR_BYTES 0x20000u
#define MCT_STM32_UNIT_BYTES 32u
#define MCT_STM32_BANK FLASH_BANK_2
#define MCT_STM32_PROGRAM FLASH_TYPEPROGRAM_FLASHWORD
#define MCT_STM32_PROGRAM_DATA(words) ((uintptr_t)(words)) /* where they are */

static inline void mct_stm32_flash_changed(uint32_t address, uint32_t nbytes)
{
    const uint32_t begin = address & ~31u;
    SCB_InvalidateDCache_by_Addr((void *)(uintptr_t)begin, (int32_t)(address + nbytes - begin));
}

/* A flash word whose programming power has cut cannot be corrected, and a load from it is a bus
 * fault (RM0433, 4.7.7). With FAULTMASK set and BFHFNMIGN in CCR the core goes on (PM0253, 4.3.7
 * and 2.5.1), with any bytes, and the bank's flag says so. It is read from the flash, not from a
 * cache.
 */
static inline bool mct_stm32_flash_read(uint32_t address, uint8_t *to, uint32_t nbytes)
{
    mct_stm32_flash_changed(address, nbytes);
    __HAL_FLASH_CLEAR_FLAG_BANK2(FLASH_FLAG_DBECCERR_BANK2);
    const uint32_t before = SCB->CCR;
    __disable_fault_irq();
    SCB->CCR = before | SCB_CCR_BFHFNMIGN_Msk;
    __DSB();
    memcpy(to, (const void *)(uintptr_t)address, nbytes);
    __DSB();
    SCB->CCR = before;
    __DSB();
    __enable_fault_irq();
    const bool is_good = !__HAL_FLASH_GET_FLAG_BANK2(FLASH_FLAG_DBECCERR_BANK2);
    __HAL_FLASH_CLEAR_FLAG_BANK2(FLASH_FLAG_DBECCERR_BANK2);
    return is_good;
}

#endif

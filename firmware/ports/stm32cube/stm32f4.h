/* SPDX-License-Identifier: Apache-2.0 */
/* STM32F446: 168 MHz from the internal oscillator, without over-drive (RM0390, chapters
 * FLASH, PWR and RCC). It is within 1 percent, which a UART takes. */
#ifndef MCT_STM32F4_H
#define MCT_STM32F4_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "stm32f4xx_hal.h"

#define MCT_STM32_WATCHDOG RCC_FLAG_IWDGRST
#define MCT_STM32_RECEIVED DR /* the data register */

static inline HAL_StatusTypeDef mct_stm32_clock_init(void)
{
    __HAL_RCC_PWR_CLK_ENABLE();
    __HAL_PWR_VOLTAGESCALING_CONFIG(PWR_REGULATOR_VOLTAGE_SCALE1);
    RCC_OscInitTypeDef oscillator = {.OscillatorType = RCC_OSCILLATORTYPE_HSI,
                                     .HSIState = RCC_HSI_ON,
                                     .HSICalibrationValue = RCC_HSICALIBRATION_DEFAULT,
                                     .PLL = {.PLLState = RCC_PLL_ON,
                                             .PLLSource = RCC_PLLSOURCE_HSI,
                                             .PLLM = 8,
                                             .PLLN = 168,
                                             .PLLP = RCC_PLLP_DIV2,
                                             .PLLQ = 7,
                                             .PLLR = 2}};
    HAL_StatusTypeDef status = HAL_RCC_OscConfig(&oscillator);
    if (status != HAL_OK) {
        return status;
    }
    RCC_ClkInitTypeDef clocks = {.ClockType = RCC_CLOCKTYPE_SYSCLK | RCC_CLOCKTYPE_HCLK |
                                              RCC_CLOCKTYPE_PCLK1 | RCC_CLOCKTYPE_PCLK2,
                                 .SYSCLKSource = RCC_SYSCLKSOURCE_PLLCLK,
                                 .AHBCLKDivider = RCC_SYSCLK_DIV1,
                                 .APB1CLKDivider = RCC_HCLK_DIV4,
                                 .APB2CLKDivider = RCC_HCLK_DIV2};
    return HAL_RCC_ClockConfig(&clocks, FLASH_LATENCY_5);
}

/* The store: sectors 6 and 7 of 512 KiB (RM0390, 3.3). Words of 32 bits at 2.7 V and more. */
#define MCT_STM32_STORE 0x08040000u
#define MCT_STM32_SECTOR 6u
#define MCT_STM32_SECTOR_BYTES 0x20000u
#define MCT_STM32_UNIT_BYTES 4u
#define MCT_STM32_BANK FLASH_BANK_1
#define MCT_STM32_PROGRAM FLASH_TYPEPROGRAM_WORD
#define MCT_STM32_PROGRAM_DATA(words) ((words)[0])

/* The HAL empties the accelerator's caches after each erase, and an erased word is programmed once.
 */
static inline void mct_stm32_flash_changed(uint32_t address, uint32_t nbytes)
{
    (void)address;
    (void)nbytes;
}

static inline bool mct_stm32_flash_read(uint32_t address, uint8_t *to, uint32_t nbytes)
{
    memcpy(to, (const void *)(uintptr_t)address, nbytes);
    return true;
}

#endif

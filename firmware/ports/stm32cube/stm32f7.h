/* SPDX-License-Identifier: Apache-2.0 */
/* STM32F746: 180 MHz from the internal oscillator, the most without over-drive (RM0385, chapters
 * FLASH, PWR and RCC), with both caches. No DMA writes behind them. */
#ifndef MCT_STM32F7_H
#define MCT_STM32F7_H

#include "stm32f7xx_hal.h"

#define MCT_STM32_WATCHDOG RCC_FLAG_IWDGRST
#define MCT_STM32_RECEIVED RDR

static inline HAL_StatusTypeDef mct_stm32_clock_init(void)
{
    SCB_EnableICache();
    SCB_EnableDCache();
    __HAL_RCC_PWR_CLK_ENABLE();
    __HAL_PWR_VOLTAGESCALING_CONFIG(PWR_REGULATOR_VOLTAGE_SCALE1);
    RCC_OscInitTypeDef oscillator = {.OscillatorType = RCC_OSCILLATORTYPE_HSI,
                                     .HSIState = RCC_HSI_ON,
                                     .HSICalibrationValue = RCC_HSICALIBRATION_DEFAULT,
                                     .PLL = {.PLLState = RCC_PLL_ON,
                                             .PLLSource = RCC_PLLSOURCE_HSI,
                                             .PLLM = 8,
                                             .PLLN = 180,
                                             .PLLP = RCC_PLLP_DIV2,
                                             .PLLQ = 8}};
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

#endif

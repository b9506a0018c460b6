/* SPDX-License-Identifier: Apache-2.0 */
/* STM32H743: 400 MHz from the internal oscillator of 64 MHz (RM0433, chapters PWR and RCC), with
 * both caches. No DMA writes behind them. */
#ifndef MCT_STM32H7_H
#define MCT_STM32H7_H

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

#endif

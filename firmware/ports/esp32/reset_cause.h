/* SPDX-License-Identifier: Apache-2.0 */
/* What Espressif's chips say of their last reset, for ports over any of their frameworks. */
#ifndef MCT_ESP32_RESET_CAUSE_H
#define MCT_ESP32_RESET_CAUSE_H

#include "esp_system.h"

#include "mct/reset_cause.h"

static inline mct_reset_cause mct_esp32_reset_cause(void)
{
    switch (esp_reset_reason()) {
    case ESP_RST_POWERON:
        return MCT_RESET_POWER_ON;
    case ESP_RST_EXT:
        return MCT_RESET_PIN;
    case ESP_RST_SW:
        return MCT_RESET_SOFTWARE;
    case ESP_RST_PANIC:
        return MCT_RESET_FAULT;
    case ESP_RST_INT_WDT:
    case ESP_RST_TASK_WDT:
    case ESP_RST_WDT:
        return MCT_RESET_WATCHDOG;
    case ESP_RST_BROWNOUT:
        return MCT_RESET_BROWN_OUT;
    default:
        return MCT_RESET_UNKNOWN;
    }
}

#endif

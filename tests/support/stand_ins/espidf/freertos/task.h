/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TASK_H
#define TASK_H

#include "freertos/FreeRTOS.h"

typedef struct task *TaskHandle_t;
TaskHandle_t xTaskGetIdleTaskHandle(void);

#endif

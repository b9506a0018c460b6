/* SPDX-License-Identifier: Apache-2.0 */
/* An STM32 under ST's HAL. WHICH PINS YOUR BUTTONS HAVE is yours to fill in, in board_button; until
 * then a script lets the model say what it sees, and then holds button 0 and button 1 in turn. */
#include "board.h"

#include <string.h>

#include "mct/port.h"

enum { PERIOD_MS = 100, SEEN_BEFORE = 20, TAUGHT = 40 };

uint32_t HAL_GetTick(void); /* of ST's HAL, in ms */

static uint32_t last_ms;
static int32_t samples; /* that were due */

void board_begin(void)
{
    samples = 0;
    last_ms = HAL_GetTick();
}

bool board_sample_is_due(void)
{
    if (HAL_GetTick() - last_ms < PERIOD_MS) {
        return false;
    }
    last_ms += PERIOD_MS;
    samples += samples <= SEEN_BEFORE + TAUGHT;
    return true;
}

/* With the blue button of a Nucleo, which pulls PC13 low, this would be for button 0:
 *     HAL_GPIO_ReadPin(GPIOC, GPIO_PIN_13) == GPIO_PIN_RESET */
int32_t board_button(void)
{
    int32_t taught = samples - 1 - SEEN_BEFORE;
    return taught >= 0 && taught < TAUGHT ? taught % 2 : BOARD_NO_BUTTON;
}

void board_print(const char *text)
{
    mct_port_write((const uint8_t *)text, (uint32_t)strlen(text));
}

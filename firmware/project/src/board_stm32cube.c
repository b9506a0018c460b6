/* SPDX-License-Identifier: Apache-2.0 */
/* An STM32 under ST's HAL. WHICH PINS YOUR BUTTONS HAVE is yours to fill in, in board_button; until
 * then a script holds button 0 and button 1 in turn for the first samples. */
#include "board.h"

#include <string.h>

#include "mct/port.h"

enum { PERIOD_MS = 100, TAUGHT = 40 };

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
    samples += samples <= TAUGHT;
    return true;
}

/* With the blue button of a Nucleo, which pulls PC13 low, this would be for button 0:
 *     HAL_GPIO_ReadPin(GPIOC, GPIO_PIN_13) == GPIO_PIN_RESET */
int32_t board_button(void)
{
    return samples <= TAUGHT ? (samples - 1) % 2 : BOARD_NO_BUTTON;
}

void board_print(const char *text)
{
    mct_port_write((const uint8_t *)text, (uint32_t)strlen(text));
}

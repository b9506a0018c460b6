/* SPDX-License-Identifier: Apache-2.0 */
/* An Arduino board with two buttons, each between its pin and GND. */
#include "board.h"

#include <Arduino.h>
#include <string.h>

#include "mct/port.h"

static const uint8_t BUTTON_PINS[] = {2, 3};
static const unsigned long PERIOD_MS = 100; /* of the samples */

static unsigned long last_ms;

void board_begin(void)
{
    for (uint8_t pin : BUTTON_PINS) {
        pinMode(pin, INPUT_PULLUP);
    }
    last_ms = millis();
}

bool board_sample_is_due(void)
{
    if (millis() - last_ms < PERIOD_MS) {
        return false;
    }
    last_ms += PERIOD_MS;
    return true;
}

int32_t board_button(void)
{
    for (int32_t button = 0; button < 2; button++) {
        if (digitalRead(BUTTON_PINS[button]) == LOW) {
            return button;
        }
    }
    return BOARD_NO_BUTTON;
}

void board_print(const char *text)
{
    mct_port_write((const uint8_t *)text, (uint32_t)strlen(text));
}

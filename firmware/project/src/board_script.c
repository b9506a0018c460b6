/* SPDX-License-Identifier: Apache-2.0 */
/* A board without buttons: this computer, or an emulated one. In their place a script lets the
 * model say what it sees, then holds button 0 and button 1 in turn, and lets it say again. */
#include "board.h"

#include <string.h>

#include "mct/port.h"

enum { SEEN_BEFORE = 20, TAUGHT = 40, SEEN_AFTER = 20 };

static int32_t samples; /* that were due */

void board_begin(void)
{
    samples = 0;
}

bool board_sample_is_due(void)
{
    if (samples == SEEN_BEFORE + TAUGHT + SEEN_AFTER) {
        return false; /* the script is over; a computer may still attach */
    }
    samples++;
    return true;
}

int32_t board_button(void)
{
    int32_t taught = samples - 1 - SEEN_BEFORE;
    return taught >= 0 && taught < TAUGHT ? taught % 2 : BOARD_NO_BUTTON;
}

void board_print(const char *text)
{
    mct_port_write((const uint8_t *)text, (uint32_t)strlen(text));
}

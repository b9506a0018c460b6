/* SPDX-License-Identifier: Apache-2.0 */
/* A board without buttons: this computer, or an emulated one. A script holds button 0 and button 1
 * in turn for the first samples, and then lets go. */
#include "board.h"

#include <string.h>

#include "mct/port.h"

enum { TAUGHT = 40, RECOGNISED = 20 };

static int32_t samples; /* that were due */

void board_begin(void)
{
    samples = 0;
}

bool board_sample_is_due(void)
{
    if (samples == TAUGHT + RECOGNISED) {
        return false; /* the script is over; a computer may still attach */
    }
    samples++;
    return true;
}

int32_t board_button(void)
{
    return samples <= TAUGHT ? (samples - 1) % 2 : BOARD_NO_BUTTON;
}

void board_print(const char *text)
{
    mct_port_write((const uint8_t *)text, (uint32_t)strlen(text));
}

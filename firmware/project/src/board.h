/* SPDX-License-Identifier: Apache-2.0 */
/* What main asks of the board, beside the link of mct/port.h. */
#ifndef BOARD_H
#define BOARD_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { BOARD_NO_BUTTON = -1 };

/* Called once, when the link is up. */
void board_begin(void);

/* Returns whether it is time for the next sample: true once for each. */
bool board_sample_is_due(void);

/* Returns which button is held, 0 or 1, or BOARD_NO_BUTTON. */
int32_t board_button(void);

/* Sends a text to whoever reads the serial port. */
void board_print(const char *text);

#ifdef __cplusplus
}
#endif

#endif

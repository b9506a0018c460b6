/* SPDX-License-Identifier: Apache-2.0 */
/* What the driver of a chip's UART gives: ports/<family>/uart.c. */
#ifndef MCT_UART_H
#define MCT_UART_H

#include <stdint.h>

/* Starts it, with an interrupt for each byte that arrives. */
void mct_uart_init(void);

/* Takes a byte that has arrived and its interrupt; -1 if there is none. */
int32_t mct_uart_take(void);

/* Sends a byte; waits until there is room for it. */
void mct_uart_send(uint8_t byte);

#endif

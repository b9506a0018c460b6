/* SPDX-License-Identifier: Apache-2.0 */
/* The seam between the portable firmware and a board: a byte stream and a way to idle. */
#ifndef MCT_PORT_H
#define MCT_PORT_H

#include <stdint.h>

/* Brings the link up. Called once, before anything else. */
void mct_port_init(void);

/* Moves up to `capacity` received bytes to `data`; returns how many, 0 if none. Never blocks. */
uint32_t mct_port_read(uint8_t *data, uint32_t capacity);

/* Sends all bytes; may block until the link has taken them. */
void mct_port_write(const uint8_t *data, uint32_t nbytes);

/* Sleeps until mct_port_read may have something; may return early. */
void mct_port_wait(void);

#endif

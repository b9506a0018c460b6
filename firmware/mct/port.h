/* SPDX-License-Identifier: Apache-2.0 */
/* The seam between the portable firmware and a board: a byte stream, a way to idle, and a counter
 * of cycles where the core has one. */
#ifndef MCT_PORT_H
#define MCT_PORT_H

#include <stdbool.h>
#include <stdint.h>

#include "mct/reset_cause.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Brings the link up. Called once, before the others. */
void mct_port_init(void);

/* Hands what has arrived to mct_link_receive, unless an interrupt does. With `may_sleep` it sleeps
 * until there was something, since the last call; it may return early, and must where a watchdog
 * runs (mct/alive.h). */
void mct_port_receive(bool may_sleep);

/* Sends all bytes; may block until the link has taken them. */
void mct_port_write(const uint8_t *data, uint32_t nbytes);

/* Cycles that the core has run, modulo 2^32, from any beginning. A port need not have it: the
 * runtime has a weak one that stays 0, as a counter does that is there and does not count. */
uint32_t mct_port_cycles(void);

/* The rest a port need not have either: the runtime's are weak (runtime/health.c). */

enum { MCT_DEVICE_ID_BYTES = 12 };

/* What tells this device from all others of its kind: the chip's unique number, with zeros behind
 * it if it is shorter. All zeros: it has none. */
void mct_port_device_id(uint8_t id[MCT_DEVICE_ID_BYTES]);

/* What the chip's registers say of this start. Called once, first; it may clear them. */
mct_reset_cause mct_port_reset_cause(void);

/* Resets the chip. It returns only where that is not possible. */
void mct_port_restart(void);

/* In place of a label that the device does not know. */
#define MCT_NO_LABEL UINT32_C(0xffffffff)

/* Of a firmware that is compiled with MCT_WITH_SENSOR: the sensor's next sample, as the model takes
 * it, for a host that collects samples. False if none is ready; then nothing was written. It must
 * not wait. `*label` is MCT_NO_LABEL, and becomes the class if a button tells it. */
bool mct_port_sample(int8_t *sample, uint32_t *label);

/* Of the runtime (runtime/link.c), for the port to call with each byte that arrives, in an
 * interrupt or in mct_port_receive. True if a request waits now: bytes behind it are dropped, and
 * repeated by the host, unless the port keeps them back until it is called again. */
bool mct_link_receive(uint8_t byte);

#ifdef __cplusplus
}
#endif

#endif

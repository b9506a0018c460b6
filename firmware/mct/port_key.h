/* SPDX-License-Identifier: Apache-2.0 */
/* The seam between the keys of a build (SPEC 2.5) and a board: where they lie, who computes with
 * them, and what tells one start of the device from all others. */
#ifndef MCT_PORT_KEY_H
#define MCT_PORT_KEY_H

#include <stdint.h>

#include "mct/protocol.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { MCT_KEY_BYTES = 32, MCT_MAC_BYTES = 16 };

/* What a key gives the right to. They travel on the wire: never renumber. */
enum { MCT_RIGHT_READ = 0, MCT_RIGHT_TRAIN = 1, MCT_RIGHT_WRITE = 2, MCT_RIGHTS = 3 };

/* Writes MCT_NONCE_BYTES bytes that no other start of this device gives: of a generator of random
 * numbers, or a number of the start that flash keeps, with zeros. They may be known to anyone, and
 * be the same throughout a start. There is no weak one: where they repeat, what a host once said
 * can be said again. */
void mct_port_nonce(uint8_t *out);

/* Writes the key of a right. The runtime has a weak one with the keys of the build; a board that
 * keeps them elsewhere, such as in fuses, has its own. */
void mct_port_key(uint32_t right, uint8_t *out);

/* Writes the MCT_MAC_BYTES first bytes of HMAC-SHA-256 with the key of a right over `head` and then
 * `body`. The runtime has a weak one, with mct_port_key; a board whose keys cannot be read, such as
 * those of PSA Crypto, has its own, and then needs no mct_port_key. */
void mct_port_mac(uint32_t right, const uint8_t *head, uint32_t head_bytes, const uint8_t *body,
                  uint32_t body_bytes, uint8_t *out);

#ifdef __cplusplus
}
#endif

#endif

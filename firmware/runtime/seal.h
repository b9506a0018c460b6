/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that come sealed (SPEC 2.5), in builds with a key: whose header of the selected model
 * includes this. Twin of host/link/seal.py.
 *
 * A session has two nonces, one of each end, and each request a counter. A code over these and the
 * request says that who sends it has the key of a right, and that it was said in this session and
 * only once. The reply has one too. */
#ifndef MCT_SEAL_H
#define MCT_SEAL_H

#include <stdbool.h>
#include <stdint.h>

#include "mct/port_key.h"
#include "mct/status.h"
#include "runtime/request.h"

#ifdef __cplusplus
extern "C" {
#endif

/* HELLO opens a session: with a new nonce, unless it is a repeat, that with the number of the last
 * request. */
void mct_seal_begin(bool is_repeat);

/* The nonce of the session, MCT_NONCE_BYTES bytes. */
const uint8_t *mct_seal_nonce(void);

/* Puts the request that is sealed in this one in its place. Refuses with MCT_ERR_KEY what is not
 * sealed with a key of this device, and with MCT_ERR_SESSION what was not said now. `is_new` says
 * by the frame's number that it is no repeat. */
mct_status mct_seal_open(mct_request *request, bool is_new);

/* Whether the key of the request that was opened last gives the right to it; to HELLO any does. */
bool mct_seal_allows(uint8_t type, const uint8_t *payload, uint32_t nbytes);

/* Appends the code to a reply's payload. Returns the bytes with it. */
uint32_t mct_seal_close(const mct_request *request, uint8_t *reply, uint32_t nbytes);

#ifdef __cplusplus
}
#endif

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* HMAC-SHA-256 (RFC 2104, FIPS 198-1), over bytes as they come: init, mct_sha256_update for each
 * part, final. */
#ifndef MCT_HMAC_H
#define MCT_HMAC_H

#include "mct/sha256.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A key has MCT_SHA256_BLOCK_BYTES bytes at most; in place of a longer one its hash is the key. */
void mct_hmac_init(mct_sha256 *hash, const uint8_t *key, uint32_t key_bytes);

/* Writes the MCT_SHA256_BYTES bytes of the code; the key is that of init. */
void mct_hmac_final(mct_sha256 *hash, const uint8_t *key, uint32_t key_bytes, uint8_t *out);

#ifdef __cplusplus
}
#endif

#endif

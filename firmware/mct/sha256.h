/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 (FIPS 180-4), over bytes as they come. */
#ifndef MCT_SHA256_H
#define MCT_SHA256_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { MCT_SHA256_BYTES = 32, MCT_SHA256_BLOCK_BYTES = 64 };

typedef struct {
    uint32_t state[8];
    uint32_t words[16]; /* the block under way, then its message schedule */
    uint32_t nbytes;    /* so far: fewer than 2^32 */
} mct_sha256;

void mct_sha256_init(mct_sha256 *hash);

void mct_sha256_update(mct_sha256 *hash, const void *data, uint32_t nbytes);

/* Writes the MCT_SHA256_BYTES bytes of the hash. What comes after it is a new one, from init. */
void mct_sha256_final(mct_sha256 *hash, uint8_t *out);

#ifdef __cplusplus
}
#endif

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include "mct/hmac.h"

enum { INNER = 0x36, OUTER = 0x5c };

static void hash_pad(mct_sha256 *hash, const uint8_t *key, uint32_t key_bytes, uint8_t pad)
{
    mct_sha256_init(hash);
    for (uint32_t n = 0; n < MCT_SHA256_BLOCK_BYTES; n++) {
        uint8_t byte = (uint8_t)((n < key_bytes ? key[n] : 0) ^ pad);
        mct_sha256_update(hash, &byte, 1);
    }
}

void mct_hmac_init(mct_sha256 *hash, const uint8_t *key, uint32_t key_bytes)
{
    hash_pad(hash, key, key_bytes, INNER);
}

void mct_hmac_final(mct_sha256 *hash, const uint8_t *key, uint32_t key_bytes, uint8_t *out)
{
    mct_sha256_final(hash, out);
    hash_pad(hash, key, key_bytes, OUTER);
    mct_sha256_update(hash, out, MCT_SHA256_BYTES);
    mct_sha256_final(hash, out);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "mct/record_chain.h"

#include <string.h>

#include "mct/model.h"

enum { BEGINNING_BYTES = 17, NUMERICS_BYTES = 8 };

static const uint8_t beginning[BEGINNING_BYTES] MCT_IN_FLASH = {
    'm', 'c', 'u', 't', 'r', 'a', 'i', 'n', ' ', 'r', 'e', 'c', 'o', 'r', 'd', ' ', '1',
};

static void put_u32(uint8_t *to, uint32_t value)
{
    for (uint32_t n = 0; n < 4u; n++) {
        to[n] = (uint8_t)(value >> 8u * n);
    }
}

/* Writes the first bytes of the hash. */
static void finish(mct_sha256 *hash, uint8_t *out)
{
    uint8_t whole[MCT_SHA256_BYTES];
    mct_sha256_final(hash, whole);
    memcpy(out, whole, MCT_CHAIN_BYTES);
}

void mct_short_hash(const uint8_t *data, uint32_t nbytes, uint8_t *hash)
{
    mct_sha256 all;
    mct_sha256_init(&all);
    mct_sha256_update(&all, data, nbytes);
    finish(&all, hash);
}

void mct_chain_begin(uint8_t *chain, const uint8_t *numerics_hash, uint32_t seed, bool goes_on)
{
    uint8_t bytes[BEGINNING_BYTES + NUMERICS_BYTES + 4 + MCT_CHAIN_BYTES];
    uint8_t *end = bytes + BEGINNING_BYTES;
    MCT_COPY_FROM_FLASH(bytes, beginning, 0, sizeof beginning);
    memcpy(end, numerics_hash, NUMERICS_BYTES);
    put_u32(end + NUMERICS_BYTES, seed);
    memcpy(end + NUMERICS_BYTES + 4, chain, MCT_CHAIN_BYTES);
    mct_short_hash(bytes, sizeof bytes - (goes_on ? 0u : MCT_CHAIN_BYTES), chain);
}

void mct_chain_enter(uint8_t *chain, mct_sha256 *sample, const mct_record_step *step,
                     uint8_t *entry)
{
    memcpy(entry, chain, MCT_CHAIN_BYTES);
    finish(sample, entry + 16);
    put_u32(entry + 32, step->label);
    put_u32(entry + 36, step->sgd[1]);
    entry[40] = (uint8_t)step->sgd[2];
    entry[41] = (uint8_t)step->sgd[3];
    entry[42] = (uint8_t)step->flags;
    entry[43] = (uint8_t)(step->flags >> 8);
    put_u32(entry + 44, step->classes);
    mct_sha256_init(sample);
    mct_sha256_update(sample, entry, MCT_RECORD_ENTRY_BYTES);
    finish(sample, chain);
}

__attribute__((weak)) void mct_record_sink(const uint8_t *entry)
{
    (void)entry;
}

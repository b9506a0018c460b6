/* SPDX-License-Identifier: Apache-2.0 */
#include "mct/digest.h"

/* The bytes of M = 256 w + frac into the complement of a CRC: the upper one is less by one where
 * the fraction is negative. */
static inline uint32_t push_weight(uint32_t complement, uint32_t w, uint32_t frac)
{
    uint32_t upper = w - (frac >> 7);
    __asm__("" : "+r"(upper)); /* or the compiler keeps frac for later, which takes a copy of it */
    return mct_crc32_push(mct_crc32_push(complement, frac), upper);
}

uint32_t mct_digest_weights(uint32_t crc, const int8_t *w, const int8_t *frac, uint32_t size)
{
    const uint8_t *whole = (const uint8_t *)w;
    const uint8_t *rest = (const uint8_t *)frac;
    crc = ~crc;
    for (uint32_t fours = size / 4u; fours != 0u; fours--, whole += 4, rest += 4) {
        crc = push_weight(crc, whole[0], rest[0]);
        crc = push_weight(crc, whole[1], rest[1]);
        crc = push_weight(crc, whole[2], rest[2]);
        crc = push_weight(crc, whole[3], rest[3]);
    }
    for (uint32_t left = size % 4u; left != 0u; left--) {
        crc = push_weight(crc, *whole++, *rest++);
    }
    return ~crc;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The two weights of a byte. Twin of trainer/ops/nibbles.py. */
#ifndef MCT_NIBBLES_H
#define MCT_NIBBLES_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The shifts to the right are arithmetic. A product with a centred input fits an int of 16 bits:
 * 255 * 8 < 2^15. */
static inline int mct_low_nibble(uint8_t both)
{
    return (int8_t)(uint8_t)(both << 4) >> 4;
}

static inline int mct_high_nibble(uint8_t both)
{
    return (int8_t)both >> 4;
}

/* The first `count` nibbles of `both`, the low one of a byte first; an even number is written. */
static inline void mct_unpack_nibbles(const uint8_t *both, int32_t count, int8_t *to)
{
    for (const int8_t *end = to + count; to < end; to += 2) {
        to[0] = (int8_t)mct_low_nibble(*both);
        to[1] = (int8_t)mct_high_nibble(*both++);
    }
}

#ifdef __cplusplus
}
#endif

#endif

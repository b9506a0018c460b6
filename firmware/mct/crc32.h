/* SPDX-License-Identifier: Apache-2.0 */
/* CRC-32 of frames and digests: the polynomial and conventions of zlib. */
#ifndef MCT_CRC32_H
#define MCT_CRC32_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One entry for each nibble, 64 bytes of flash, or for each byte, 1024 bytes and two thirds of the
 * instructions: the smallest microcontrollers have these cores. */
#if defined __ARM_ARCH_6M__ || defined __AVR__
#define MCT_CRC32_BY_NIBBLES
extern const uint32_t mct_crc32_table[16];
#else
extern const uint32_t mct_crc32_table[256];
#endif

/* CRC of `data` appended to the bytes whose CRC is `crc`; start with 0. */
uint32_t mct_crc32(uint32_t crc, const void *data, uint32_t nbytes);

#ifdef MCT_CRC32_BY_NIBBLES
/* The low nibble is shifted out. Two shifts make the place of its entry, in bytes: an index would
 * cost a mask, and a shift of its own. */
static inline uint32_t mct_crc32_shift_nibble(uint32_t complement)
{
    const void *entry = (const uint8_t *)mct_crc32_table + (complement << 28 >> 26);
    return (complement >> 4) ^ *(const uint32_t *)entry;
}
#endif

/* The low byte is shifted out of the complement of a CRC. */
static inline uint32_t mct_crc32_shift(uint32_t complement)
{
#ifdef MCT_CRC32_BY_NIBBLES
    return mct_crc32_shift_nibble(mct_crc32_shift_nibble(complement));
#else
    return (complement >> 8) ^ mct_crc32_table[complement & 255u];
#endif
}

/* One byte more into the complement of a CRC: for whoever has them one at a time. */
static inline uint32_t mct_crc32_push(uint32_t complement, uint8_t byte)
{
    return mct_crc32_shift(complement ^ byte);
}

#ifdef __cplusplus
}
#endif

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* CRC-32 of frames and digests: the polynomial and conventions of zlib. */
#ifndef MCT_CRC32_H
#define MCT_CRC32_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One entry for each byte, 1024 bytes of flash; or for each nibble, 64 bytes and half as many
 * instructions again, where constants take RAM or flash counts most. */
#if defined __AVR__ || (defined __ARM_ARCH_6M__ && defined __OPTIMIZE_SIZE__)
#define MCT_CRC32_BY_NIBBLES
extern const uint32_t mct_crc32_of_nibbles[16];
#else
extern const uint32_t mct_crc32_of_bytes[256];
#endif

/* CRC of `data` appended to the bytes whose CRC is `crc`; start with 0. */
uint32_t mct_crc32(uint32_t crc, const void *data, uint32_t nbytes);

/* The low bits of x, in all `bits` bits of an entry's index, as its place in bytes. Two shifts make
 * it where an index would cost a mask, and a shift of its own. */
#define MCT_CRC32_PLACE(x, bits) ((x) << (32 - (bits)) >> (30 - (bits)))

#ifdef MCT_CRC32_BY_NIBBLES
/* The low nibble is shifted out. */
static inline uint32_t mct_crc32_shift_nibble(uint32_t complement)
{
    const uint8_t *table = (const uint8_t *)mct_crc32_of_nibbles;
    const void *entry = table + MCT_CRC32_PLACE(complement, 4);
    return (complement >> 4) ^ *(const uint32_t *)entry;
}
#endif

/* One byte more into the complement of a CRC, for whoever has them one at a time: the low eight
 * bits of x. */
static inline uint32_t mct_crc32_push(uint32_t complement, uint32_t x)
{
#ifdef MCT_CRC32_BY_NIBBLES
    return mct_crc32_shift_nibble(mct_crc32_shift_nibble(complement ^ (x & 255u)));
#elif defined __ARM_ARCH_6M__
    const uint8_t *table = (const uint8_t *)mct_crc32_of_bytes;
    const void *entry = table + MCT_CRC32_PLACE(complement ^ x, 8);
    return (complement >> 8) ^ *(const uint32_t *)entry;
#else
    return (complement >> 8) ^ mct_crc32_of_bytes[(complement ^ x) & 255u];
#endif
}

#ifdef __cplusplus
}
#endif

#endif

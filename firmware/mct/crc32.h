/* SPDX-License-Identifier: Apache-2.0 */
/* CRC-32 of frames and digests: the polynomial and conventions of zlib. */
#ifndef MCT_CRC32_H
#define MCT_CRC32_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One entry per nibble: 64 bytes of flash instead of the usual 1024. */
extern const uint32_t mct_crc32_nibble[16];

/* CRC of `data` appended to the bytes whose CRC is `crc`; start with 0. */
uint32_t mct_crc32(uint32_t crc, const void *data, uint32_t nbytes);

/* One byte more into the complement of a CRC: for whoever has them one at a time. */
static inline uint32_t mct_crc32_push(uint32_t complement, uint8_t byte)
{
    complement ^= byte;
    complement = (complement >> 4) ^ mct_crc32_nibble[complement & 15u];
    return (complement >> 4) ^ mct_crc32_nibble[complement & 15u];
}

#ifdef __cplusplus
}
#endif

#endif

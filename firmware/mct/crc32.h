/* SPDX-License-Identifier: Apache-2.0 */
/* CRC-32 of frames and digests: the polynomial and conventions of zlib. */
#ifndef MCT_CRC32_H
#define MCT_CRC32_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* CRC of `data` appended to the bytes whose CRC is `crc`; start with 0. */
uint32_t mct_crc32(uint32_t crc, const void *data, uint32_t nbytes);

#ifdef __cplusplus
}
#endif

#endif

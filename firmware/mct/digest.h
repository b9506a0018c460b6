/* SPDX-License-Identifier: Apache-2.0 */
/* CRC-32 of learned tensors (SPEC 1.5). Twin of trainer/interpreter.py, state_digest. */
#ifndef MCT_DIGEST_H
#define MCT_DIGEST_H

#include <stdint.h>

#include "mct/crc32.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Over M = 256 w + frac as little-endian int16. */
uint32_t mct_digest_weights(uint32_t crc, const int8_t *w, const int8_t *frac, uint32_t size);

#ifdef __cplusplus
}
#endif

#endif

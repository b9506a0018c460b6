/* SPDX-License-Identifier: Apache-2.0 */
#include "mct/digest.h"

uint32_t mct_digest_weights(uint32_t crc, const int8_t *w, const int8_t *frac, uint32_t size)
{
    for (uint32_t k = 0; k < size; k++) {
        uint32_t m = (uint32_t)(w[k] * 256 + frac[k]);
        uint8_t bytes[2] = {(uint8_t)m, (uint8_t)(m >> 8)};
        crc = mct_crc32(crc, bytes, sizeof bytes);
    }
    return crc;
}

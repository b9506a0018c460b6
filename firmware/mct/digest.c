/* SPDX-License-Identifier: Apache-2.0 */
#include "mct/digest.h"

uint32_t mct_digest_weights(uint32_t crc, const int8_t *w, const int8_t *frac, uint32_t size)
{
    crc = ~crc;
    for (uint32_t k = 0; k < size; k++) {
        uint16_t m = (uint16_t)((uint32_t)w[k] * 256u + (uint32_t)frac[k]);
        crc = mct_crc32_shift(mct_crc32_shift(crc ^ m));
    }
    return ~crc;
}

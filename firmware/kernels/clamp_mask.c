/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/clamp_mask.h"

#include "mct/avx2.h"

void mct_clamp_mask_s8(const mct_clamp_mask_params *p, const int8_t *x, uint8_t *mask)
{
    const int32_t x_min = p->x_min;
    const int32_t x_max = p->x_max;
    int32_t size = p->size;
#ifdef __AVX2__
    for (; size >= 32; size -= 32, x += 32, mask += 4) {
        const uint32_t bits = mct_within(x, x_min, x_max);
        __builtin_memcpy(mask, &bits, sizeof bits);
    }
#endif
    for (int32_t left = size; left > 0; left -= 8, x += 8) {
        uint32_t bits = 0u;
        for (int32_t k = left < 8 ? left - 1 : 7; k >= 0; k--) {
            /* 1 where both differences are negative: inference runs this, so without a branch. */
            bits = 2u * bits + ((uint32_t)((x_min - x[k]) & (x[k] - x_max)) >> 31);
        }
        *mask++ = (uint8_t)bits;
    }
}

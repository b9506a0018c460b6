/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/clamp_mask.h"

void mct_clamp_mask_s8(const mct_clamp_mask_params *p, const int8_t *x, uint8_t *mask)
{
    /* x_min < x < x_max as one comparison; there is nothing between equal limits. */
    const int32_t least = p->x_min + 1;
    const uint32_t values = p->x_max > least ? (uint32_t)(p->x_max - least) : 0u;
    for (int32_t k = 0; k < p->size; k += 8) {
        const int32_t end = p->size - k < 8 ? p->size - k : 8;
        uint32_t bits = 0u;
        for (int32_t j = end - 1; j >= 0; j--) {
            bits = 2u * bits + ((uint32_t)(x[k + j] - least) < values);
        }
        *mask++ = (uint8_t)bits;
    }
}

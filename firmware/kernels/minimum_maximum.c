/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/minimum_maximum.h"

#include "kernels/broadcast.h"

void mct_minimum_maximum_s8(const mct_minimum_maximum_params *p, const int8_t *a, const int8_t *b,
                            const int32_t *axes, int8_t *out)
{
    const int32_t size = axes[3], a_step = axes[7], b_step = axes[11], flip = p->flip;
    mct_row row = mct_first_row();
    for (int32_t rows = mct_rows(axes); rows > 0; rows--, mct_next_row(&row, axes)) {
        for (int32_t k = 0; k < size; k++) {
            int8_t first = a[row.a + k * a_step], second = b[row.b + k * b_step];
            *out++ = (first ^ flip) >= (second ^ flip) ? first : second;
        }
    }
}

void mct_chosen_mask_s8(const mct_chosen_mask_params *p, const int8_t *a, const int8_t *b,
                        const int32_t *axes, uint8_t *mask)
{
    const int32_t size = axes[3], a_step = axes[7], b_step = axes[11], flip = p->flip;
    uint32_t bits = 0u, at = 0u;
    mct_row row = mct_first_row();
    for (int32_t rows = mct_rows(axes); rows > 0; rows--, mct_next_row(&row, axes)) {
        for (int32_t k = 0; k < size; k++) {
            int32_t is_first = (a[row.a + k * a_step] ^ flip) >= (b[row.b + k * b_step] ^ flip);
            bits |= (uint32_t)(is_first ^ p->second) << at++;
            if (at == 8u) {
                *mask++ = (uint8_t)bits;
                bits = at = 0u;
            }
        }
    }
    if (at > 0u) {
        *mask = (uint8_t)bits;
    }
}

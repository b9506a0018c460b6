/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/batch_matmul.h"

#include "kernels/broadcast.h"
#include "mct/fixedpoint.h"

static inline int32_t sum_at(const mct_batch_matmul_params *p, const int8_t *a, const int8_t *b)
{
    int32_t sum = 0;
    for (int32_t k = 0; k < p->depth; k++, a += p->a_step, b += p->b_step) {
        sum += (*a + p->a_offset) * (*b + p->b_offset);
    }
    return sum;
}

void mct_batch_matmul_s8(const mct_batch_matmul_params *p, const int8_t *a, const int8_t *b,
                         const int32_t *axes, int8_t *out)
{
    const int32_t size = axes[3], a_step = axes[7], b_step = axes[11];
    mct_row row = mct_first_row();
    for (int32_t rows = mct_rows(axes); rows > 0; rows--, mct_next_row(&row, axes)) {
        for (int32_t k = 0; k < size; k++) {
            int32_t value = sum_at(p, a + row.a + k * a_step, b + row.b + k * b_step);
            value = mct_requantize(value, p->multiplier, p->shift);
            value = mct_wrapping_add(value, p->out_offset);
            *out++ = (int8_t)mct_clamp(value, p->act_min, p->act_max);
        }
    }
}

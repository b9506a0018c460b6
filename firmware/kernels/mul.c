/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MCT_ERROR

#include "kernels/mul.h"

#include "kernels/broadcast.h"
#include "kernels/error.h"

void mct_mul_s8(const mct_mul_params *p, const int8_t *a, const int8_t *b, const int32_t *axes,
                int8_t *out)
{
    const int32_t size = axes[3], a_step = axes[7], b_step = axes[11];
    mct_row row = mct_first_row();
    for (int32_t rows = mct_rows(axes); rows > 0; rows--, mct_next_row(&row, axes)) {
        for (int32_t k = 0; k < size; k++) {
            int32_t product =
                (a[row.a + k * a_step] + p->a_offset) * (b[row.b + k * b_step] + p->b_offset);
            int32_t value = mct_requantize(product, p->multiplier, p->shift);
            value = mct_wrapping_add(value, p->out_offset);
            *out++ = (int8_t)mct_clamp(value, p->act_min, p->act_max);
        }
    }
}

#define MCT_TEMPLATE "kernels/mul.c"
#include "kernels/each_error.h"

#else

/* The raw error of the factor that was repeated along the two axes of `sums`. */
static int32_t MCT_NAME(error_at)(const mct_mul_grad_params *p, const MCT_ERROR *dout,
                                  const int8_t *b, const int32_t *sums)
{
    int32_t raw = 0;
    for (int32_t y = 0; y < sums[0]; y++) {
        for (int32_t x = 0; x < sums[1]; x++) {
            int32_t error = mct_near(dout[y * sums[2] + x * sums[3]] * p->fold, 8);
            raw += error * (b[y * sums[4] + x * sums[5]] + p->b_offset);
        }
    }
    return raw;
}

void MCT_NAME(mct_mul_grad)(const mct_mul_grad_params *p, const MCT_ERROR *dout,
                            const int16_t *dout_e, const int8_t *b, const uint8_t *mask,
                            const int32_t *axes, MCT_HISTORY, MCT_ERROR *dx, int16_t *dx_e)
{
    const int32_t size = axes[3], dout_step = axes[7], b_step = axes[11];
    int32_t at = 0; /* in dx */
    MCT_NAME(mct_error_writer) writer = MCT_BEGIN(dout_e[0] + p->scale_exponent);
    mct_row row = mct_first_row();
    for (int32_t rows = mct_rows(axes); rows > 0; rows--, mct_next_row(&row, axes)) {
        for (int32_t k = 0; k < size; k++, at++) {
            int32_t raw = 0;
            if (mct_is_open(mask, at)) {
                raw = MCT_NAME(error_at)(p, dout + row.a + k * dout_step, b + row.b + k * b_step,
                                         axes + 3 * MCT_AXES);
            }
            dx[at] = MCT_NAME(mct_error_put)(&writer, raw);
        }
    }
    MCT_NAME(mct_error_end)(&writer, history, dx_e);
}

#endif

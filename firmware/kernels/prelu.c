/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MCT_ERROR

#include "kernels/prelu.h"

#include "kernels/broadcast.h"
#include "kernels/error.h"

void mct_prelu_s8(const mct_prelu_params *p, const int8_t *x, const int16_t *alpha,
                  const int32_t *axes, int8_t *out)
{
    const int32_t size = axes[3], x_step = axes[7], alpha_step = axes[11];
    mct_row row = mct_first_row();
    for (int32_t rows = mct_rows(axes); rows > 0; rows--, mct_next_row(&row, axes)) {
        for (int32_t k = 0; k < size; k++) {
            int32_t value = x[row.a + k * x_step] + p->x_offset;
            if (value >= 0) {
                value = mct_requantize(value, p->multiplier, p->shift);
            } else {
                value = mct_requantize(value * alpha[row.b + k * alpha_step], p->below_multiplier,
                                       p->below_shift);
            }
            value = mct_wrapping_add(value, p->out_offset);
            *out++ = (int8_t)mct_clamp(value, INT8_MIN, INT8_MAX);
        }
    }
}

#define MCT_TEMPLATE "kernels/prelu.c"
#include "kernels/each_error.h"

#else

void MCT_NAME(mct_prelu_grad)(const mct_prelu_grad_params *p, const MCT_ERROR *dout,
                              const int16_t *dout_e, const int8_t *x, const uint8_t *mask,
                              const int16_t *slope, const int32_t *axes, MCT_HISTORY, MCT_ERROR *dx,
                              int16_t *dx_e)
{
    const int32_t size = axes[3], slope_step = axes[11];
    int32_t at = 0; /* in dout, x and dx, which are of one shape */
    MCT_NAME(mct_error_writer) writer = MCT_BEGIN(dout_e[0] + p->exponent_step);
    mct_row row = mct_first_row();
    for (int32_t rows = mct_rows(axes); rows > 0; rows--, mct_next_row(&row, axes)) {
        for (int32_t k = 0; k < size; k++, at++) {
            int32_t raw = 0;
            if (mct_is_open(mask, at)) {
                bool is_above = x[at] + p->x_offset >= 0;
                raw = dout[at] * (is_above ? p->above : slope[row.b + k * slope_step]);
            }
            dx[at] = MCT_NAME(mct_error_put)(&writer, raw);
        }
    }
    MCT_NAME(mct_error_end)(&writer, history, dx_e);
}

#endif

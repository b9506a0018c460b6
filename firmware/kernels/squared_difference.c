/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MCT_ERROR

#include "kernels/squared_difference.h"

#include "kernels/broadcast.h"
#include "kernels/error.h"

/* An operand in the unit of the difference: of |value| <= 255 at most 16320. */
static inline int32_t term(int32_t value, int32_t multiplier, int32_t shift)
{
    return mct_requantize(value * (INT32_C(1) << 7), multiplier, shift);
}

void mct_squared_difference_s8(const mct_squared_difference_params *p, const int8_t *a,
                               const int8_t *b, const int32_t *axes, int8_t *out)
{
    const int32_t size = axes[3], a_step = axes[7], b_step = axes[11];
    mct_row row = mct_first_row();
    for (int32_t rows = mct_rows(axes); rows > 0; rows--, mct_next_row(&row, axes)) {
        for (int32_t k = 0; k < size; k++) {
            int32_t d = term(a[row.a + k * a_step] + p->a_offset, p->a_multiplier, p->a_shift) -
                        term(b[row.b + k * b_step] + p->b_offset, p->b_multiplier, p->b_shift);
            int32_t value = mct_requantize(d * d, p->out_multiplier, p->out_shift);
            value = mct_wrapping_add(value, p->out_offset);
            *out++ = (int8_t)mct_clamp(value, INT8_MIN, INT8_MAX);
        }
    }
}

#define MCT_TEMPLATE "kernels/squared_difference.c"
#include "kernels/each_error.h"

#else

/* The raw error of an operand, whose term is `own`, that was repeated along the two axes of
 * `sums`. */
static int32_t MCT_NAME(error_at)(const mct_squared_difference_grad_params *p,
                                  const MCT_ERROR *dout, int32_t own, const int8_t *other,
                                  const int32_t *sums)
{
    int32_t raw = 0;
    for (int32_t y = 0; y < sums[0]; y++) {
        for (int32_t x = 0; x < sums[1]; x++) {
            int32_t error = mct_near(dout[y * sums[2] + x * sums[3]] * p->fold, 8);
            int32_t value = other[y * sums[4] + x * sums[5]] + p->other_offset;
            int32_t d = own - term(value, p->other_multiplier, p->other_shift);
            raw += error * mct_near(d, p->shift);
        }
    }
    return raw;
}

void MCT_NAME(mct_squared_difference_grad)(const mct_squared_difference_grad_params *p,
                                           const MCT_ERROR *dout, const int16_t *dout_e,
                                           const int8_t *x, const int8_t *other,
                                           const uint8_t *mask, const int32_t *axes, MCT_HISTORY,
                                           MCT_ERROR *dx, int16_t *dx_e)
{
    const int32_t size = axes[3], dout_step = axes[7], other_step = axes[11];
    int32_t at = 0; /* in x and dx */
    MCT_NAME(mct_error_writer) writer = MCT_BEGIN(dout_e[0] + p->scale_exponent);
    mct_row row = mct_first_row();
    for (int32_t rows = mct_rows(axes); rows > 0; rows--, mct_next_row(&row, axes)) {
        for (int32_t k = 0; k < size; k++, at++) {
            int32_t raw = 0;
            if (mct_is_open(mask, at)) {
                int32_t own = term(x[at] + p->x_offset, p->x_multiplier, p->x_shift);
                raw = MCT_NAME(error_at)(p, dout + row.a + k * dout_step, own,
                                         other + row.b + k * other_step, axes + 3 * MCT_AXES);
            }
            dx[at] = MCT_NAME(mct_error_put)(&writer, raw);
        }
    }
    MCT_NAME(mct_error_end)(&writer, history, dx_e);
}

#endif

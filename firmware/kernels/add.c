/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MCT_ERROR

#include "kernels/add.h"

#include "kernels/broadcast.h"
#include "kernels/error.h"

/* An operand in the unit of the sum: |value| <= 255, so that it fits 28 bits. */
static inline int32_t term(int32_t value, int32_t multiplier, int32_t shift)
{
    return mct_requantize(value * (INT32_C(1) << 20), multiplier, shift);
}

static inline int8_t output_of(const mct_add_params *p, int32_t sum)
{
    sum = mct_requantize(sum, p->out_multiplier, p->out_shift);
    return (int8_t)mct_clamp(mct_wrapping_add(sum, p->out_offset), p->act_min, p->act_max);
}

static inline int8_t sum_of(const mct_add_params *p, int32_t a, int32_t b)
{
    return output_of(p, term(a + p->a_offset, p->a_multiplier, p->a_shift) +
                            term(b + p->b_offset, p->b_multiplier, p->b_shift));
}

static inline int8_t difference_of(const mct_add_params *p, int32_t a, int32_t b)
{
    return output_of(p, term(a + p->a_offset, p->a_multiplier, p->a_shift) -
                            term(b + p->b_offset, p->b_multiplier, p->b_shift));
}

void mct_add_s8(const mct_add_params *p, const int8_t *a, const int8_t *b, int8_t *out)
{
    const mct_add_params own = *p; /* a byte that is stored could be any of what p leads to */
    for (int32_t k = 0; k < own.size; k++) {
        out[k] = sum_of(&own, a[k], b[k]);
    }
}

void mct_add_broadcast_s8(const mct_add_params *p, const int8_t *a, const int8_t *b,
                          const int32_t *axes, int8_t *out)
{
    const int32_t size = axes[3], a_step = axes[7], b_step = axes[11];
    mct_row row = mct_first_row();
    for (int32_t rows = mct_rows(axes); rows > 0; rows--, mct_next_row(&row, axes)) {
        for (int32_t k = 0; k < size; k++) {
            *out++ = sum_of(p, a[row.a + k * a_step], b[row.b + k * b_step]);
        }
    }
}

void mct_sub_s8(const mct_add_params *p, const int8_t *a, const int8_t *b, const int32_t *axes,
                int8_t *out)
{
    const int32_t size = axes[3], a_step = axes[7], b_step = axes[11];
    mct_row row = mct_first_row();
    for (int32_t rows = mct_rows(axes); rows > 0; rows--, mct_next_row(&row, axes)) {
        for (int32_t k = 0; k < size; k++) {
            *out++ = difference_of(p, a[row.a + k * a_step], b[row.b + k * b_step]);
        }
    }
}

#define MCT_TEMPLATE "kernels/add.c"
#include "kernels/each_error.h"

#else

/* The raw error of the term that was repeated along the two axes of `sums`. */
static int32_t MCT_NAME(error_at)(const MCT_ERROR *dout, const int32_t *sums)
{
    int32_t raw = 0;
    for (int32_t y = 0; y < sums[0]; y++) {
        for (int32_t x = 0; x < sums[1]; x++) {
            raw += dout[y * sums[2] + x * sums[3]];
        }
    }
    return raw;
}

void MCT_NAME(mct_add_grad)(const MCT_ERROR *dout, const int16_t *dout_e, const uint8_t *mask,
                            const int32_t *axes, MCT_HISTORY, MCT_ERROR *dx, int16_t *dx_e)
{
    const int32_t size = axes[3], dout_step = axes[7];
    MCT_NAME(mct_error_writer) writer = MCT_BEGIN(dout_e[0]);
    mct_row row = mct_first_row();
    int32_t at = 0; /* in dx */
    for (int32_t rows = mct_rows(axes); rows > 0; rows--, mct_next_row(&row, axes)) {
        for (int32_t k = 0; k < size; k++, at++) {
            int32_t raw = 0;
            if (mct_is_open(mask, at)) {
                raw = MCT_NAME(error_at)(dout + row.a + k * dout_step, axes + 3 * MCT_AXES);
            }
            dx[at] = MCT_NAME(mct_error_put)(&writer, raw);
        }
    }
    MCT_NAME(mct_error_end)(&writer, history, dx_e);
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/depthwise_conv2d_wide.h"

#include "kernels/weighted.h"
#include "kernels/window.h"

/* The part of a window that lies inside the input. */
typedef struct {
    mct_columns rows, columns;
    int32_t first;         /* the place of tap 0 in x, which may lie before it */
    int32_t x_row, x_step; /* values from row to row, from tap to tap */
    int32_t w_row, w_step;
    int32_t x_offset;
} wide_window;

/* The sum of output o, which reads channel k of x. */
static int32_t wide_sum(const wide_window *at, const int8_t *x, const int8_t *w, const int8_t *rest,
                        int32_t k, int32_t o)
{
    int32_t sum = 0;
    for (int32_t ky = at->rows.first; ky < at->rows.last; ky++) {
        for (int32_t kx = at->columns.first; kx < at->columns.last; kx++) {
            const int32_t tap = ky * at->w_row + kx * at->w_step + o;
            const int32_t value = x[at->first + ky * at->x_row + kx * at->x_step + k];
            sum += (value + at->x_offset) * (w[tap] + rest[tap]);
        }
    }
    return sum;
}

void mct_depthwise_conv2d_wide_s8(const mct_depthwise_conv2d_params *p, const int8_t *x,
                                  const int8_t *w, const int8_t *rest, const int32_t *b,
                                  const int32_t *multiplier, const int8_t *shift, int8_t *out)
{
    const mct_outputs outputs = {b, multiplier, shift, p->out_offset, p->act_min, p->act_max};
    const int32_t per_input = p->out_ch / p->in_ch;
    for (int32_t position = 0; position < p->out_h * p->out_w; position++, out += p->out_ch) {
        const int32_t top = position / p->out_w * p->stride_h - p->pad_top;
        const int32_t left = position % p->out_w * p->stride_w - p->pad_left;
        const wide_window at = {
            .first = (top * p->in_w + left) * p->in_ch,
            .rows = mct_window_columns(top, p->kernel_h, p->in_h),
            .columns = mct_window_columns(left, p->kernel_w, p->in_w),
            .x_row = p->in_w * p->in_ch,
            .x_step = p->in_ch,
            .w_row = p->kernel_w * p->out_ch,
            .w_step = p->out_ch,
            .x_offset = p->x_offset,
        };
        for (int32_t o = 0; o < p->out_ch; o++) {
            const int32_t sum = wide_sum(&at, x, w, rest, o / per_input, o);
            mct_put_outputs(&outputs, o, 1, &sum, out + o);
        }
    }
}

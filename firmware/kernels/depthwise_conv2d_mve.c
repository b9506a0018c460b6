/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/depthwise_conv2d_mve.h"

#include <stdbool.h>
#include <stddef.h>

#include "kernels/window.h"
#include "mct/mve_eight.h"

/* The taps of a window that lie inside its input; `step` from one to the next. */
typedef struct {
    const int8_t *x[MCT_MAX_KERNEL_H]; /* where each row begins, and its weights */
    const int8_t *w[MCT_MAX_KERNEL_H];
    int32_t rows, taps, step, x_offset;
} window;

static MCT_INLINED mct_eight_sums bias_of(const int32_t *b, int32_t c)
{
    return b != NULL ? mct_load_eight_sums(b + c) : mct_eight_zeros();
}

/* Channels c to c + 7, and the eight behind them if it `is_wide`. */
static MCT_INLINED void put_channels(const window *at, const int32_t *b,
                                     const mct_output_scales *by, int32_t c, bool is_wide,
                                     int8_t *out)
{
    mct_eight_sums sums = bias_of(b, c);
    mct_eight_sums next = is_wide ? bias_of(b, c + 8) : mct_eight_zeros();
    const int32_t step = at->step, x_offset = at->x_offset;
    for (int32_t row = 0; row < at->rows; row++) {
        const int8_t *x = at->x[row] + c;
        const int8_t *w = at->w[row] + c;
        if (is_wide) {
            mct_add_taps(x, w, step, at->taps, x_offset, &sums, &next);
            continue;
        }
        for (int32_t k = at->taps; k > 0; k--, x += step, w += step) {
            sums = mct_add_products(sums, mct_load_eight(x, x_offset), mct_load_eight_weights(w));
        }
    }
    mct_put_eight(sums, by, c, out);
    if (is_wide) {
        mct_put_eight(next, by, c + 8, out + 8);
    }
}

static int8_t output_of(const window *at, const int32_t *b, const mct_output_scales *by, int32_t c)
{
    int32_t sum = 0;
    for (int32_t row = 0; row < at->rows; row++) {
        const int8_t *x = at->x[row] + c;
        const int8_t *w = at->w[row] + c;
        for (int32_t k = at->taps; k > 0; k--, x += at->step, w += at->step) {
            sum += (*x + at->x_offset) * *w;
        }
    }
    int32_t acc = mct_wrapping_add(sum, b != NULL ? b[c] : 0);
    acc = mct_requantize(acc, by->multiplier[c], by->shift[c]);
    return (int8_t)mct_clamp(mct_wrapping_add(acc, by->offset), by->min, by->max);
}

/* The window at column x_in. */
static void find_taps(const mct_depthwise_conv2d_params *p, const int8_t *const rows[],
                      const int8_t *w, int32_t x_in, window *at)
{
    const mct_columns columns = mct_window_columns(x_in, p->kernel_w, p->in_w);
    at->taps = columns.last - columns.first;
    at->rows = 0;
    w += columns.first * p->in_ch;
    for (int32_t ky = 0; ky < p->kernel_h; ky++, w += p->kernel_w * p->in_ch) {
        if (rows[ky] != NULL) {
            at->x[at->rows] = rows[ky] + (x_in + columns.first) * p->in_ch;
            at->w[at->rows++] = w;
        }
    }
}

void mct_depthwise_conv2d_mve_s8_row(const mct_depthwise_conv2d_params *p,
                                     const int8_t *const rows[], const int8_t *w, const int32_t *b,
                                     const int32_t *multiplier, const int8_t *shift,
                                     int8_t *out_row)
{
    const mct_output_scales by = {multiplier, shift, p->out_offset, p->act_min, p->act_max};
    window at;
    at.step = p->in_ch;
    at.x_offset = p->x_offset;
    int32_t x_in = -p->pad_left;
    for (int32_t x = 0; x < p->out_w; x++, x_in += p->stride_w, out_row += p->in_ch) {
        find_taps(p, rows, w, x_in, &at);
        int32_t c = 0;
        for (; c + 16 <= p->in_ch; c += 16) {
            put_channels(&at, b, &by, c, true, out_row + c);
        }
        for (; c + 8 <= p->in_ch; c += 8) {
            put_channels(&at, b, &by, c, false, out_row + c);
        }
        for (; c < p->in_ch; c++) {
            out_row[c] = output_of(&at, b, &by, c);
        }
    }
}

void mct_depthwise_conv2d_mve_s8(const mct_depthwise_conv2d_params *p, const int8_t *x,
                                 const int8_t *w, const int32_t *b, const int32_t *multiplier,
                                 const int8_t *shift, int8_t *out)
{
    const int8_t *rows[MCT_MAX_KERNEL_H];
    for (int32_t y = 0; y < p->out_h; y++, out += p->out_w * p->out_ch) {
        mct_window_rows(x, p->in_w * p->in_ch, p->in_h, y * p->stride_h - p->pad_top, p->kernel_h,
                        rows);
        mct_depthwise_conv2d_mve_s8_row(p, rows, w, b, multiplier, shift, out);
    }
}

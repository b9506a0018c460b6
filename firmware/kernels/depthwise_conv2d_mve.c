/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/depthwise_conv2d_mve.h"

#include <stdbool.h>
#include <stddef.h>

#include "kernels/window.h"
#include "mct/model.h"
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

/* Channels c to c + 7. */
static MCT_INLINED mct_eight_sums sums_of(const window *at, const int32_t *b, int32_t c)
{
    mct_eight_sums sums = bias_of(b, c);
    for (int32_t row = 0; row < at->rows; row++) {
        const int8_t *x = at->x[row] + c;
        const int8_t *w = at->w[row] + c;
        for (int32_t k = at->taps; k > 0; k--, x += at->step, w += at->step) {
            mct_eight centred = mct_load_eight(x, at->x_offset);
            sums = mct_add_products(sums, centred, mct_load_eight_weights(w));
        }
    }
    return sums;
}

/* Channels 0 to `end` - 1, sixteen at a time. */
static MCT_NOINLINE void put_sixteens(const window *at, const int32_t *b,
                                      const mct_output_scales *scales, int32_t end, int8_t *out)
{
    const mct_output_scales by = *scales;
    const int32_t step = at->step, taps = at->taps, rows = at->rows, x_offset = at->x_offset;
    for (int32_t c = 0; c < end; c += 16) {
        mct_eight_sums first = bias_of(b, c);
        mct_eight_sums second = bias_of(b, c + 8);
        for (int32_t row = 0; row < rows; row++) {
            mct_add_taps(at->x[row] + c, at->w[row] + c, step, taps, x_offset, &first, &second);
        }
        mct_put_eight(first, &by, c, out + c);
        mct_put_eight(second, &by, c + 8, out + c + 8);
    }
}

/* The last nine to fifteen channels from c on. Some have their turn twice, and all before the first
 * output is written, which may lie over an input. */
static MCT_NOINLINE void put_last(const window *at, const int32_t *b, const mct_output_scales *by,
                                  int32_t c, int32_t last, int8_t *out)
{
    mct_eight_sums first = sums_of(at, b, c);
    mct_eight_sums second = sums_of(at, b, last);
    mct_put_eight(first, by, c, out + c);
    mct_put_eight(second, by, last, out + last);
}

static MCT_NOINLINE void put_one_eight(const window *at, const int32_t *b,
                                       const mct_output_scales *by, int32_t c, int8_t *out)
{
    mct_put_eight(sums_of(at, b, c), by, c, out + c);
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
        /* What is left then is none, or eight to 23; or fewer if there are no more. */
        int32_t c = p->in_ch % 16 == 0 || p->in_ch < 16 ? p->in_ch & ~15 : (p->in_ch - 8) & ~15;
        int32_t left = p->in_ch - c;
        put_sixteens(&at, b, &by, c, out_row);
        if (left == 8 || left > 16) {
            put_one_eight(&at, b, &by, c, out_row);
            left -= 8;
            c += 8;
        }
        if (left > 8) {
            put_last(&at, b, &by, c, p->in_ch - 8, out_row);
            continue;
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

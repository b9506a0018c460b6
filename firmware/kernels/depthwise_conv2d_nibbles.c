/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/depthwise_conv2d_nibbles.h"

#include <stddef.h>

#include "kernels/weighted.h"
#include "kernels/window.h"
#include "mct/model.h"
#include "mct/nibbles.h"

/* The part of a window that lies inside the input, and the weights for it: rows of taps. */
typedef struct {
    const int8_t *const *rows;
    int32_t runs;     /* rows, or 0 if no column is inside */
    int32_t at, taps; /* of the first in its row, and how many */
    int32_t x_step;   /* from tap to tap: channels of a position */
    int x_offset;
    const uint8_t *w;
    int32_t w_step, w_row; /* bytes from tap to tap, from row to row */
} window;

static void set_window(window *to, const mct_depthwise_conv2d_params *p, const int8_t *const rows[],
                       const uint8_t *w, int32_t x_in)
{
    const mct_columns columns = mct_window_columns(x_in, p->kernel_w, p->in_w);
    to->rows = rows;
    to->taps = columns.last - columns.first;
    to->runs = to->taps > 0 ? p->kernel_h : 0;
    to->at = (x_in + columns.first) * p->in_ch;
    to->x_step = p->in_ch;
    to->x_offset = (int)p->x_offset;
    to->w_step = (p->out_ch + 1) / 2;
    to->w = w + columns.first * to->w_step;
    to->w_row = p->kernel_w * to->w_step;
}

/* sums[0..3] of the channels of two bytes, which read the inputs at x0 to x3 of each tap. */
static MCT_NOINLINE void sum_four(const window *from, const int32_t *inputs, int32_t byte,
                                  int32_t *sums)
{
    const int32_t in0 = inputs[0], in1 = inputs[1], in2 = inputs[2], in3 = inputs[3];
    const int x_offset = from->x_offset;
    int32_t sum0 = 0, sum1 = 0, sum2 = 0, sum3 = 0;
    for (int32_t run = 0; run < from->runs; run++) {
        const int8_t *x = from->rows[run];
        if (x == NULL) {
            continue;
        }
        x += from->at;
        const uint8_t *w = from->w + run * from->w_row + byte;
        for (int32_t tap = 0; tap < from->taps; tap++, x += from->x_step, w += from->w_step) {
            sum0 += (x[in0] + x_offset) * mct_low_nibble(w[0]);
            sum1 += (x[in1] + x_offset) * mct_high_nibble(w[0]);
            sum2 += (x[in2] + x_offset) * mct_low_nibble(w[1]);
            sum3 += (x[in3] + x_offset) * mct_high_nibble(w[1]);
        }
    }
    sums[0] = sum0;
    sums[1] = sum1;
    sums[2] = sum2;
    sums[3] = sum3;
}

/* The same of one channel, in the low nibble of a byte or in the high one. */
static int32_t sum_one(const window *from, int32_t input, int32_t o)
{
    int32_t sum = 0;
    for (int32_t run = 0; run < from->runs; run++) {
        const int8_t *x = from->rows[run];
        if (x == NULL) {
            continue;
        }
        x += from->at + input;
        const uint8_t *w = from->w + run * from->w_row + o / 2;
        for (int32_t tap = 0; tap < from->taps; tap++, x += from->x_step, w += from->w_step) {
            sum += (*x + from->x_offset) * (o % 2 != 0 ? mct_high_nibble(*w) : mct_low_nibble(*w));
        }
    }
    return sum;
}

void mct_depthwise_conv2d_nibbles_s8_row(const mct_depthwise_conv2d_params *p,
                                         const int8_t *const rows[], const uint8_t *w,
                                         const int32_t *b, const int32_t *multiplier,
                                         const int8_t *shift, int8_t *out_row)
{
    const mct_outputs outputs = {b, multiplier, shift, p->out_offset, p->act_min, p->act_max};
    const int32_t each = p->out_ch / p->in_ch;
    for (int32_t x = 0; x < p->out_w; x++, out_row += p->out_ch) {
        window at;
        set_window(&at, p, rows, w, x * p->stride_w - p->pad_left);
        int32_t input = 0, of_input = 0; /* the channel that is read, and outputs it has made */
        for (int32_t o = 0; o < p->out_ch; o += MCT_BATCH) {
            const int32_t channels = p->out_ch - o < MCT_BATCH ? p->out_ch - o : MCT_BATCH;
            int32_t sums[MCT_BATCH];
            for (int32_t c = 0; c < channels;) {
                const int32_t count = channels - c < 4 ? 1 : 4;
                int32_t inputs[4];
                for (int32_t k = 0; k < count; k++) {
                    inputs[k] = input;
                    if (++of_input == each) {
                        of_input = 0;
                        input++;
                    }
                }
                if (count == 4) {
                    sum_four(&at, inputs, (o + c) / 2, sums + c);
                } else {
                    sums[c] = sum_one(&at, inputs[0], o + c);
                }
                c += count;
            }
            mct_put_outputs(&outputs, o, channels, sums, out_row + o);
        }
    }
}

void mct_depthwise_conv2d_nibbles_s8(const mct_depthwise_conv2d_params *p, const int8_t *x,
                                     const uint8_t *w, const int32_t *b, const int32_t *multiplier,
                                     const int8_t *shift, int8_t *out)
{
    const int8_t *rows[MCT_MAX_KERNEL_H];
    for (int32_t y = 0; y < p->out_h; y++, out += p->out_w * p->out_ch) {
        mct_window_rows(x, p->in_w * p->in_ch, p->in_h, y * p->stride_h - p->pad_top, p->kernel_h,
                        rows);
        mct_depthwise_conv2d_nibbles_s8_row(p, rows, w, b, multiplier, shift, out);
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/conv2d_nibbles.h"

#include <stddef.h>

#include "kernels/weighted.h"
#include "kernels/window.h"
#include "mct/model.h"
#include "mct/nibbles.h"

/* The part of a window that lies inside the input: runs of values; and the weights for it. */
typedef struct {
    const int8_t *const *rows;
    int32_t runs;     /* rows, or 0 if no column is inside */
    int32_t at, size; /* of a run in its row */
    int x_offset;
    const uint8_t *w;
    int32_t w_row, pair; /* bytes from row to row, from pair of filters to pair */
} window;

static void set_window(window *to, const mct_conv2d_params *p, const int8_t *const rows[],
                       const uint8_t *w, int32_t x_in)
{
    const mct_columns columns = mct_window_columns(x_in, p->kernel_w, p->in_w);
    to->rows = rows;
    to->runs = columns.last > columns.first ? p->kernel_h : 0;
    to->at = (x_in + columns.first) * p->in_ch;
    to->size = (columns.last - columns.first) * p->in_ch;
    to->x_offset = (int)p->x_offset;
    to->w = w + columns.first * p->in_ch;
    to->w_row = p->kernel_w * p->in_ch;
    to->pair = p->kernel_h * to->w_row;
}

/* sums[f] of the window and the filters of two pairs. A function of its own, so that its loop has
 * all registers. */
static MCT_NOINLINE void sum_two_pairs(const window *from, int32_t first, int32_t *sums)
{
    const uint8_t *row = from->w + first * from->pair;
    const int x_offset = from->x_offset;
    int32_t sum0 = 0, sum1 = 0, sum2 = 0, sum3 = 0;
    for (int32_t run = 0; run < from->runs; run++, row += from->w_row) {
        const int8_t *x = from->rows[run];
        if (x == NULL) {
            continue;
        }
        x += from->at;
        const uint8_t *w0 = row;
        const uint8_t *w1 = row + from->pair;
        for (const int8_t *end = x + from->size; x != end;) {
            const int value = *x++ + x_offset;
            const uint8_t both0 = *w0++;
            const uint8_t both1 = *w1++;
            sum0 += value * mct_low_nibble(both0);
            sum1 += value * mct_high_nibble(both0);
            sum2 += value * mct_low_nibble(both1);
            sum3 += value * mct_high_nibble(both1);
        }
    }
    sums[0] = sum0;
    sums[1] = sum1;
    sums[2] = sum2;
    sums[3] = sum3;
}

/* Of a pair that is left over; its second filter may be none. */
static MCT_NOINLINE void sum_pair(const window *from, int32_t first, int32_t *sums)
{
    const uint8_t *row = from->w + first * from->pair;
    const int x_offset = from->x_offset;
    int32_t sum0 = 0, sum1 = 0;
    for (int32_t run = 0; run < from->runs; run++, row += from->w_row) {
        const int8_t *x = from->rows[run];
        if (x == NULL) {
            continue;
        }
        x += from->at;
        const uint8_t *w = row;
        for (const int8_t *end = x + from->size; x != end;) {
            const int value = *x++ + x_offset;
            const uint8_t both = *w++;
            sum0 += value * mct_low_nibble(both);
            sum1 += value * mct_high_nibble(both);
        }
    }
    sums[0] = sum0;
    sums[1] = sum1;
}

void mct_conv2d_nibbles_s8_row(const mct_conv2d_params *p, const int8_t *const rows[],
                               const uint8_t *w, const int32_t *b, const int32_t *multiplier,
                               const int8_t *shift, int8_t *out_row)
{
    const mct_outputs outputs = {b, multiplier, shift, p->out_offset, p->act_min, p->act_max};
    for (int32_t x = 0; x < p->out_w; x++, out_row += p->out_ch) {
        window at;
        set_window(&at, p, rows, w, x * p->stride_w - p->pad_left);
        for (int32_t o = 0; o < p->out_ch; o += MCT_BATCH) {
            const int32_t filters = p->out_ch - o < MCT_BATCH ? p->out_ch - o : MCT_BATCH;
            int32_t sums[MCT_BATCH];
            int32_t f = 0;
            for (; f <= filters - 3; f += 4) { /* the last filter of four may be none */
                sum_two_pairs(&at, (o + f) / 2, sums + f);
            }
            if (f < filters) {
                sum_pair(&at, (o + f) / 2, sums + f);
            }
            mct_put_outputs(&outputs, o, filters, sums, out_row + o);
        }
    }
}

void mct_conv2d_nibbles_s8(const mct_conv2d_params *p, const int8_t *x, const uint8_t *w,
                           const int32_t *b, const int32_t *multiplier, const int8_t *shift,
                           int8_t *out)
{
    const int8_t *rows[MCT_MAX_KERNEL_H];
    for (int32_t y = 0; y < p->out_h; y++, out += p->out_w * p->out_ch) {
        mct_window_rows(x, p->in_w * p->in_ch, p->in_h, y * p->stride_h - p->pad_top, p->kernel_h,
                        rows);
        mct_conv2d_nibbles_s8_row(p, rows, w, b, multiplier, shift, out);
    }
}

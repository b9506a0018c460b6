/* SPDX-License-Identifier: Apache-2.0 */
/* Part of kernels/conv2d.c: its rows on processors with vectors and a large stack: the window is
 * copied, centred, zero where it reaches over an edge, and lies as a filter does. So the compiler
 * has long runs of int16, which it multiplies and adds in pairs. */
#ifndef MCT_KERNELS_CONV2D_VECTORS_H
#define MCT_KERNELS_CONV2D_VECTORS_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "kernels/conv2d.h"
#include "kernels/weighted.h"
#include "kernels/window.h"

enum {
    FILTERS = 4,  /* that meet a value at once */
    COPIED = 2048 /* values of a window that are copied at a time */
};

/* A window, and filters for it: of all channels, or of those that learn. */
typedef struct {
    const int8_t *const *rows;
    const int8_t *w;
    int32_t at;            /* of its first column in a row; before the row if that is padding */
    int32_t begin, end;    /* its values in a row that lie inside the input */
    int32_t w_row, filter; /* its values in a row, and in all rows */
    int16_t x_offset;
} window;

static window window_at(const mct_conv2d_params *p, const int8_t *const rows[], const int8_t *w,
                        int32_t in_ch, int32_t x_in)
{
    const mct_columns columns = mct_window_columns(x_in, p->kernel_w, p->in_w);
    window found = {
        .rows = rows,
        .w = w,
        .at = x_in * in_ch,
        .begin = columns.first * in_ch,
        .end = columns.last * in_ch,
        .w_row = p->kernel_w * in_ch,
        .filter = p->kernel_h * p->kernel_w * in_ch,
        .x_offset = (int16_t)p->x_offset,
    };
    return found;
}

/* Values first..first+size-1 of the window, centred. */
static void copy_window(const window *from, int32_t first, int32_t size, int16_t *to)
{
    const int8_t *const *row = from->rows + first / from->w_row;
    int32_t column = first % from->w_row;
    for (; size > 0; row++, column = 0) {
        const int32_t count = size < from->w_row - column ? size : from->w_row - column;
        const int32_t begin = mct_clamp(from->begin - column, 0, count);
        const int32_t end = *row == NULL ? begin : mct_clamp(from->end - column, begin, count);
        memset(to, 0, (size_t)begin * sizeof *to);
        if (begin < end) {
            const int8_t *x = *row + (from->at + column);
            for (int32_t k = begin; k < end; k++) {
                to[k] = (int16_t)(x[k] + from->x_offset);
            }
        }
        memset(to + end, 0, (size_t)(count - end) * sizeof *to);
        to += count;
        size -= count;
    }
}

/* sums[f] += x * FILTERS filters, `filter` weights apart. */
static void add_filters(const int16_t *x, const int8_t *w, int32_t filter, int32_t size,
                        int32_t *sums)
{
    const int8_t *w1 = w + filter;
    const int8_t *w2 = w1 + filter;
    const int8_t *w3 = w2 + filter;
    int32_t sum0 = 0;
    int32_t sum1 = 0;
    int32_t sum2 = 0;
    int32_t sum3 = 0;
    for (int32_t k = 0; k < size; k++) {
        sum0 += x[k] * (int16_t)w[k];
        sum1 += x[k] * (int16_t)w1[k];
        sum2 += x[k] * (int16_t)w2[k];
        sum3 += x[k] * (int16_t)w3[k];
    }
    sums[0] += sum0;
    sums[1] += sum1;
    sums[2] += sum2;
    sums[3] += sum3;
}

/* The same of `filters` filters, each alone where fewer than FILTERS are left. */
static void add_products(const int16_t *x, const int8_t *w, int32_t filter, int32_t size,
                         int32_t filters, int32_t *sums)
{
    for (; filters >= FILTERS; filters -= FILTERS, w += FILTERS * filter, sums += FILTERS) {
        add_filters(x, w, filter, size, sums);
    }
    for (; filters > 0; filters--, w += filter, sums++) {
        int32_t sum = 0;
        for (int32_t k = 0; k < size; k++) {
            sum += x[k] * (int16_t)w[k];
        }
        *sums += sum;
    }
}

void mct_conv2d_s8_row(const mct_conv2d_params *p, const int8_t *const rows[], const int8_t *w,
                       const int32_t *b, const int8_t *const rows_l[], const int8_t *w_l,
                       const int32_t *multiplier, const int8_t *shift, int8_t *out_row)
{
    const mct_outputs outputs = {b, multiplier, shift, p->out_offset, p->act_min, p->act_max};
    const int32_t count = p->learned_ch != 0 ? 2 : 1;
    int16_t copied[COPIED];
    for (int32_t x = 0; x < p->out_w; x++, out_row += p->out_ch) {
        const int32_t x_in = x * p->stride_w - p->pad_left;
        const window parts[2] = {
            window_at(p, rows, w, p->in_ch, x_in),
            window_at(p, rows_l, w_l, p->learned_ch, x_in),
        };
        const bool is_kept = count == 1 && parts[0].filter <= COPIED;
        for (int32_t o = 0; o < p->out_ch; o += MCT_BATCH) {
            const int32_t filters = p->out_ch - o < MCT_BATCH ? p->out_ch - o : MCT_BATCH;
            int32_t sums[MCT_BATCH] = {0};
            for (const window *part = parts; part != parts + count; part++) {
                const int8_t *w_o = part->w + o * part->filter;
                for (int32_t first = 0; first < part->filter; first += COPIED) {
                    const int32_t left = part->filter - first;
                    const int32_t size = left < COPIED ? left : COPIED;
                    if (o == 0 || !is_kept) {
                        copy_window(part, first, size, copied);
                    }
                    add_products(copied, w_o + first, part->filter, size, filters, sums);
                }
            }
            mct_put_outputs(&outputs, o, filters, sums, out_row + o);
        }
    }
}

#endif

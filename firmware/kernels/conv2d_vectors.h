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
#include "kernels/dots_vectors.h"
#include "kernels/weighted.h"
#include "kernels/window.h"

enum { COPIED = 2048 /* values of a window that are copied at a time */ };

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

static inline void centre(const int8_t *restrict x, int16_t x_offset, int32_t size,
                          int16_t *restrict to)
{
    for (int32_t k = 0; k < size; k++) {
        to[k] = (int16_t)(x[k] + x_offset);
    }
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
        if (end - begin != count) {
            memset(to, 0, (size_t)count * sizeof *to);
        }
        if (begin < end) {
            centre(*row + (from->at + column + begin), from->x_offset, end - begin, to + begin);
        }
        to += count;
        size -= count;
    }
}

/* sums[at][f] += windows * `filters` filters, each alone where fewer than MCT_DOTS are left. */
static void add_products(int16_t (*x)[COPIED + MCT_RUN], const int8_t *w, int32_t filter,
                         int32_t size, int32_t filters, int32_t (*sums)[MCT_BATCH])
{
    int32_t f = 0;
    for (; f <= filters - MCT_DOTS; f += MCT_DOTS, w += MCT_DOTS * filter) {
        mct_add_dots(x[0], x[1], w, filter, size, sums[0] + f, sums[1] + f);
    }
    for (; f < filters; f++, w += filter) {
        sums[0][f] += mct_dot(x[0], w, size);
        sums[1][f] += mct_dot(x[1], w, size);
    }
}

void mct_conv2d_s8_row(const mct_conv2d_params *p, const int8_t *const rows[], const int8_t *w,
                       const int32_t *b, const int8_t *const rows_l[], const int8_t *w_l,
                       const int32_t *multiplier, const int8_t *shift, int8_t *out_row)
{
    const mct_outputs outputs = {b, multiplier, shift, p->out_offset, p->act_min, p->act_max};
    const int32_t count = p->learned_ch != 0 ? 2 : 1;
    int16_t copied[2][COPIED + MCT_RUN];
    for (int32_t x = 0; x < p->out_w; x += 2) {
        const int32_t positions = p->out_w - x < 2 ? 1 : 2;
        window parts[2][2]; /* of all channels and of those that learn, at both positions */
        for (int32_t at = 0; at < 2; at++) { /* the last one twice where their number is odd */
            const int32_t x_in = (x + at % positions) * p->stride_w - p->pad_left;
            parts[0][at] = window_at(p, rows, w, p->in_ch, x_in);
            parts[1][at] = window_at(p, rows_l, w_l, p->learned_ch, x_in);
        }
        const bool is_kept = count == 1 && parts[0][0].filter <= COPIED;
        for (int32_t o = 0; o < p->out_ch; o += MCT_BATCH) {
            const int32_t filters = p->out_ch - o < MCT_BATCH ? p->out_ch - o : MCT_BATCH;
            int32_t sums[2][MCT_BATCH] = {{0}};
            for (int32_t part = 0; part < count; part++) {
                const window *const both = parts[part];
                const int8_t *w_o = both->w + o * both->filter;
                for (int32_t first = 0; first < both->filter; first += COPIED) {
                    const int32_t left = both->filter - first;
                    const int32_t size = left < COPIED ? left : COPIED;
                    if (o == 0 || !is_kept) {
                        for (int32_t at = 0; at < 2; at++) {
                            copy_window(&both[at], first, size, copied[at]);
                            mct_end_run(copied[at], size);
                        }
                    }
                    add_products(copied, w_o + first, both->filter, size, filters, sums);
                }
            }
            for (int32_t at = 0; at < positions; at++) {
                mct_put_outputs(&outputs, o, filters, sums[at], out_row + at * p->out_ch + o);
            }
        }
        out_row += positions * p->out_ch;
    }
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/conv2d_nibbles.h"

#include <stddef.h>

#include "kernels/weighted.h"
#include "kernels/window.h"
#include "mct/model.h"

/* The part of a window that lies inside the input: runs of values; and the weights for it. */
typedef struct {
    const int8_t *const *rows;
    int32_t runs;     /* rows, or 0 if no column is inside */
    int32_t at, size; /* of a run in its row */
    int x_offset;
    const int8_t *w;
    int32_t w_row, pair; /* bytes from row to row, from pair of filters to pair */
    int32_t centred;     /* the sum of its values */
} window;

static void set_window(window *to, const mct_conv2d_params *p, const int8_t *const rows[],
                       const uint8_t *w, int32_t x_in)
{
    int32_t sum = 0;
    const mct_columns columns = mct_window_columns(x_in, p->kernel_w, p->in_w);
    to->rows = rows;
    to->runs = columns.last > columns.first ? p->kernel_h : 0;
    to->at = (x_in + columns.first) * p->in_ch;
    to->size = (columns.last - columns.first) * p->in_ch;
    to->x_offset = (int)p->x_offset;
    to->w = (const int8_t *)w + columns.first * p->in_ch;
    to->w_row = p->kernel_w * p->in_ch;
    to->pair = p->kernel_h * to->w_row;
    for (int32_t run = 0; run < to->runs; run++) {
        const int8_t *x = rows[run];
        for (int32_t k = to->at; x != NULL && k < to->at + to->size; k++) {
            sum += x[k] + to->x_offset;
        }
    }
    to->centred = sum;
}

/* Of a pair of filters: sums of products with whole bytes, and with their high nibbles. A byte is
 * 16 times the high nibble and the low one, to which 8 is added: so the low one needs no
 * instruction. No sum overflows: they are at most those of int8 weights (kernels/conv2d.c). */
typedef struct {
    int32_t both, high;
} pair_sums;

static inline void put_pair(const window *from, pair_sums s, int32_t *sums)
{
    sums[0] = s.both - 16 * s.high - 8 * from->centred;
    sums[1] = s.high;
}

#ifdef MCT_HAS_HIGH_REGISTERS
/* Values and weights move together: one register counts for all. Sums and offset stay where only an
 * addition reaches them. */
#define MCT_PAIR(w, both_sum, high_sum)                                                            \
    "ldrsb %[both], [%[" w "], %[k]]\n\t"                                                          \
    "asrs %[high], %[both], #4\n\t"                                                                \
    "muls %[both], %[value]\n\t"                                                                   \
    "add %[" both_sum "], %[both]\n\t"                                                             \
    "muls %[high], %[value]\n\t"                                                                   \
    "add %[" high_sum "], %[high]\n\t"
static inline void add_run(const int8_t *x_end, int x_offset, const int8_t *w0_end,
                           const int8_t *w1_end, int32_t size, pair_sums *s, pair_sums *t)
{
    int32_t k = -size;
    int32_t value, both, high;
    __asm volatile(".syntax unified\n"
                   "1:\n\t"
                   "ldrsb %[value], [%[x], %[k]]\n\t"
                   "add %[value], %[x_offset]\n\t" MCT_PAIR("w0", "both0", "high0")
                       MCT_PAIR("w1", "both1", "high1") "adds %[k], #1\n\t"
                                                        "bne 1b"
                   : [both0] "+h"(s->both), [high0] "+h"(s->high), [both1] "+h"(t->both),
                     [high1] "+h"(t->high), [k] "+l"(k), [value] "=&l"(value), [both] "=&l"(both),
                     [high] "=&l"(high)
                   : [x] "l"(x_end), [w0] "l"(w0_end), [w1] "l"(w1_end), [x_offset] "h"(x_offset)
                   : "cc", "memory");
}
#else
static inline void add_run(const int8_t *x_end, int x_offset, const int8_t *w0_end,
                           const int8_t *w1_end, int32_t size, pair_sums *s, pair_sums *t)
{
    for (int32_t k = -size; k != 0; k++) {
        const int value = x_end[k] + x_offset;
        const int both0 = w0_end[k];
        const int both1 = w1_end[k];
        s->both += value * both0; /* fits an int of 16 bits: 255 * 128 < 2^15 */
        s->high += value * (both0 >> 4);
        t->both += value * both1;
        t->high += value * (both1 >> 4);
    }
}
#endif

/* sums[f] of the window and the filters of two pairs. A function of its own, so that its loop has
 * all registers. */
static MCT_NOINLINE void sum_two_pairs(const window *from, int32_t first, int32_t *sums)
{
    const int8_t *w = from->w + first * from->pair + from->size;
    pair_sums s = {0, 0}, t = {0, 0};
    for (int32_t run = 0; run < from->runs; run++, w += from->w_row) {
        const int8_t *x = from->rows[run];
        if (x != NULL) {
            add_run(x + from->at + from->size, from->x_offset, w, w + from->pair, from->size, &s,
                    &t);
        }
    }
    put_pair(from, s, sums);
    put_pair(from, t, sums + 2);
}

/* Of a pair that is left over; its second filter may be none. */
static MCT_NOINLINE void sum_pair(const window *from, int32_t first, int32_t *sums)
{
    const int8_t *w = from->w + first * from->pair;
    pair_sums s = {0, 0};
    for (int32_t run = 0; run < from->runs; run++, w += from->w_row) {
        const int8_t *x = from->rows[run];
        for (int32_t k = 0; x != NULL && k < from->size; k++) {
            const int value = x[from->at + k] + from->x_offset;
            s.both += value * w[k];
            s.high += value * (w[k] >> 4);
        }
    }
    put_pair(from, s, sums);
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

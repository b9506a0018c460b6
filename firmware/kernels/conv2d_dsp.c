/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/conv2d_dsp.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "kernels/window.h"
#include "mct/dsp.h"
#include "mct/model.h"

/* Values that meet in a turn of the inner loop, and their words of two positions in scratch. */
enum { TURN = 4, TURN_WORDS = 4 };

/* A window as the weights lie: runs of values beside one another. Where a run is no multiple of
 * TURN its last turn takes the last TURN values again, those that had their turn as zeros. */
typedef struct {
    int32_t runs, run; /* how many, and values in each */
    int32_t turns;     /* of each */
} window_shape;

static window_shape shape_of(const mct_conv2d_params *p, int32_t in_ch)
{
    int32_t run = p->kernel_w * in_ch;
    if (run % TURN == 0) {
        window_shape whole = {1, p->kernel_h * run, p->kernel_h * run / TURN};
        return whole;
    }
    window_shape rows = {p->kernel_h, run, run / TURN + 1};
    return rows;
}

/* Centres and widens `size` values for one position; returns what follows. */
static uint32_t *widen(const int8_t *x, int32_t size, uint32_t offsets, uint32_t *to)
{
    const int8_t *last = x + size - TURN;
    for (; x <= last; x += TURN, to += TURN_WORDS) {
        uint32_t four = mct_load4(x);
        to[0] = mct_add_even(offsets, four);
        to[1] = mct_add_odd(offsets, four);
    }
    int32_t left = size % TURN;
    if (left != 0) {
        /* The first TURN - left of the last four are zero: bytes that were counted. */
        uint32_t four = mct_load4(last);
        uint32_t even = mct_add_even(offsets, four);
        uint32_t odd = mct_add_odd(offsets, four);
        to[0] = left == 3 ? even & 0xffff0000u : left == 2 ? even & 0xffff0000u : 0u;
        to[1] = left == 3 ? odd : odd & 0xffff0000u;
        to += TURN_WORDS;
    }
    return to;
}

/* The window at column x_in of rows with in_ch channels, for one position. */
static uint32_t *widen_window(const mct_conv2d_params *p, const int8_t *const rows[], int32_t in_ch,
                              int32_t x_in, uint32_t offsets, int8_t *edge, uint32_t *to)
{
    const mct_columns columns = mct_window_columns(x_in, p->kernel_w, p->in_w);
    const int32_t run = p->kernel_w * in_ch;
    const int32_t before = columns.first * in_ch;
    const int32_t inside = (columns.last - columns.first) * in_ch;
    for (int32_t ky = 0; ky < p->kernel_h; ky++) {
        const int8_t *x = edge;
        if (rows[ky] != NULL && inside == run) {
            x = rows[ky] + x_in * in_ch;
        } else {
            memset(edge, -p->x_offset, (size_t)run);
            if (rows[ky] != NULL) {
                memcpy(edge + before, rows[ky] + (x_in + columns.first) * in_ch, (size_t)inside);
            }
        }
        to = widen(x, run, offsets, to);
    }
    return to;
}

/* The limits of the outputs. */
typedef struct {
    int32_t min, max;
} limits;

static MCT_INLINED int8_t output_of(limits to, int32_t sum, int32_t b, const mct_requant *q)
{
    return (int8_t)mct_clamp(mct_requantize_dsp(mct_wrapping_add(sum, b), q), to.min, to.max);
}

/* Of two positions and two filters: sum_pf of position p and filter f. */
typedef struct {
    int32_t sum00, sum01, sum10, sum11;
} sums_2x2;

static MCT_INLINED void add_turn(const uint32_t *x, const int8_t *w0, const int8_t *w1,
                                 int32_t positions, sums_2x2 *s)
{
    uint32_t four = mct_load4(w0);
    uint32_t even = mct_even(four);
    uint32_t odd = mct_odd(four);
    s->sum00 = mct_multiply_pairs(x[1], odd, mct_multiply_pairs(x[0], even, s->sum00));
    if (positions == 2) {
        s->sum10 = mct_multiply_pairs(x[3], odd, mct_multiply_pairs(x[2], even, s->sum10));
    }
    four = mct_load4(w1);
    even = mct_even(four);
    odd = mct_odd(four);
    s->sum01 = mct_multiply_pairs(x[1], odd, mct_multiply_pairs(x[0], even, s->sum01));
    if (positions == 2) {
        s->sum11 = mct_multiply_pairs(x[3], odd, mct_multiply_pairs(x[2], even, s->sum11));
    }
}

/* What the runs of a window at x give to two filters; returns what follows the window. */
static MCT_INLINED const uint32_t *add_window(const window_shape *shape, const uint32_t *x,
                                              const int8_t *w0, const int8_t *w1, int32_t positions,
                                              sums_2x2 *s)
{
    const int32_t left = shape->run % TURN;
    for (int32_t run = 0; run < shape->runs; run++) {
        const uint32_t *end = x + (shape->run / TURN) * TURN_WORDS;
        for (; x != end; x += TURN_WORDS, w0 += TURN, w1 += TURN) {
            add_turn(x, w0, w1, positions, s);
        }
        if (left != 0) {
            w0 += left;
            w1 += left;
            add_turn(x, w0 - TURN, w1 - TURN, positions, s);
            x += TURN_WORDS;
        }
    }
    return x;
}

/* Where the outputs of one or two positions come from and go to; passed by value, since a byte that
 * is stored could be any of what a pointer leads to. */
typedef struct {
    const uint32_t *windows;
    const int8_t *w;
    const int32_t *b;
    const int8_t *w_l;
    const mct_requant *q;
    int8_t *out;
    int32_t filters;
    limits to;
} outputs;

/* Filters o and o + second have met the windows; `second` is 0 if there is none behind o. */
static MCT_INLINED void put_2x2(outputs at, const sums_2x2 *s, int32_t o, int32_t second,
                                int32_t positions)
{
    const mct_requant *q = at.q + o;
    const int32_t b0 = at.b != NULL ? at.b[o] : 0;
    const int32_t b1 = at.b != NULL ? at.b[o + second] : 0;
    int8_t *out = at.out + o;
    out[0] = output_of(at.to, s->sum00, b0, q);
    out[second] = output_of(at.to, s->sum01, b1, q + second);
    if (positions == 2) {
        out += at.filters;
        out[0] = output_of(at.to, s->sum10, b0, q);
        out[second] = output_of(at.to, s->sum11, b1, q + second);
    }
}

/* Windows of one run of whole turns, of which nothing is learned in part: most there are. */
static MCT_NOINLINE void put_plain(outputs at, int32_t size)
{
    const uint32_t *end = at.windows + size;
    const int8_t *w0 = at.w;
    for (int32_t o = 0; o < at.filters; o += 2) {
        const int32_t second = o + 1 < at.filters;
        const int8_t *w1 = w0 + second * size;
        const uint32_t *x = at.windows;
        sums_2x2 s = {0, 0, 0, 0};
        do {
            add_turn(x, w0, w1, 2, &s);
            x += TURN_WORDS;
            w0 += TURN;
            w1 += TURN;
        } while (x != end);
        put_2x2(at, &s, o, second, 2);
        w0 = w1;
    }
}

static MCT_INLINED void put_any(const mct_conv2d_params *p, outputs at, int32_t positions)
{
    const window_shape shape = shape_of(p, p->in_ch);
    const window_shape learned = shape_of(p, p->learned_ch);
    const int32_t filter = p->kernel_h * p->kernel_w;
    for (int32_t o = 0; o < p->out_ch; o += 2) {
        const int32_t second = o + 1 < p->out_ch; /* or the same filter again */
        const int8_t *w0 = at.w + o * filter * p->in_ch;
        sums_2x2 s = {0, 0, 0, 0};
        const uint32_t *x =
            add_window(&shape, at.windows, w0, w0 + second * filter * p->in_ch, positions, &s);
        if (p->learned_ch != 0) {
            w0 = at.w_l + o * filter * p->learned_ch;
            (void)add_window(&learned, x, w0, w0 + second * filter * p->learned_ch, positions, &s);
        }
        put_2x2(at, &s, o, second, positions);
    }
}

void mct_conv2d_dsp_s8_row(const mct_conv2d_params *p, const int8_t *const rows[], const int8_t *w,
                           const int32_t *b, const int8_t *const rows_l[], const int8_t *w_l,
                           const int32_t *requant, uint32_t *scratch, int8_t *out_row)
{
    const window_shape shape = shape_of(p, p->in_ch);
    const window_shape learned = shape_of(p, p->learned_ch);
    const int32_t words = (shape.runs * shape.turns + learned.runs * learned.turns) * TURN_WORDS;
    const uint32_t offsets = mct_pair(p->x_offset, p->x_offset);
    int8_t *edge = (int8_t *)(scratch + words);
    const mct_requant *requants = mct_requants(requant);
    const limits clamped = {p->act_min, p->act_max};
    const bool is_plain = shape.runs == 1 && shape.run % TURN == 0 && p->learned_ch == 0;
    for (int32_t x = 0; x < p->out_w; x += 2) {
        const int32_t positions = p->out_w - x < 2 ? 1 : 2;
        for (int32_t k = 0; k < positions; k++) {
            int32_t x_in = (x + k) * p->stride_w - p->pad_left;
            uint32_t *to = scratch + 2 * k;
            to = widen_window(p, rows, p->in_ch, x_in, offsets, edge, to);
            if (p->learned_ch != 0) {
                (void)widen_window(p, rows_l, p->learned_ch, x_in, offsets, edge, to);
            }
        }
        outputs at = {scratch, w, b, w_l, requants, out_row + x * p->out_ch, p->out_ch, clamped};
        if (positions == 1) {
            put_any(p, at, 1);
        } else if (is_plain) {
            put_plain(at, shape.run);
        } else {
            put_any(p, at, 2);
        }
    }
}

void mct_conv2d_dsp_s8(const mct_conv2d_params *p, const int8_t *x, const int8_t *w,
                       const int32_t *b, const int8_t *x_l, const int8_t *w_l,
                       const int32_t *requant, uint32_t *scratch, int8_t *out)
{
    const int8_t *rows[MCT_MAX_KERNEL_H];
    const int8_t *rows_l[MCT_MAX_KERNEL_H];
    for (int32_t y = 0; y < p->out_h; y++) {
        int32_t top = y * p->stride_h - p->pad_top;
        mct_window_rows(x, p->in_w * p->in_ch, p->in_h, top, p->kernel_h, rows);
        mct_window_rows(x_l, p->in_w * p->learned_ch, p->in_h, top, p->kernel_h, rows_l);
        mct_conv2d_dsp_s8_row(p, rows, w, b, rows_l, w_l, requant, scratch,
                              out + y * p->out_w * p->out_ch);
    }
}

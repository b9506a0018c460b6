/* SPDX-License-Identifier: Apache-2.0 */
#include "mct/dsp.h"

#include "kernels/conv2d_dsp.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "kernels/window.h"
#include "mct/model.h"

/* Values that meet in a turn of the inner loop, which are two words of each position in scratch:
 * values 0 and 2, then 1 and 3. */
enum { TURN = 4, TURN_WORDS = 2 };

/* Centres and widens `size` values of one position; the words of its turns are `step` apart.
 * The last turn takes the last TURN values of all: those that had their turn become zeros.
 * Returns where the next value's turn lies. */
static MCT_INLINED uint32_t *widen(const int8_t *x, int32_t size, uint32_t offsets, int32_t step,
                                   uint32_t *to)
{
    const int8_t *last = x + size - TURN;
    for (; x <= last; x += TURN, to += step) {
        uint32_t four = mct_load4(x);
        to[0] = mct_add_even(offsets, four);
        to[1] = mct_add_odd(offsets, four);
    }
    const int32_t left = size % TURN;
    if (left != 0) {
        uint32_t four = mct_load4(last);
        uint32_t odd = mct_add_odd(offsets, four);
        to[0] = left == 1 ? 0u : mct_add_even(offsets, four) & 0xffff0000u;
        to[1] = left == 3 ? odd : odd & 0xffff0000u;
        to += step;
    }
    return to;
}

static MCT_INLINED uint32_t *widen_zeros(int32_t size, int32_t step, uint32_t *to)
{
    for (; size > 0; size -= TURN, to += step) {
        to[0] = 0;
        to[1] = 0;
    }
    return to;
}

/* The window at column x_in of rows with in_ch channels. Where a turn does not end with a column,
 * the window is gathered first. */
static uint32_t *widen_window(const mct_conv2d_params *p, const int8_t *const rows[], int32_t in_ch,
                              int32_t x_in, int32_t step, int8_t *gathered, uint32_t *to)
{
    const uint32_t offsets = mct_pair(p->x_offset, p->x_offset);
    const mct_columns columns = mct_window_columns(x_in, p->kernel_w, p->in_w);
    const int32_t run = p->kernel_w * in_ch;
    const int32_t before = columns.first * in_ch;
    const int32_t inside = (columns.last - columns.first) * in_ch;
    const int32_t at = (x_in + columns.first) * in_ch;
    if (run % TURN == 0 && (in_ch % TURN == 0 || inside == run)) {
        for (int32_t ky = 0; ky < p->kernel_h; ky++) {
            if (rows[ky] == NULL) {
                to = widen_zeros(run, step, to);
            } else {
                to = widen_zeros(before, step, to);
                to = widen(rows[ky] + at, inside, offsets, step, to);
                to = widen_zeros(run - before - inside, step, to);
            }
        }
        return to;
    }
    if (p->kernel_h == 1 && inside == run && rows[0] != NULL) {
        return widen(rows[0] + at, run, offsets, step, to);
    }
    int8_t *end = gathered;
    for (int32_t ky = 0; ky < p->kernel_h; ky++, end += run) {
        if (rows[ky] == NULL || inside < run) {
            memset(end, -p->x_offset, (size_t)run);
        }
        for (int32_t k = 0; rows[ky] != NULL && k < inside; k++) {
            end[before + k] = rows[ky][at + k];
        }
    }
    return widen(gathered, (int32_t)(end - gathered), offsets, step, to);
}

/* Of one or two positions and two filters: sum_pf of position p and filter f. */
typedef struct {
    int32_t sum00, sum01, sum10, sum11;
} sums;

/* A turn of two filters with the positions' words at *x, which moves behind them. */
static MCT_INLINED void add_turn(const uint32_t **x, uint32_t w0, uint32_t w1, int32_t positions,
                                 sums *s)
{
    const mct_two_words x0 = mct_load_two(x);
    const mct_two_words x1 = positions == 2 ? mct_load_two(x) : x0;
    uint32_t odd = mct_odd(w0);
    uint32_t even = mct_even(w0);
    s->sum00 = mct_multiply_pairs(x0.first, even, s->sum00);
    s->sum00 = mct_multiply_pairs(x0.second, odd, s->sum00);
    if (positions == 2) {
        s->sum10 = mct_multiply_pairs(x1.first, even, s->sum10);
        s->sum10 = mct_multiply_pairs(x1.second, odd, s->sum10);
    }
    odd = mct_odd(w1);
    even = mct_even(w1);
    s->sum01 = mct_multiply_pairs(x0.first, even, s->sum01);
    s->sum01 = mct_multiply_pairs(x0.second, odd, s->sum01);
    if (positions == 2) {
        s->sum11 = mct_multiply_pairs(x1.first, even, s->sum11);
        s->sum11 = mct_multiply_pairs(x1.second, odd, s->sum11);
    }
}

/* The same of two filters that are packed. */
static MCT_INLINED void add_packed_turn(const uint32_t **x, const uint32_t **w, int32_t positions,
                                        sums *s)
{
    const mct_two_words x0 = mct_load_two(x);
    const mct_two_words x1 = positions == 2 ? mct_load_two(x) : x0;
    mct_two_words w01 = mct_load_two(w);
    s->sum00 = mct_multiply_pairs(x0.first, w01.first, s->sum00);
    s->sum00 = mct_multiply_pairs(x0.second, w01.second, s->sum00);
    if (positions == 2) {
        s->sum10 = mct_multiply_pairs(x1.first, w01.first, s->sum10);
        s->sum10 = mct_multiply_pairs(x1.second, w01.second, s->sum10);
    }
    w01 = mct_load_two(w);
    s->sum01 = mct_multiply_pairs(x0.first, w01.first, s->sum01);
    s->sum01 = mct_multiply_pairs(x0.second, w01.second, s->sum01);
    if (positions == 2) {
        s->sum11 = mct_multiply_pairs(x1.first, w01.first, s->sum11);
        s->sum11 = mct_multiply_pairs(x1.second, w01.second, s->sum11);
    }
}

/* Pairs of turns of two positions and two filters, from w0 to `end`, of which there are some. */
#ifdef __ARM_FEATURE_DSP
/* Written for its registers: x, both filters, the end, four sums, and six for what is loaded are
 * all that there are, and the compiler keeps half of the sums in memory. */
static __attribute__((naked)) MCT_NOINLINE void
add_pairs_of_turns(const uint32_t *x __attribute__((unused)),
                   const int8_t *w0 __attribute__((unused)),
                   const int8_t *w1 __attribute__((unused)),
                   const int8_t *end __attribute__((unused)), sums *s __attribute__((unused)))
{
#define MCT_MEET(sum0, sum1)                                                                       \
    "sxtb16 r12, r3, ror #8\n\tsxtb16 r3, r3\n\t"                                                  \
    "smlad " sum0 ", r4, r3, " sum0 "\n\tsmlad " sum1 ", r6, r3, " sum1 "\n\t"                     \
    "smlad " sum0 ", r5, r12, " sum0 "\n\tsmlad " sum1 ", r7, r12, " sum1 "\n\t"
#define MCT_TURN                                                                                   \
    "ldmia r0!, {r4-r7}\n\tldr r3, [r1], #4\n\t" MCT_MEET(                                         \
        "r8", "r10") "ldr r3, [r2], #4\n\t" MCT_MEET("r9", "r11")
    __asm volatile("push {r4-r11, lr}\n\tmov lr, r3\n\t"
                   "ldr r3, [sp, #36]\n\tldmia r3, {r8-r11}\n"
                   "1:\n\t" MCT_TURN MCT_TURN "cmp r1, lr\n\tbne 1b\n\t"
                   "ldr r3, [sp, #36]\n\tstmia r3, {r8-r11}\n\t"
                   "pop {r4-r11, pc}");
#undef MCT_TURN
#undef MCT_MEET
}
#else
static void add_pairs_of_turns(const uint32_t *x, const int8_t *w0, const int8_t *w1,
                               const int8_t *end, sums *s)
{
    for (; w0 != end; w0 += TURN, w1 += TURN) {
        add_turn(&x, mct_load4(w0), mct_load4(w1), 2, s);
    }
}
#endif

/* The same of packed filters, until x is at `end`. */
#ifdef __ARM_FEATURE_DSP
static __attribute__((naked)) MCT_NOINLINE void
add_packed_pairs(const uint32_t *x __attribute__((unused)),
                 const uint32_t *w __attribute__((unused)),
                 const uint32_t *end __attribute__((unused)), sums *s __attribute__((unused)))
{
#define MCT_MEET(sum0, sum1)                                                                       \
    "ldrd r2, r3, [r1], #8\n\t"                                                                    \
    "smlad " sum0 ", r4, r2, " sum0 "\n\tsmlad " sum1 ", r6, r2, " sum1 "\n\t"                     \
    "smlad " sum0 ", r5, r3, " sum0 "\n\tsmlad " sum1 ", r7, r3, " sum1 "\n\t"
#define MCT_TURN "ldmia r0!, {r4-r7}\n\t" MCT_MEET("r8", "r10") MCT_MEET("r9", "r11")
    __asm volatile("push {r4-r11, lr}\n\tmov lr, r2\n\tmov r12, r3\n\tldmia r3, {r8-r11}\n"
                   "1:\n\t" MCT_TURN MCT_TURN "cmp r0, lr\n\tbne 1b\n\t"
                   "stmia r12, {r8-r11}\n\tpop {r4-r11, pc}");
#undef MCT_TURN
#undef MCT_MEET
}
#else
static void add_packed_pairs(const uint32_t *x, const uint32_t *w, const uint32_t *end, sums *s)
{
    while (x != end) {
        add_packed_turn(&x, &w, 2, s);
    }
}
#endif

/* What a window of `size` values gives to the filters at w0 and w1; x moves behind it. */
static MCT_INLINED void add_window(const uint32_t **x, const int8_t *w0, const int8_t *w1,
                                   int32_t size, int32_t positions, sums *s)
{
    const int32_t in_pairs = positions == 2 ? size & ~(2 * TURN - 1) : 0;
    const int8_t *end = w0 + (size & ~(TURN - 1));
    if (in_pairs != 0) {
        add_pairs_of_turns(*x, w0, w1, w0 + in_pairs, s);
        *x += in_pairs;
        w0 += in_pairs;
        w1 += in_pairs;
    }
    for (; w0 != end; w0 += TURN, w1 += TURN) {
        add_turn(x, mct_load4(w0), mct_load4(w1), positions, s);
    }
    const int32_t left = size % TURN;
    if (left != 0) {
        add_turn(x, mct_load4(w0 + left - TURN), mct_load4(w1 + left - TURN), positions, s);
    }
}

/* A layer, and where outputs of one or two positions go; passed by value, since a byte that is
 * stored could be any of what a pointer leads to. */
typedef struct {
    const int8_t *w;
    const int8_t *w_l;
    const int32_t *b;
    const mct_requant *q;
    int32_t filters, size, size_l; /* weights of a filter */
    int32_t offset;
} layer;

/* The outputs of a filter whose channel has no fast way. */
static MCT_NOINLINE void put_slowly(const mct_requant *q, int32_t offset, int32_t sum0,
                                    int32_t sum1, int8_t *out0, int8_t *out1)
{
    *out0 = (int8_t)mct_requantize_any(sum0, *q, offset);
    *out1 = (int8_t)mct_requantize_any(sum1, *q, offset);
}

/* The outputs of filter o. */
static MCT_INLINED void put(layer of, int32_t o, int32_t sum0, int32_t sum1, int32_t positions,
                            int8_t *out)
{
    const mct_requant q = of.q[o];
    if (__builtin_expect(q.right == 0, 0)) {
        put_slowly(of.q + o, of.offset, sum0, positions == 2 ? sum1 : sum0, out,
                   positions == 2 ? out + of.filters : out);
        return;
    }
    out[0] = (int8_t)mct_requantize_fast(sum0, q);
    if (positions == 2) {
        out[of.filters] = (int8_t)mct_requantize_fast(sum1, q);
    }
}

/* All filters meet the windows of one or two positions in scratch. */
static MCT_INLINED void put_positions(layer of, const uint32_t *windows, int32_t positions,
                                      int8_t *out)
{
    for (int32_t o = 0; o < of.filters; o += 2) {
        const int32_t second = o + 1 < of.filters; /* or the same filter again */
        const int32_t b0 = of.b != NULL ? of.b[o] : 0;
        const int32_t b1 = of.b != NULL ? of.b[o + second] : 0;
        const uint32_t *x = windows;
        sums s = {b0, b1, b0, b1};
        add_window(&x, of.w, of.w + second * of.size, of.size, positions, &s);
        of.w += 2 * of.size;
        if (of.size_l != 0) {
            add_window(&x, of.w_l, of.w_l + second * of.size_l, of.size_l, positions, &s);
            of.w_l += 2 * of.size_l;
        }
        put(of, o, s.sum00, s.sum10, positions, out + o);
        put(of, o + second, s.sum01, s.sum11, positions, out + o + second);
    }
}

/* Of two positions, where all turns come in pairs and an even number of filters has biases, and
 * nothing is learned in part: what most layers are. */
static MCT_NOINLINE void put_plain(layer of, const uint32_t *windows, int8_t *out)
{
    const int8_t *const end = out + of.filters;
    const int8_t *w = of.w;
    do {
        const int8_t *next = w + of.size;
        sums s = {of.b[0], of.b[1], of.b[0], of.b[1]};
        add_pairs_of_turns(windows, w, next, next, &s);
        w = next + of.size;
        put(of, 0, s.sum00, s.sum10, 2, out);
        put(of, 1, s.sum01, s.sum11, 2, out + 1);
        of.q += 2;
        of.b += 2;
        out += 2;
    } while (out != end);
}

static MCT_NOINLINE void put_one(layer of, const uint32_t *windows, int8_t *out)
{
    put_positions(of, windows, 1, out);
}

static MCT_NOINLINE void put_two(layer of, const uint32_t *windows, int8_t *out)
{
    put_positions(of, windows, 2, out);
}

/* The same of packed filters, whose windows have `turns` turns. */
static MCT_NOINLINE void put_one_packed(layer of, const uint32_t *windows, const uint32_t *w,
                                        int32_t turns, int8_t *out)
{
    for (int32_t o = 0; o < of.filters; o += 2) {
        const int32_t second = o + 1 < of.filters;
        const uint32_t *x = windows;
        const uint32_t *const end = x + turns * TURN_WORDS;
        sums s = {of.b[o], of.b[o + second], 0, 0};
        while (x != end) {
            add_packed_turn(&x, &w, 1, &s);
        }
        put(of, o, s.sum00, s.sum10, 1, out + o);
        put(of, o + second, second ? s.sum01 : s.sum00, s.sum11, 1, out + o + second);
    }
}

static MCT_NOINLINE void put_two_packed(layer of, const uint32_t *windows, const uint32_t *w,
                                        int32_t turns, int8_t *out)
{
    const int8_t *const end = out + of.filters;
    const uint32_t *const windows_end = windows + turns * 2 * TURN_WORDS;
    for (;;) {
        const int32_t second = out + 1 != end;
        sums s = {of.b[0], of.b[second], of.b[0], of.b[second]};
        add_packed_pairs(windows, w, windows_end, &s);
        put(of, 0, s.sum00, s.sum10, 2, out);
        if (second == 0) {
            return;
        }
        put(of, 1, s.sum01, s.sum11, 2, out + 1);
        out += 2;
        if (out == end) {
            return;
        }
        of.q += 2;
        of.b += 2;
        w += turns * 2 * TURN_WORDS;
    }
}

void mct_conv2d_dsp_s8_row(const mct_conv2d_params *p, const int8_t *const rows[], const int8_t *w,
                           const int32_t *b, const int8_t *const rows_l[], const int8_t *w_l,
                           const int32_t *requant, uint32_t *scratch, int8_t *out_row)
{
    const int32_t taps = p->kernel_h * p->kernel_w;
    const layer of = {w,
                      w_l,
                      b,
                      mct_requants(requant),
                      p->out_ch,
                      taps * p->in_ch,
                      taps * p->learned_ch,
                      p->out_offset};
    const bool is_plain =
        of.size % (2 * TURN) == 0 && of.filters % 2 == 0 && b != NULL && of.size_l == 0;
    const int32_t turns = (of.size + TURN - 1) / TURN + (of.size_l + TURN - 1) / TURN;
    int8_t *gathered = (int8_t *)(scratch + 2 * TURN_WORDS * turns);
    int8_t *out = out_row;
    for (int32_t x = 0; x < p->out_w; x += 2) {
        const int32_t positions = p->out_w - x < 2 ? 1 : 2;
        const int32_t step = positions * TURN_WORDS;
        for (int32_t k = 0; k < positions; k++) {
            int32_t x_in = (x + k) * p->stride_w - p->pad_left;
            uint32_t *to = scratch + k * TURN_WORDS;
            to = widen_window(p, rows, p->in_ch, x_in, step, gathered, to);
            if (p->learned_ch != 0) {
                (void)widen_window(p, rows_l, p->learned_ch, x_in, step, gathered, to);
            }
        }
        if (positions == 1) {
            put_one(of, scratch, out);
        } else if (is_plain) {
            put_plain(of, scratch, out);
        } else {
            put_two(of, scratch, out);
        }
        out += positions * of.filters;
    }
    mct_clamp_outputs(out_row, p->out_w * p->out_ch, p->act_min, p->act_max);
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

void mct_conv2d_packed_dsp_s8_row(const mct_conv2d_params *p, const int8_t *const rows[],
                                  const uint32_t *w, const int32_t *b, const int32_t *requant,
                                  uint32_t *scratch, int8_t *out_row)
{
    const int32_t size = p->kernel_h * p->kernel_w * p->in_ch;
    const int32_t turns = (size + 2 * TURN - 1) / (2 * TURN) * 2;
    const layer of = {NULL, NULL, b, mct_requants(requant), p->out_ch, size, 0, p->out_offset};
    int8_t *gathered = (int8_t *)(scratch + 2 * TURN_WORDS * turns);
    int8_t *out = out_row;
    for (int32_t x = 0; x < p->out_w; x += 2) {
        const int32_t positions = p->out_w - x < 2 ? 1 : 2;
        const int32_t step = positions * TURN_WORDS;
        for (int32_t k = 0; k < positions; k++) {
            int32_t x_in = (x + k) * p->stride_w - p->pad_left;
            uint32_t *to = scratch + k * TURN_WORDS;
            uint32_t *end = widen_window(p, rows, p->in_ch, x_in, step, gathered, to);
            (void)widen_zeros(TURN * turns - (int32_t)(end - to) / step * TURN, step, end);
        }
        if (positions == 1) {
            put_one_packed(of, scratch, w, turns, out);
        } else {
            put_two_packed(of, scratch, w, turns, out);
        }
        out += positions * of.filters;
    }
    mct_clamp_outputs(out_row, p->out_w * p->out_ch, p->act_min, p->act_max);
}

void mct_conv2d_packed_dsp_s8(const mct_conv2d_params *p, const int8_t *x, const uint32_t *w,
                              const int32_t *b, const int32_t *requant, uint32_t *scratch,
                              int8_t *out)
{
    const int8_t *rows[MCT_MAX_KERNEL_H];
    for (int32_t y = 0; y < p->out_h; y++, out += p->out_w * p->out_ch) {
        mct_window_rows(x, p->in_w * p->in_ch, p->in_h, y * p->stride_h - p->pad_top, p->kernel_h,
                        rows);
        mct_conv2d_packed_dsp_s8_row(p, rows, w, b, requant, scratch, out);
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/depthwise_conv2d_dsp.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernels/window.h"
#include "mct/dsp.h"
#include "mct/model.h"

enum { CHANNELS = 4 }; /* summed side by side */

/* Words for a column of two rows, each of a channel's values in both; and of the odd row, each of
 * two channels' values. */
enum { PAIR_WORDS = CHANNELS, ODD_WORDS = CHANNELS / 2 };

/* Windows of so many rows meet the input as it lies; of more, the input is widened first, the
 * columns of so many positions at once. */
enum { FEW_ROWS = 3, POSITIONS = 8 };

/* Scratch of 3x3 windows: weights by columns, with zeros on both sides for windows of which a
 * column lies outside. */
enum { COLUMN_WORDS = PAIR_WORDS + ODD_WORDS };

typedef struct {
    int32_t sum0, sum1, sum2, sum3;
} sums_4;

/* Some output positions of a row. */
typedef struct {
    int32_t first, last;
} positions;

/* A layer, and those of the rows of a window that lie in its input: pairs, and perhaps an odd one.
 * Scratch has the weights of four channels, then the pairs of the columns of some positions. */
typedef struct {
    const mct_depthwise_conv2d_params *p;
    const int8_t *const *rows;
    int32_t pairs, odd;
    positions inside; /* whose windows lie in the input with all columns */
    const int8_t *w, *w_l;
    const uint16_t *channel;
    const int32_t *b;
    const mct_requant *requants;
    bool is_3x3;
    uint32_t *scratch;
    uint32_t *values;
} layer;

/* Widens columns of four channels of two rows, which begin `step` apart; they are written `to_step`
 * words apart. */
static MCT_NOINLINE void widen_pairs(const int8_t *upper, const int8_t *lower, int32_t step,
                                     int32_t columns, uint32_t offsets, uint32_t *to,
                                     int32_t to_step)
{
    for (; columns > 0; columns--, upper += step, lower += step, to += to_step) {
        const uint32_t left = mct_low_halves(mct_load4(upper), mct_load4(lower));
        const uint32_t right = mct_high_halves(mct_load4(upper), mct_load4(lower));
        mct_store_two(to, mct_add_even(offsets, left), mct_add_odd(offsets, left));
        mct_store_two(to + 2, mct_add_even(offsets, right), mct_add_odd(offsets, right));
    }
}

/* Of a layer learned in part: what learns of four channels, over the zeros in the frozen weights.
 */
static MCT_NOINLINE void widen_learned(const layer *of, int32_t c)
{
    const mct_depthwise_conv2d_params *p = of->p;
    const int32_t learned = p->learned_ch;
    const int32_t pair_halves = 2 * PAIR_WORDS * of->pairs * p->kernel_w;
    for (int32_t k = 0; k < learned; k++) {
        const int32_t lane = of->channel[k] - c;
        const int8_t *w = of->w_l + k;
        for (int32_t ky = 0; lane >= 0 && lane < CHANNELS && ky < 2 * of->pairs + of->odd; ky++) {
            const int32_t at = ky == 2 * of->pairs ? pair_halves + 2 * (lane % 2) + lane / 2
                                                   : 2 * (PAIR_WORDS * (ky / 2) + lane) + ky % 2;
            const int32_t step = ky == 2 * of->pairs ? 2 * ODD_WORDS : 2 * PAIR_WORDS * of->pairs;
            for (int32_t kx = 0; kx < p->kernel_w; kx++, w += learned) {
                const int16_t weight = *w;
                memcpy((int16_t *)(void *)of->scratch + at + kx * step, &weight, sizeof weight);
            }
        }
    }
}

/* Writes the weights of four channels to scratch. */
static void widen_weights(const layer *of, int32_t c)
{
    const int32_t columns = of->p->kernel_w;
    const int32_t step = of->p->in_ch;
    const int8_t *w = of->w + c;
    uint32_t *to = of->scratch;
    for (int32_t k = 0; k < of->pairs; k++, w += 2 * columns * step) {
        widen_pairs(w, w + columns * step, step, columns, 0, to + PAIR_WORDS * k,
                    PAIR_WORDS * of->pairs);
    }
    to += PAIR_WORDS * of->pairs * columns;
    for (int32_t k = 0; of->odd != 0 && k < columns; k++, w += step, to += ODD_WORDS) {
        const uint32_t four = mct_load4(w);
        mct_store_two(to, mct_even(four), mct_odd(four));
    }
    if (of->p->learned_ch != 0) {
        widen_learned(of, c);
    }
}

/* Writes the pairs of the columns of `count` positions, of which the first begins at column x_in.
 * Returns the first column. */
static int32_t widen_columns(const layer *of, int32_t c, int32_t x_in, int32_t count)
{
    const mct_depthwise_conv2d_params *p = of->p;
    const int32_t left = mct_clamp(x_in, 0, p->in_w);
    const int32_t right = mct_clamp(x_in + (count - 1) * p->stride_w + p->kernel_w, left, p->in_w);
    const int32_t at = left * p->in_ch + c;
    const uint32_t offsets = mct_pair(p->x_offset, p->x_offset);
    for (int32_t k = 0; k < of->pairs; k++) {
        widen_pairs(of->rows[2 * k] + at, of->rows[2 * k + 1] + at, p->in_ch, right - left, offsets,
                    of->values + PAIR_WORDS * k, PAIR_WORDS * of->pairs);
    }
    return left;
}

#ifdef __ARM_FEATURE_DSP

/* Loops as the compiler would not write them: it loads fewer words at once, and keeps half of the
 * sums in memory. Each of them moves *w behind the weights that it takes. */
#define MCT_SUMS                                                                                   \
    [w] "+r"(*w), [s0] "+r"(s->sum0), [s1] "+r"(s->sum1), [s2] "+r"(s->sum2), [s3] "+r"(s->sum3)

#define MCT_MEET_PAIR                                                                              \
    "ldmia %[x]!, {r0, r1, r2, r3}\n\tldrd %[u], %[v], [%[w]], #8\n\t"                             \
    "smlad %[s0], r0, %[u], %[s0]\n\tsmlad %[s1], r1, %[v], %[s1]\n\t"                             \
    "ldrd %[u], %[v], [%[w]], #8\n\t"                                                              \
    "smlad %[s2], r2, %[u], %[s2]\n\tsmlad %[s3], r3, %[v], %[s3]\n\t"
#define MCT_ADD_PAIRS(text)                                                                        \
    __asm volatile(text                                                                            \
                   : [x] "+r"(x), MCT_SUMS, [u] "=&r"(u), [v] "=&r"(v)                             \
                   : [end] "m"(end)                                                                \
                   : "r0", "r1", "r2", "r3", "cc", "memory")

/* The products of widened pairs. */
static MCT_INLINED void add_pairs(const uint32_t *x, const uint32_t **w, int32_t pairs, sums_4 *s)
{
    uint32_t u, v;
    const uint32_t *const end = *w + PAIR_WORDS * pairs; /* in memory: no register is left */
    if (pairs % 2 != 0) {
        MCT_ADD_PAIRS(MCT_MEET_PAIR);
    }
    if (pairs > 1) {
        MCT_ADD_PAIRS("1:\n\t" MCT_MEET_PAIR MCT_MEET_PAIR
                      "ldr r0, %[end]\n\tcmp %[w], r0\n\tbne 1b");
    }
}

#define MCT_MEET_ONE(at)                                                                           \
    "ldr %[t], [%[x]" at "]\n\tldrd %[u], %[v], [%[w]], #8\n\t"                                    \
    "sxtab16 %[y], %[offsets], %[t]\n\tsxtab16 %[t], %[offsets], %[t], ror #8\n\t"                 \
    "smlabb %[s0], %[y], %[u], %[s0]\n\tsmlatt %[s2], %[y], %[u], %[s2]\n\t"                       \
    "smlabb %[s1], %[t], %[v], %[s1]\n\tsmlatt %[s3], %[t], %[v], %[s3]\n\t"
#define MCT_ADD_ONE(text)                                                                          \
    __asm volatile(text                                                                            \
                   : MCT_SUMS, [t] "=&r"(t), [y] "=&r"(y), [u] "=&r"(u), [v] "=&r"(v)              \
                   : [x] "r"(x), [step] "r"(step), [offsets] "r"(offsets)                          \
                   : "memory")

/* The products of columns of the odd row. */
static MCT_INLINED void add_row(const int8_t *x, int32_t step, uint32_t offsets, const uint32_t **w,
                                int32_t columns, sums_4 *s)
{
    uint32_t t, y, u, v;
    for (; columns >= 3; columns -= 3, x += 3 * step) {
        MCT_ADD_ONE(MCT_MEET_ONE("") MCT_MEET_ONE(", %[step]") MCT_MEET_ONE(", %[step], lsl #1"));
    }
    for (; columns > 0; columns--, x += step) {
        MCT_ADD_ONE(MCT_MEET_ONE(""));
    }
}

#else

static void add_pairs(const uint32_t *x, const uint32_t **w, int32_t pairs, sums_4 *s)
{
    for (; pairs > 0; pairs--, x += PAIR_WORDS, *w += PAIR_WORDS) {
        s->sum0 = mct_multiply_pairs(x[0], (*w)[0], s->sum0);
        s->sum1 = mct_multiply_pairs(x[1], (*w)[1], s->sum1);
        s->sum2 = mct_multiply_pairs(x[2], (*w)[2], s->sum2);
        s->sum3 = mct_multiply_pairs(x[3], (*w)[3], s->sum3);
    }
}

static void add_row(const int8_t *x, int32_t step, uint32_t offsets, const uint32_t **w,
                    int32_t columns, sums_4 *s)
{
    for (; columns > 0; columns--, x += step, *w += ODD_WORDS) {
        const uint32_t even = mct_add_even(offsets, mct_load4(x));
        const uint32_t odd = mct_add_odd(offsets, mct_load4(x));
        s->sum0 = mct_multiply_low(even, (*w)[0], s->sum0);
        s->sum1 = mct_multiply_low(odd, (*w)[1], s->sum1);
        s->sum2 = mct_multiply_high(even, (*w)[0], s->sum2);
        s->sum3 = mct_multiply_high(odd, (*w)[1], s->sum3);
    }
}

#endif

/* The products of columns of two rows as they lie. */
static void add_two_rows(const int8_t *upper, const int8_t *lower, int32_t step, uint32_t offsets,
                         const uint32_t **w, int32_t columns, sums_4 *s)
{
    for (; columns > 0; columns--, upper += step, lower += step) {
        uint32_t words[PAIR_WORDS];
        widen_pairs(upper, lower, 0, 1, offsets, words, 0);
        add_pairs(words, w, 1, s);
    }
}

/* The outputs of channels that have fast ways, and of any. */
static MCT_INLINED void put_fast(sums_4 s, const mct_requant *q, int8_t *out)
{
    out[0] = (int8_t)mct_requantize_fast(s.sum0, mct_next_requant(&q));
    out[1] = (int8_t)mct_requantize_fast(s.sum1, mct_next_requant(&q));
    out[2] = (int8_t)mct_requantize_fast(s.sum2, mct_next_requant(&q));
    out[3] = (int8_t)mct_requantize_fast(s.sum3, mct_next_requant(&q));
}

static MCT_NOINLINE void put_any(sums_4 s, const mct_requant *q, int32_t offset, int8_t *out)
{
    out[0] = (int8_t)mct_requantize_any(s.sum0, q[0], offset);
    out[1] = (int8_t)mct_requantize_any(s.sum1, q[1], offset);
    out[2] = (int8_t)mct_requantize_any(s.sum2, q[2], offset);
    out[3] = (int8_t)mct_requantize_any(s.sum3, q[3], offset);
}

static MCT_INLINED sums_4 biases_of(const layer *of, int32_t c)
{
    sums_4 s = {0, 0, 0, 0};
    if (of->b != NULL) {
        s = (sums_4){of->b[c], of->b[c + 1], of->b[c + 2], of->b[c + 3]};
    }
    return s;
}

static bool is_fast(const mct_requant *q)
{
    return q[0].right != 0 && q[1].right != 0 && q[2].right != 0 && q[3].right != 0;
}

/* What the outputs of four channels at some positions are made of: the columns of their windows
 * that lie in the input, of which the first positions's begin at column `from`. */
typedef struct {
    mct_columns columns;
    int32_t from;
    int32_t count; /* of positions */
} windows;

/* Windows of a few rows. */
static MCT_NOINLINE void put_few_rows(const layer *of, int32_t c, windows of_positions, bool fast,
                                      int8_t *out, int32_t out_step)
{
    const mct_depthwise_conv2d_params *p = of->p;
    const int32_t step = p->in_ch;
    const int32_t move = step * p->stride_w;
    const int32_t columns = of_positions.columns.last - of_positions.columns.first;
    const int32_t at = of_positions.from * step + c;
    const uint32_t offsets = mct_pair(p->x_offset, p->x_offset);
    const int8_t *const *row = of->rows;
    const int8_t *upper = of->pairs != 0 ? *row++ + at : NULL;
    const int8_t *lower = of->pairs != 0 ? *row++ + at : NULL;
    const int8_t *odd = of->odd != 0 ? *row + at : NULL;
    const uint32_t *const w_pairs = of->scratch + PAIR_WORDS * of_positions.columns.first;
    const uint32_t *const w_odd =
        of->scratch + PAIR_WORDS * of->pairs * p->kernel_w + ODD_WORDS * of_positions.columns.first;
    const mct_requant *const q = of->requants + c;
    const sums_4 biases = biases_of(of, c);
    for (const int8_t *end = out + of_positions.count * out_step; out != end; out += out_step) {
        sums_4 s = biases;
        if (upper != NULL) {
            const uint32_t *w = w_pairs;
            add_two_rows(upper, lower, step, offsets, &w, columns, &s);
            upper += move;
            lower += move;
        }
        if (odd != NULL) {
            const uint32_t *w = w_odd;
            add_row(odd, step, offsets, &w, columns, &s);
            odd += move;
        }
        if (fast) {
            put_fast(s, q, out);
        } else {
            put_any(s, q, p->out_offset, out);
        }
    }
}

static inline int32_t difference(int32_t a, int32_t b)
{
    return (int32_t)((uint32_t)a - (uint32_t)b);
}

/* Writes a column of weights of 3x3 windows, of which `last` is the odd row's. Returns the sums and
 * the centre times the column. */
static MCT_INLINED sums_4 widen_column(const int8_t *w, int32_t row, uint32_t last,
                                       uint32_t offsets, sums_4 s, uint32_t *to)
{
    const uint32_t left = mct_low_halves(mct_load4(w), mct_load4(w + row));
    const uint32_t right = mct_high_halves(mct_load4(w), mct_load4(w + row));
    const uint32_t pairs[PAIR_WORDS] = {mct_even(left), mct_odd(left), mct_even(right),
                                        mct_odd(right)};
    const uint32_t even = mct_even(last);
    const uint32_t odd = mct_odd(last);
    mct_store_two(to, pairs[0], pairs[1]);
    mct_store_two(to + 2, pairs[2], pairs[3]);
    mct_store_two(to + PAIR_WORDS, even, odd);
    s.sum0 = mct_multiply_low(offsets, even, mct_multiply_pairs(offsets, pairs[0], s.sum0));
    s.sum1 = mct_multiply_low(offsets, odd, mct_multiply_pairs(offsets, pairs[1], s.sum1));
    s.sum2 = mct_multiply_high(offsets, even, mct_multiply_pairs(offsets, pairs[2], s.sum2));
    s.sum3 = mct_multiply_high(offsets, odd, mct_multiply_pairs(offsets, pairs[3], s.sum3));
    return s;
}

/* Writes the weights of 3x3 windows. Where a row lies outside, the odd row's are zeros. Their
 * values are not centred: start[k] are the sums that a window begins with, the biases and the
 * centre times all weights, without the last column's (0), of all columns (1), without the first's
 * (2). */
static MCT_INLINED void widen_3x3(const layer *of, int32_t c, sums_4 start[3])
{
    const int32_t step = of->p->in_ch;
    const uint32_t offsets = mct_pair(of->p->x_offset, of->p->x_offset);
    const int8_t *w = of->w + c;
    const int32_t third = of->odd != 0 ? 6 * step : 0;
    const uint32_t mask = of->odd != 0 ? UINT32_MAX : 0;
    uint32_t *to = of->scratch;
    const sums_4 biases = biases_of(of, c);
    for (int32_t k = 0; k < COLUMN_WORDS; k += 2) {
        mct_store_two(to + k, 0, 0);
        mct_store_two(to + 4 * COLUMN_WORDS + k, 0, 0);
    }
    const sums_4 first =
        widen_column(w, 3 * step, mct_load4(w + third) & mask, offsets, biases, to + COLUMN_WORDS);
    w += step;
    start[0] = widen_column(w, 3 * step, mct_load4(w + third) & mask, offsets, first,
                            to + 2 * COLUMN_WORDS);
    w += step;
    start[1] = widen_column(w, 3 * step, mct_load4(w + third) & mask, offsets, start[0],
                            to + 3 * COLUMN_WORDS);
    start[2].sum0 = mct_wrapping_add(start[1].sum0, difference(biases.sum0, first.sum0));
    start[2].sum1 = mct_wrapping_add(start[1].sum1, difference(biases.sum1, first.sum1));
    start[2].sum2 = mct_wrapping_add(start[1].sum2, difference(biases.sum2, first.sum2));
    start[2].sum3 = mct_wrapping_add(start[1].sum3, difference(biases.sum3, first.sum3));
}

/* Positions beside one another whose windows meet the same weights. */
typedef struct {
    sums_4 start;
    const uint32_t *w;
    const mct_requant *q;
    int8_t *out, *end;
    int32_t move, out_move; /* from a position to the next */
    const int8_t *upper, *lower, *odd;
    int32_t step; /* from a column to the next */
} run_3x3;

/* The outputs of a run. Written by hand since the compiler keeps half of it in memory. */
static MCT_NOINLINE void put_run(const run_3x3 *run)
{
#ifdef __ARM_FEATURE_DSP
#define MCT_COLUMN(at)                                                                             \
    "ldr r0, [r9" at "]\n\tldr r1, [r10" at "]\n\t"                                                \
    "pkhbt r3, r0, r1, lsl #16\n\tpkhtb r1, r1, r0, asr #16\n\t"                                   \
    "ldr r0, [lr], #4\n\tsxtb16 r2, r3\n\tsmlad r4, r2, r0, r4\n\t"                                \
    "ldr r0, [lr], #4\n\tsxtb16 r3, r3, ror #8\n\tsmlad r5, r3, r0, r5\n\t"                        \
    "ldrd r0, r3, [lr], #8\n\tsxtb16 r2, r1\n\tsmlad r6, r2, r0, r6\n\t"                           \
    "sxtb16 r1, r1, ror #8\n\tsmlad r8, r1, r3, r8\n\t"                                            \
    "ldr r0, [r11" at "]\n\tldrd r2, r3, [lr], #8\n\t"                                             \
    "sxtb16 r1, r0\n\tsxtb16 r0, r0, ror #8\n\t"                                                   \
    "smlabb r4, r1, r2, r4\n\tsmlatt r6, r1, r2, r6\n\t"                                           \
    "smlabb r5, r0, r3, r5\n\tsmlatt r8, r0, r3, r8\n\t"
#define MCT_PUT(sum, at) /* mct_requantize_fast */                                                 \
    "ldmia lr!, {r0, r1, r2}\n\tadd r1, r1, " sum ", asr #31\n\tqadd " sum ", " sum ", " sum       \
    "\n\tsmmlar " sum ", " sum ", r0, r1\n\tasr " sum ", " sum ", r2\n\tssat " sum ", #8, " sum    \
    "\n\tstrb " sum ", [r3, #" at "]\n\t"
    register const run_3x3 *of __asm("r0") = run;
    int8_t *out = run->out;
    register int8_t *to __asm("r1") = out;
    __asm volatile(
        "push {r1, r7}\n\tmov r7, r0\n\t"
        "add r9, r7, #40\n\tldmia r9, {r9, r10, r11, r12}\n\t"
        "1:\n\tldmia r7, {r4, r5, r6, r8}\n\tldr lr, [r7, #16]\n\t" /* */
        MCT_COLUMN("") MCT_COLUMN(", r12")
            MCT_COLUMN(", r12, lsl #1") "ldr lr, [r7, #20]\n\tldr r3, [sp]\n\t" /* */
        MCT_PUT("r4", "0") MCT_PUT("r5", "1") MCT_PUT("r6", "2") MCT_PUT(
            "r8", "3") "ldrd r0, r1, [r7, #32]\n\tadd r9, r9, r0\n\tadd r10, r10, r0\n\t"
                       "add r11, r11, r0\n\tadd r3, r3, r1\n\tldr r0, [r7, #28]\n\tstr r3, [sp]\n\t"
                       "cmp r3, r0\n\tbne 1b\n\tpop {r1, r7}"
        : "+r"(of), "+r"(to)
        :
        : "r2", "r3", "r4", "r5", "r6", "r8", "r9", "r10", "r11", "r12", "lr", "cc", "memory");
#undef MCT_COLUMN
#undef MCT_PUT
#else
    const int8_t *upper = run->upper;
    const int8_t *lower = run->lower;
    const int8_t *odd = run->odd;
    for (int8_t *out = run->out; out != run->end; out += run->out_move) {
        const uint32_t *w = run->w;
        sums_4 s = run->start;
        for (int32_t k = 0; k < 3; k++) {
            add_two_rows(upper + k * run->step, lower + k * run->step, 0, 0, &w, 1, &s);
            add_row(odd + k * run->step, 0, 0, &w, 1, &s);
        }
        put_fast(s, run->q, out);
        upper += run->move;
        lower += run->move;
        odd += run->move;
    }
#endif
}

/* The outputs of four channels that have fast ways, of 3x3 windows that reach no more than a column
 * or a row beyond the input. */
static MCT_NOINLINE void put_3x3(const layer *of, int32_t c, positions at, int8_t *out,
                                 int32_t out_step)
{
    const mct_depthwise_conv2d_params *p = of->p;
    const int32_t step = p->in_ch;
    const int32_t move = step * p->stride_w;
    sums_4 start[3];
    run_3x3 run;
    run.q = of->requants + c;
    run.move = move;
    run.out_move = out_step;
    run.step = step;
    widen_3x3(of, c, start);
    for (int32_t x = at.first; x < at.last;) {
        const int32_t x_in = x * p->stride_w - p->pad_left;
        const int32_t from = mct_clamp(x_in, 0, p->in_w - 3);
        int32_t next = x + 1;
        if (x >= of->inside.first && x < of->inside.last) {
            next = of->inside.last < at.last ? of->inside.last : at.last;
        }
        run.w = of->scratch + COLUMN_WORDS * (1 + from - x_in);
        run.start = start[1 + from - x_in];
        run.upper = of->rows[0] + from * step + c;
        run.lower = of->rows[1] + from * step + c;
        run.odd = of->rows[2 * of->odd] + from * step + c;
        run.out = out;
        out += (next - x) * out_step;
        run.end = out;
        put_run(&run);
        x = next;
    }
}

/* Windows of many rows, whose pairs lie in scratch from column `left` on. */
static MCT_NOINLINE void put_many_rows(const layer *of, int32_t c, windows of_positions,
                                       int32_t left, bool fast, int8_t *out, int32_t out_step)
{
    const mct_depthwise_conv2d_params *p = of->p;
    const int32_t step = p->in_ch;
    const int32_t columns = of_positions.columns.last - of_positions.columns.first;
    const int32_t words = PAIR_WORDS * of->pairs; /* of a column */
    const uint32_t offsets = mct_pair(p->x_offset, p->x_offset);
    const uint32_t *values = of->values + words * (of_positions.from - left);
    const int8_t *odd =
        of->odd != 0 ? of->rows[2 * of->pairs] + of_positions.from * step + c : NULL;
    const uint32_t *const w_pairs = of->scratch + words * of_positions.columns.first;
    const uint32_t *const w_odd =
        of->scratch + words * p->kernel_w + ODD_WORDS * of_positions.columns.first;
    const mct_requant *const q = of->requants + c;
    const sums_4 biases = biases_of(of, c);
    for (const int8_t *end = out + of_positions.count * out_step; out != end; out += out_step) {
        sums_4 s = biases;
        const uint32_t *w = w_pairs;
        add_pairs(values, &w, of->pairs * columns, &s);
        values += words * p->stride_w;
        if (odd != NULL) {
            w = w_odd;
            add_row(odd, step, offsets, &w, columns, &s);
            odd += step * p->stride_w;
        }
        if (fast) {
            put_fast(s, q, out);
        } else {
            put_any(s, q, p->out_offset, out);
        }
    }
}

/* The outputs of four channels at some positions. */
static void put(const layer *of, int32_t c, positions at, int8_t *out, int32_t out_step)
{
    const mct_depthwise_conv2d_params *p = of->p;
    const bool fast = is_fast(of->requants + c);
    int32_t left = 0, widened = at.first; /* positions whose pairs lie in scratch */
    if (fast && of->is_3x3) {
        put_3x3(of, c, at, out, out_step);
        return;
    }
    widen_weights(of, c);
    for (int32_t x = at.first; x < at.last;) {
        const int32_t x_in = x * p->stride_w - p->pad_left;
        int32_t last = at.last;
        if (p->kernel_h > FEW_ROWS) {
            if (x == widened) {
                widened = at.last - x < POSITIONS ? at.last : x + POSITIONS;
                left = widen_columns(of, c, x_in, widened - x);
            }
            last = widened;
        }
        windows now = {mct_window_columns(x_in, p->kernel_w, p->in_w), 0, 1};
        now.from = x_in + now.columns.first;
        if (x >= of->inside.first && x < of->inside.last) {
            now.count = (of->inside.last < last ? of->inside.last : last) - x;
        }
        if (p->kernel_h > FEW_ROWS) {
            put_many_rows(of, c, now, left, fast, out, out_step);
        } else {
            put_few_rows(of, c, now, fast, out, out_step);
        }
        x += now.count;
        out += now.count * out_step;
    }
}

/* The rows of a window that are not padding; none, or some one after another. */
static mct_columns rows_present(const int8_t *const rows[], int32_t kernel_h)
{
    mct_columns present = {0, kernel_h};
    while (present.first < kernel_h && rows[present.first] == NULL) {
        present.first++;
    }
    while (present.last > present.first && rows[present.last - 1] == NULL) {
        present.last--;
    }
    return present;
}

/* All channels at some positions. Channels that make no four come first: with others that have
 * their turn again, or if those must not be touched yet, into `held` until all others are done. */
static void put_channels(const layer *of, positions at, int8_t *held, int8_t *out_row)
{
    const int32_t channels = of->p->in_ch;
    const int32_t few = channels % CHANNELS;
    int8_t *out = out_row + at.first * channels;
    if (few != 0 && held == NULL) {
        put(of, 0, at, out, channels);
    } else if (few != 0) {
        put(of, 0, at, held, CHANNELS);
    }
    for (int32_t c = few; c < channels; c += CHANNELS) {
        put(of, c, at, out + c, channels);
    }
    for (int32_t x = at.first; few != 0 && held != NULL && x < at.last; x++) {
        memcpy(out, held, (size_t)few);
        held += CHANNELS;
        out += channels;
    }
}

/* Whether windows are 3x3, and reach at most a column beyond the input. */
static bool is_3x3(const mct_depthwise_conv2d_params *p)
{
    return p->kernel_h == 3 && p->kernel_w == 3 && p->in_w >= 3 && p->pad_left <= 1 &&
           p->learned_ch == 0 && (p->out_w - 1) * p->stride_w - p->pad_left + 3 <= p->in_w + 1;
}

/* In which order the outputs of a row may be written: all channels of a block of positions, then
 * the next block; and whether channels that make no four are held. */
typedef struct {
    int32_t block;
    bool is_held;
} order;

static void put_row(const mct_depthwise_conv2d_params *p, const int8_t *const rows[],
                    const int8_t *w, const int32_t *b, const int8_t *w_l, const uint16_t *channel,
                    const int32_t *requant, uint32_t *scratch, order in, int8_t *out_row)
{
    const mct_columns present = rows_present(rows, p->kernel_h);
    const int32_t count = present.last - present.first;
    const int32_t tap = present.first * p->kernel_w;
    const int32_t room = p->in_w - p->kernel_w + p->pad_left;
    const int32_t held = p->in_ch % CHANNELS != 0 ? POSITIONS : 0;
    const layer of = {
        .p = p,
        .rows = rows + present.first,
        .pairs = count / 2,
        .odd = count % 2,
        .inside = {(p->pad_left + p->stride_w - 1) / p->stride_w,
                   room < 0 ? 0 : room / p->stride_w + 1},
        .w = w + tap * p->in_ch,
        .w_l = p->learned_ch != 0 ? w_l + tap * p->learned_ch : NULL,
        .channel = channel,
        .b = b,
        .requants = mct_requants(requant),
        .is_3x3 = count / 2 == 1 && is_3x3(p),
        .scratch = scratch + held,
        .values = scratch + held + ODD_WORDS * p->kernel_h * p->kernel_w,
    };
    for (positions at = {0, 0}; at.first < p->out_w; at.first = at.last) {
        at.last = p->out_w - at.first < in.block ? p->out_w : at.first + in.block;
        put_channels(&of, at, in.is_held ? (int8_t *)scratch : NULL, out_row);
    }
    mct_clamp_outputs(out_row, p->out_w * p->out_ch, p->act_min, p->act_max);
}

void mct_depthwise_conv2d_dsp_s8_row(const mct_depthwise_conv2d_params *p,
                                     const int8_t *const rows[], const int8_t *w, const int32_t *b,
                                     const int8_t *w_l, const uint16_t *channel,
                                     const int32_t *requant, uint32_t *scratch, int8_t *out_row)
{
    const order any = {p->out_w, false};
    put_row(p, rows, w, b, w_l, channel, requant, scratch, any, out_row);
}

/* Where the outputs lie over what of the input has been read (trainer/ops/overlap.py), channel by
 * channel is safe only if outputs lie over values of their own channel, or of one before it, which
 * is done: so a first few channels that are held may lie over the last ones. */
static order order_of(const mct_depthwise_conv2d_params *p, const int8_t *x, const int8_t *out)
{
    const intptr_t distance = (intptr_t)x - (intptr_t)out;
    const int32_t few = p->in_ch % CHANNELS;
    if (distance >= p->out_h * p->out_w * p->out_ch || -distance >= p->in_h * p->in_w * p->in_ch) {
        return (order){p->out_w, false};
    }
    if (few == 0) {
        return (order){distance % p->in_ch == 0 ? p->out_w : 1, false};
    }
    return (order){distance % p->in_ch <= few ? POSITIONS : 1, true};
}

void mct_depthwise_conv2d_dsp_s8(const mct_depthwise_conv2d_params *p, const int8_t *x,
                                 const int8_t *w, const int32_t *b, const int8_t *w_l,
                                 const uint16_t *channel, const int32_t *requant, uint32_t *scratch,
                                 int8_t *out)
{
    const int8_t *rows[MCT_MAX_KERNEL_H];
    const order in = order_of(p, x, out);
    for (int32_t y = 0; y < p->out_h; y++, out += p->out_w * p->out_ch) {
        mct_window_rows(x, p->in_w * p->in_ch, p->in_h, y * p->stride_h - p->pad_top, p->kernel_h,
                        rows);
        put_row(p, rows, w, b, w_l, channel, requant, scratch, in, out);
    }
}

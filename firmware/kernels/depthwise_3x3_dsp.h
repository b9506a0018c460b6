/* SPDX-License-Identifier: Apache-2.0 */
/* Part of kernels/depthwise_conv2d_dsp.c: 3x3 windows, and what they share with others. */
#ifndef MCT_KERNELS_DEPTHWISE_3X3_DSP_H
#define MCT_KERNELS_DEPTHWISE_3X3_DSP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/depthwise_conv2d.h"
#include "mct/dsp.h"
#include "mct/model.h"

enum { MCT_DEPTHWISE_CHANNELS = 4 }; /* summed side by side */

/* Words for a column of two rows, each of a channel's values in both; and of the odd row, each of
 * two channels' values. */
enum { MCT_PAIR_WORDS = MCT_DEPTHWISE_CHANNELS, MCT_ODD_WORDS = MCT_DEPTHWISE_CHANNELS / 2 };

typedef struct {
    int32_t sum0, sum1, sum2, sum3;
} mct_depthwise_sums;

/* Some output positions of a row. */
typedef struct {
    int32_t first, last;
} mct_positions;

/* A layer, those of the rows of a window that lie in its input (pairs, and perhaps an odd one), and
 * what was made of the weights of four channels for them: scratch has the weights, then the pairs
 * of the columns of some positions. */
typedef struct {
    const mct_depthwise_conv2d_params *p;
    mct_positions inside; /* whose windows lie in the input with all columns */
    const int8_t *w, *w_l;
    const uint16_t *channel;
    const int32_t *b;
    const mct_requant *requants;
    uint32_t *scratch;
    uint32_t *values;
    const int8_t *const *rows;
    int32_t first, pairs, odd; /* rows of a window: the first, and how many */
    bool has_3x3;              /* windows, and these rows too: at least two */
    bool fast;                 /* those channels have fast ways */
    bool is_3x3;               /* and their sums may be doubled: start has some */
    mct_depthwise_sums start[3];
} mct_depthwise_layer;

static MCT_INLINED mct_depthwise_sums mct_depthwise_biases(const mct_depthwise_layer *of, int32_t c)
{
    mct_depthwise_sums s = {0, 0, 0, 0};
    if (of->b != NULL) {
        s = (mct_depthwise_sums){of->b[c], of->b[c + 1], of->b[c + 2], of->b[c + 3]};
    }
    return s;
}

/* The outputs of channels that have fast ways. */
static MCT_INLINED void mct_depthwise_put_fast(mct_depthwise_sums s, const mct_requant *q,
                                               int8_t *out)
{
    out[0] = (int8_t)mct_requantize_fast(s.sum0, mct_next_requant(&q));
    out[1] = (int8_t)mct_requantize_fast(s.sum1, mct_next_requant(&q));
    out[2] = (int8_t)mct_requantize_fast(s.sum2, mct_next_requant(&q));
    out[3] = (int8_t)mct_requantize_fast(s.sum3, mct_next_requant(&q));
}

/* Scratch: weights by columns, with zeros on both sides for windows that lack a column. */
enum { COLUMN_WORDS = MCT_PAIR_WORDS + MCT_ODD_WORDS };

/* Whether windows are 3x3, and reach at most a column beyond the input. */
static inline bool mct_depthwise_is_3x3(const mct_depthwise_conv2d_params *p)
{
    return p->kernel_h == 3 && p->kernel_w == 3 && p->in_w >= 3 && p->pad_left <= 1 &&
           p->learned_ch == 0 && (p->out_w - 1) * p->stride_w - p->pad_left + 3 <= p->in_w + 1;
}

static inline int32_t difference(int32_t a, int32_t b)
{
    return (int32_t)((uint32_t)a - (uint32_t)b);
}

/* Writes a column of weights of 3x3 windows, of which `last` is the odd row's, doubled: so are the
 * sums then, as they are requantised. Returns the sums and the centre times the column. */
static MCT_INLINED mct_depthwise_sums widen_column(const int8_t *w, int32_t row, uint32_t last,
                                                   uint32_t offsets, mct_depthwise_sums s,
                                                   uint32_t *to)
{
    const uint32_t left = mct_low_halves(mct_load4(w), mct_load4(w + row));
    const uint32_t right = mct_high_halves(mct_load4(w), mct_load4(w + row));
    const uint32_t pairs[MCT_PAIR_WORDS] = {
        mct_doubled_pair(mct_even(left)), mct_doubled_pair(mct_odd(left)),
        mct_doubled_pair(mct_even(right)), mct_doubled_pair(mct_odd(right))};
    const uint32_t even = mct_doubled_pair(mct_even(last));
    const uint32_t odd = mct_doubled_pair(mct_odd(last));
    mct_store_two(to, pairs[0], pairs[1]);
    mct_store_two(to + 2, pairs[2], pairs[3]);
    mct_store_two(to + MCT_PAIR_WORDS, even, odd);
    s.sum0 = mct_multiply_low(offsets, even, mct_multiply_pairs(offsets, pairs[0], s.sum0));
    s.sum1 = mct_multiply_low(offsets, odd, mct_multiply_pairs(offsets, pairs[1], s.sum1));
    s.sum2 = mct_multiply_high(offsets, even, mct_multiply_pairs(offsets, pairs[2], s.sum2));
    s.sum3 = mct_multiply_high(offsets, odd, mct_multiply_pairs(offsets, pairs[3], s.sum3));
    return s;
}

/* Whether twice the sums of four channels fit, of biases and nine products each, which are less
 * than 2^19. Those of an output that is constant (mct_requant) may wrap. */
static MCT_INLINED bool mct_depthwise_can_double(const int32_t *b, const mct_requant *q)
{
    const uint32_t most = (UINT32_C(1) << 30) - (UINT32_C(1) << 19);
    for (int32_t k = 0; b != NULL && k < MCT_DEPTHWISE_CHANNELS; k++) {
        if ((uint32_t)b[k] + most > 2u * most && q[k].multiplier != 0) {
            return false;
        }
    }
    return true;
}

static MCT_INLINED int32_t doubled(int32_t sum)
{
    return (int32_t)(2u * (uint32_t)sum);
}

/* Writes the weights of 3x3 windows. Where a row lies outside, the odd row's are zeros. Their
 * values are not centred: start[k] are the sums that a window begins with, the biases and the
 * centre times all weights, without the last column's (0), of all columns (1), without the first's
 * (2), doubled. */
static MCT_NOINLINE void widen_3x3(mct_depthwise_layer *of, int32_t c)
{
    mct_depthwise_sums *const start = of->start;
    const int32_t step = of->p->in_ch;
    const uint32_t offsets = mct_pair(of->p->x_offset, of->p->x_offset);
    const int8_t *w = of->w + of->first * 3 * step + c;
    const int32_t third = of->odd != 0 ? 6 * step : 0;
    const uint32_t mask = of->odd != 0 ? UINT32_MAX : 0;
    uint32_t *to = of->scratch;
    const mct_depthwise_sums once = mct_depthwise_biases(of, c);
    const mct_depthwise_sums biases = {doubled(once.sum0), doubled(once.sum1), doubled(once.sum2),
                                       doubled(once.sum3)};
    for (int32_t k = 0; k < COLUMN_WORDS; k += 2) {
        mct_store_two(to + k, 0, 0);
        mct_store_two(to + 4 * COLUMN_WORDS + k, 0, 0);
    }
    const mct_depthwise_sums first =
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
    mct_depthwise_sums start;
    const uint32_t *w;
    const mct_requant *q;
    int8_t *out, *end;
    int32_t move, out_move; /* from a position to the next */
    const int8_t *upper, *lower, *odd;
    int32_t step; /* from a column to the next */
} run_3x3;

/* The outputs of a run. Written by hand since the compiler keeps half of the sums in memory: r4 to
 * r6 and r8 are sums, r9 to r11 the rows, r12 is the step, lr the weights and then the records of
 * mct_requantize_doubled, and r7 the run, but in between. */
#ifdef __ARM_FEATURE_DSP
_Static_assert(offsetof(run_3x3, w) == 16 && offsetof(run_3x3, q) == 20 &&
                   offsetof(run_3x3, out) == 24 && offsetof(run_3x3, end) == 28 &&
                   offsetof(run_3x3, move) == 32 && offsetof(run_3x3, upper) == 40,
               "the code below knows where the members are");
/* clang-format off */
#define MCT_COLUMN(at)                                                                             \
    "ldr r0, [r9" at "]\n\t"                                                                       \
    "ldr r1, [r10" at "]\n\t"                                                                      \
    "pkhbt r2, r0, r1, lsl #16\n\t"                                                                \
    "pkhtb r1, r1, r0, asr #16\n\t"                                                                \
    "ldrd r0, r3, [lr], #8\n\t"                                                                    \
    "sxtb16 r7, r2\n\t"                                                                            \
    "smlad r4, r7, r0, r4\n\t"                                                                     \
    "sxtb16 r7, r2, ror #8\n\t"                                                                    \
    "smlad r5, r7, r3, r5\n\t"                                                                     \
    "ldrd r0, r3, [lr], #8\n\t"                                                                    \
    "sxtb16 r7, r1\n\t"                                                                            \
    "smlad r6, r7, r0, r6\n\t"                                                                     \
    "sxtb16 r7, r1, ror #8\n\t"                                                                    \
    "smlad r8, r7, r3, r8\n\t"                                                                     \
    "ldr r0, [r11" at "]\n\t"                                                                      \
    "ldrd r2, r3, [lr], #8\n\t"                                                                    \
    "sxtb16 r1, r0\n\t"                                                                            \
    "sxtb16 r0, r0, ror #8\n\t"                                                                    \
    "smlabb r4, r1, r2, r4\n\t"                                                                    \
    "smlatt r6, r1, r2, r6\n\t"                                                                    \
    "smlabb r5, r0, r3, r5\n\t"                                                                    \
    "smlatt r8, r0, r3, r8\n\t"
#define MCT_PUT(sum)                                                                               \
    "ldmia lr!, {r0, r1, r2}\n\t"                                                                  \
    "add r1, r1, " sum ", asr #31\n\t"                                                             \
    "smmlar " sum ", " sum ", r0, r1\n\t"                                                          \
    "asr " sum ", " sum ", r2\n\t"                                                                 \
    "ssat " sum ", #8, " sum "\n\t"
static MCT_NAKED void put_run(run_3x3 *run MCT_UNUSED)
{
    __asm volatile(
        "push {r0, r4-r11, lr}\n\t"
        "mov r7, r0\n\t"
        "add r9, r7, #40\n\t"
        "ldmia r9, {r9-r12}\n"
        "1:\n\t"
        "ldmia r7, {r4, r5, r6, r8}\n\t"
        "ldr lr, [r7, #16]\n\t"
        MCT_COLUMN("")
        MCT_COLUMN(", r12")
        MCT_COLUMN(", r12, lsl #1")
        "ldr r7, [sp]\n\t"
        "ldrd lr, r3, [r7, #20]\n\t"
        MCT_PUT("r4")
        "strb r4, [r3]\n\t"
        MCT_PUT("r5")
        "strb r5, [r3, #1]\n\t"
        MCT_PUT("r6")
        "strb r6, [r3, #2]\n\t"
        MCT_PUT("r8")
        "strb r8, [r3, #3]\n\t"
        "ldrd r0, r1, [r7, #32]\n\t"
        "ldr r2, [r7, #28]\n\t"
        "add r9, r0\n\t"
        "add r10, r0\n\t"
        "add r11, r0\n\t"
        "add r3, r1\n\t"
        "str r3, [r7, #24]\n\t"
        "cmp r3, r2\n\t"
        "bne 1b\n\t"
        "pop {r0, r4-r11, pc}");
}
#undef MCT_COLUMN
#undef MCT_PUT
/* clang-format on */
#else
static void add_column(mct_depthwise_sums *s, uint32_t upper, uint32_t lower, uint32_t odd,
                       const uint32_t *w)
{
    const uint32_t left = mct_low_halves(upper, lower);
    const uint32_t right = mct_high_halves(upper, lower);
    s->sum0 = mct_multiply_low(mct_even(odd), w[4], s->sum0);
    s->sum1 = mct_multiply_low(mct_odd(odd), w[5], s->sum1);
    s->sum2 = mct_multiply_high(mct_even(odd), w[4], s->sum2);
    s->sum3 = mct_multiply_high(mct_odd(odd), w[5], s->sum3);
    s->sum0 = mct_multiply_pairs(mct_even(left), w[0], s->sum0);
    s->sum1 = mct_multiply_pairs(mct_odd(left), w[1], s->sum1);
    s->sum2 = mct_multiply_pairs(mct_even(right), w[2], s->sum2);
    s->sum3 = mct_multiply_pairs(mct_odd(right), w[3], s->sum3);
}

static void put_run(run_3x3 *run)
{
    const int8_t *upper = run->upper;
    const int8_t *lower = run->lower;
    const int8_t *odd = run->odd;
    for (int8_t *out = run->out; out != run->end; out += run->out_move) {
        const uint32_t *w = run->w;
        mct_depthwise_sums s = run->start;
        for (int32_t k = 0; k < 3; k++, w += COLUMN_WORDS) {
            add_column(&s, mct_load4(upper + k * run->step), mct_load4(lower + k * run->step),
                       mct_load4(odd + k * run->step), w);
        }
        out[0] = (int8_t)mct_requantize_doubled(s.sum0, run->q[0]);
        out[1] = (int8_t)mct_requantize_doubled(s.sum1, run->q[1]);
        out[2] = (int8_t)mct_requantize_doubled(s.sum2, run->q[2]);
        out[3] = (int8_t)mct_requantize_doubled(s.sum3, run->q[3]);
        upper += run->move;
        lower += run->move;
        odd += run->move;
    }
}
#endif

/* The outputs of four channels at some positions: those whose weights were widened, which have fast
 * ways, of windows with two rows or three in the input. scratch: 120 bytes. */
static MCT_NOINLINE void mct_depthwise_3x3_dsp(const mct_depthwise_layer *of, int32_t c,
                                               mct_positions at, int8_t *out, int32_t out_step)
{
    const mct_depthwise_conv2d_params *p = of->p;
    const int32_t step = p->in_ch;
    const int32_t move = step * p->stride_w;
    run_3x3 run;
    run.q = of->requants + c;
    run.move = move;
    run.out_move = out_step;
    run.step = step;
    const int8_t *const upper = of->rows[0] + c;
    const int8_t *const lower = of->rows[1] + c;
    const int8_t *const odd = of->rows[2 * of->odd] + c;
    const int32_t inside = of->inside.last < at.last ? of->inside.last : at.last;
    run.out = out;
    for (int32_t x = at.first; x < at.last;) {
        const int32_t x_in = x * p->stride_w - p->pad_left;
        const int32_t from = mct_clamp(x_in, 0, p->in_w - 3);
        const int32_t shifted = 1 + from - x_in;
        const int32_t next = x >= of->inside.first && x < inside ? inside : x + 1;
        run.w = of->scratch + COLUMN_WORDS * shifted;
        run.start = of->start[shifted];
        run.upper = upper + from * step;
        run.lower = lower + from * step;
        run.odd = odd + from * step;
        run.end = run.out + (next - x) * out_step;
        put_run(&run);
        run.out = run.end;
        x = next;
    }
}

#endif

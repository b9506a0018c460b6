/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/filters_dsp.h"

#include <stdbool.h>
#include <stddef.h>

#include "kernels/filter_pairs_dsp.h"
#include "mct/model.h"

enum { TURN = MCT_TURN, TURN_WORDS = MCT_TURN_WORDS };

/* A turn of two filters with the positions' words at *x, which moves behind them. */
static MCT_INLINED void add_turn(const uint32_t **x, uint32_t w0, uint32_t w1, int32_t positions,
                                 mct_pair_sums *s)
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
                                        mct_pair_sums *s)
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

#ifdef __ARM_FEATURE_DSP
/* The loops in assembly are written for their registers, for the compiler would keep half of the
 * sums in memory. r0 is x, r1 and r2 are the filters, lr is where they end, r4 to r7 are the words
 * of a turn of x, r8 to r11 the sums 00, 01, 10 and 11; r3 and r12 are left. */
/* clang-format off */
/* Four weights in r3 meet the words of both positions. */
#define MCT_MEET(sum0, sum1)                                                                       \
    "sxtb16 r12, r3, ror #8\n\t"                                                                   \
    "sxtb16 r3, r3\n\t"                                                                            \
    "smlad " sum0 ", r4, r3, " sum0 "\n\t"                                                         \
    "smlad " sum1 ", r6, r3, " sum1 "\n\t"                                                         \
    "smlad " sum0 ", r5, r12, " sum0 "\n\t"                                                        \
    "smlad " sum1 ", r7, r12, " sum1 "\n\t"
#define MCT_TURN_OF_BYTES                                                                          \
    "ldmia r0!, {r4-r7}\n\t"                                                                       \
    "ldr r3, [r1], #4\n\t"                                                                         \
    MCT_MEET("r8", "r10")                                                                          \
    "ldr r3, [r2], #4\n\t"                                                                         \
    MCT_MEET("r9", "r11")
/* clang-format on */
#endif

/* Pairs of turns of two positions and two filters, from w0 to `end`, of which there are some. */
#ifdef __ARM_FEATURE_DSP
/* clang-format off */
static MCT_NAKED void add_pairs_of_turns(
    const uint32_t *x MCT_UNUSED, const int8_t *w0 MCT_UNUSED, const int8_t *w1 MCT_UNUSED,
    const int8_t *end MCT_UNUSED, mct_pair_sums *s MCT_UNUSED)
{
    __asm volatile(
        "push {r4-r11, lr}\n\t"
        "mov lr, r3\n\t"
        "ldr r3, [sp, #36]\n\t" /* s */
        "ldmia r3, {r8-r11}\n"
        "1:\n\t"
        MCT_TURN_OF_BYTES
        MCT_TURN_OF_BYTES
        "cmp r1, lr\n\t"
        "bne 1b\n\t"
        "ldr r3, [sp, #36]\n\t"
        "stmia r3, {r8-r11}\n\t"
        "pop {r4-r11, pc}");
}
/* clang-format on */
#else
static void add_pairs_of_turns(const uint32_t *x, const int8_t *w0, const int8_t *w1,
                               const int8_t *end, mct_pair_sums *s)
{
    for (; w0 != end; w0 += TURN, w1 += TURN) {
        add_turn(&x, mct_load4(w0), mct_load4(w1), 2, s);
    }
}
#endif

/* What a window of `size` values gives to the filters at w0 and w1; x moves behind it. */
static MCT_INLINED void add_window(const uint32_t **x, const int8_t *w0, const int8_t *w1,
                                   int32_t size, int32_t positions, mct_pair_sums *s)
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

#ifdef __ARM_FEATURE_DSP
/* clang-format off */
static MCT_NAKED void meet_fast(mct_fast_pairs *of MCT_UNUSED)
{
    __asm volatile(
        MCT_PAIRS_BEGIN
        MCT_PAIRS_BIASES
        "ldr r2, [r12, #32]\n\t" /* size */
        "add r2, r1\n"
        "1:\n\t"
        MCT_TURN_OF_BYTES
        MCT_TURN_OF_BYTES
        "cmp r0, lr\n\t"
        "bne 1b\n\t"
        "mov r1, r2\n\t"
        MCT_PAIRS_OUTPUTS
        MCT_PAIRS_END);
}

/* The same of a filter's packed words. */
#define MCT_MEET_PACKED(sum0, sum1)                                                                \
    "ldrd r2, r3, [r1], #8\n\t"                                                                    \
    "smlad " sum0 ", r4, r2, " sum0 "\n\t"                                                         \
    "smlad " sum1 ", r6, r2, " sum1 "\n\t"                                                         \
    "smlad " sum0 ", r5, r3, " sum0 "\n\t"                                                         \
    "smlad " sum1 ", r7, r3, " sum1 "\n\t"
#define MCT_PACKED_TURN                                                                            \
    "ldmia r0!, {r4-r7}\n\t"                                                                       \
    MCT_MEET_PACKED("r8", "r10")                                                                   \
    MCT_MEET_PACKED("r9", "r11")

static MCT_NAKED void meet_fast_packed(mct_fast_pairs *of MCT_UNUSED)
{
    __asm volatile(
        MCT_PAIRS_BEGIN
        MCT_PAIRS_BIASES
        "1:\n\t"
        MCT_PACKED_TURN
        MCT_PACKED_TURN
        "cmp r0, lr\n\t"
        "bne 1b\n\t"
        MCT_PAIRS_OUTPUTS
        MCT_PAIRS_END);
}
/* clang-format on */
#else
static void meet_fast(mct_fast_pairs *of)
{
    for (const int8_t *w = of->w; of->out != of->out_end; w += 2 * of->size) {
        mct_pair_sums s = {of->b[0], of->b[1], of->b[0], of->b[1]};
        add_pairs_of_turns(of->x, w, w + of->size, w + of->size, &s);
        mct_put_fast_pair(of, &s);
    }
}

static void meet_fast_packed(mct_fast_pairs *of)
{
    for (const uint32_t *w = of->w; of->out != of->out_end;) {
        mct_pair_sums s = {of->b[0], of->b[1], of->b[0], of->b[1]};
        for (const uint32_t *x = of->x; x != of->x_end;) {
            add_packed_turn(&x, &w, 2, &s);
        }
        mct_put_fast_pair(of, &s);
    }
}
#endif

/* Filters first..last-1 meet the windows of one or two positions. */
static MCT_INLINED void meet(mct_filters of, int32_t first, int32_t last, const uint32_t *windows,
                             int32_t positions, int8_t *out)
{
    for (int32_t o = first; o < last; o += 2) {
        const int32_t second = o + 1 < last; /* or the same filter again */
        const int32_t b0 = of.b != NULL ? of.b[o] : 0;
        const int32_t b1 = of.b != NULL ? of.b[o + second] : 0;
        const int8_t *w = of.w + o * of.size;
        const uint32_t *x = windows;
        mct_pair_sums s = {b0, b1, b0, b1};
        add_window(&x, w, w + second * of.size, of.size, positions, &s);
        if (of.size_l != 0) {
            w = of.w_l + o * of.size_l;
            add_window(&x, w, w + second * of.size_l, of.size_l, positions, &s);
        }
        mct_put_filter(of, o, s.sum00, s.sum10, positions, out + o);
        mct_put_filter(of, o + second, s.sum01, s.sum11, positions, out + o + second);
    }
}

static MCT_INLINED void meet_packed(mct_filters of, int32_t first, int32_t last,
                                    const uint32_t *windows, int32_t positions, int8_t *out)
{
    const int32_t turns = mct_packed_turns(of.size);
    const uint32_t *const end = windows + turns * positions * TURN_WORDS;
    const uint32_t *w = of.packed + turns * first * TURN_WORDS;
    for (int32_t o = first; o < last; o += 2) {
        const int32_t second = o + 1 < last; /* or one of zeros, which is not put */
        const int32_t b0 = of.b != NULL ? of.b[o] : 0;
        const int32_t b1 = of.b != NULL ? of.b[o + second] : 0;
        mct_pair_sums s = {b0, b1, b0, b1};
        for (const uint32_t *x = windows; x != end;) {
            add_packed_turn(&x, &w, positions, &s);
        }
        mct_put_filter(of, o, s.sum00, s.sum10, positions, out + o);
        if (second) {
            mct_put_filter(of, o + 1, s.sum01, s.sum11, positions, out + o + 1);
        }
    }
}

void mct_meet_one(const mct_filters *of, const uint32_t *windows, int8_t *out)
{
    meet(*of, 0, of->filters, windows, 1, out);
}

void mct_meet_one_packed(const mct_filters *of, const uint32_t *windows, int8_t *out)
{
    meet_packed(*of, 0, of->filters, windows, 1, out);
}

static MCT_NOINLINE void meet_two(const mct_filters *of, int32_t first, int32_t last,
                                  const uint32_t *windows, int8_t *out)
{
    meet(*of, first, last, windows, 2, out);
}

static MCT_NOINLINE void meet_two_packed(const mct_filters *of, int32_t first, int32_t last,
                                         const uint32_t *windows, int8_t *out)
{
    meet_packed(*of, first, last, windows, 2, out);
}

/* Pairs of filters in `words` of windows, and the pairs with a channel that has no fast way anew;
 * then what is left over. A build with packed weights alone has not the code of others. */
static MCT_INLINED void meet_pairs(const mct_filters *of, bool is_packed, int32_t even,
                                   int32_t words, const uint32_t *windows, int8_t *out)
{
    if (even != 0) {
        mct_fast_pairs pairs = {.x = windows,
                                .x_end = windows + words,
                                .b = of->b,
                                .q = mct_requants(of->requant),
                                .out = out,
                                .out_end = out + even,
                                .filters = of->filters,
                                .size = of->size};
        if (is_packed) {
            pairs.w = of->packed;
            meet_fast_packed(&pairs);
        } else {
            pairs.w = of->w;
            meet_fast(&pairs);
        }
    }
    const int32_t *slow = mct_slow_channels(of->requant, of->filters);
    for (const int32_t *end = slow + of->requant[0]; slow != end && *slow < even; slow++) {
        const int32_t first = *slow & ~1;
        (is_packed ? meet_two_packed : meet_two)(of, first, first + 2, windows, out);
    }
    if (even != of->filters) {
        (is_packed ? meet_two_packed : meet_two)(of, even, of->filters, windows, out);
    }
}

void mct_meet_two(const mct_filters *of, const uint32_t *windows, int8_t *out)
{
    const bool in_pairs = of->b != NULL && of->size_l == 0 && of->size % (2 * TURN) == 0;
    meet_pairs(of, false, in_pairs ? of->filters & ~1 : 0, of->size, windows, out);
}

void mct_meet_two_packed(const mct_filters *of, const uint32_t *windows, int8_t *out)
{
    meet_pairs(of, true, of->b != NULL ? of->filters & ~1 : 0,
               mct_packed_turns(of->size) * 2 * TURN_WORDS, windows, out);
}

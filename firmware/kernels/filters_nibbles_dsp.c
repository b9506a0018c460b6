/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/filters_nibbles_dsp.h"

#include <stdbool.h>
#include <stddef.h>

#include "kernels/filter_pairs_dsp.h"
#include "mct/model.h"

enum { TURN = MCT_TURN, TURN_WORDS = MCT_TURN_WORDS, ADDED = 8 };

#define MCT_NIBBLE_PAIR 0x000f000fu

/* Pairs of filters, and what is to be added to the sums of each position. */
typedef struct {
    mct_fast_pairs pairs;
    int32_t added0, added1;
} nibble_pairs;

/* A turn of two filters with the positions' words at *x, which moves behind them. */
static MCT_INLINED void add_turn(const uint32_t **x, uint32_t w, int32_t positions,
                                 mct_pair_sums *s)
{
    const mct_two_words x0 = mct_load_two(x);
    const mct_two_words x1 = positions == 2 ? mct_load_two(x) : x0;
    const uint32_t first0 = w & MCT_NIBBLE_PAIR;
    const uint32_t first1 = w >> 4 & MCT_NIBBLE_PAIR;
    const uint32_t second0 = w >> 8 & MCT_NIBBLE_PAIR;
    const uint32_t second1 = w >> 12 & MCT_NIBBLE_PAIR;
    s->sum00 = mct_multiply_pairs(x0.first, first0, s->sum00);
    s->sum00 = mct_multiply_pairs(x0.second, first1, s->sum00);
    s->sum01 = mct_multiply_pairs(x0.first, second0, s->sum01);
    s->sum01 = mct_multiply_pairs(x0.second, second1, s->sum01);
    if (positions == 2) {
        s->sum10 = mct_multiply_pairs(x1.first, first0, s->sum10);
        s->sum10 = mct_multiply_pairs(x1.second, first1, s->sum10);
        s->sum11 = mct_multiply_pairs(x1.first, second0, s->sum11);
        s->sum11 = mct_multiply_pairs(x1.second, second1, s->sum11);
    }
}

#ifdef __ARM_FEATURE_DSP
_Static_assert(offsetof(nibble_pairs, added0) == 36, "the loop knows where the fields are");

/* Registers as in filters_dsp.c; r2 is the mask, r3 the word, r12 a pair of it. */
/* clang-format off */
#define MCT_MEET_PAIR(shift, sum0, sum1, x0, x1)                                                   \
    "and r12, r2, r3" shift "\n\t"                                                                 \
    "smlad " sum0 ", " x0 ", r12, " sum0 "\n\t"                                                    \
    "smlad " sum1 ", " x1 ", r12, " sum1 "\n\t"
#define MCT_NIBBLES_TURN                                                                           \
    "ldmia r0!, {r4-r7}\n\t"                                                                       \
    "ldr r3, [r1], #4\n\t"                                                                         \
    MCT_MEET_PAIR("", "r8", "r10", "r4", "r6")                                                     \
    MCT_MEET_PAIR(", lsr #4", "r8", "r10", "r5", "r7")                                             \
    MCT_MEET_PAIR(", lsr #8", "r9", "r11", "r4", "r6")                                             \
    MCT_MEET_PAIR(", lsr #12", "r9", "r11", "r5", "r7")

static MCT_NAKED void meet_fast(nibble_pairs *of MCT_UNUSED)
{
    __asm volatile(
        MCT_PAIRS_BEGIN
        "mov r2, #0x000f000f\n\t"
        MCT_PAIRS_BIASES
        "ldrd r3, r4, [r12, #36]\n\t" /* added0, added1 */
        "add r8, r3\n\t"
        "add r9, r3\n\t"
        "add r10, r4\n\t"
        "add r11, r4\n"
        "1:\n\t"
        MCT_NIBBLES_TURN
        MCT_NIBBLES_TURN
        "cmp r0, lr\n\t"
        "bne 1b\n\t"
        MCT_PAIRS_OUTPUTS
        MCT_PAIRS_END);
}
/* clang-format on */
#else
static void meet_fast(nibble_pairs *of)
{
    mct_fast_pairs *pairs = &of->pairs;
    for (const uint32_t *w = pairs->w; pairs->out != pairs->out_end;) {
        const int32_t b0 = pairs->b[0], b1 = pairs->b[1];
        mct_pair_sums s = {mct_wrapping_add(b0, of->added0), mct_wrapping_add(b1, of->added0),
                           mct_wrapping_add(b0, of->added1), mct_wrapping_add(b1, of->added1)};
        for (const uint32_t *x = pairs->x; x != pairs->x_end;) {
            add_turn(&x, *w++, 2, &s);
        }
        mct_put_fast_pair(pairs, &s);
    }
}
#endif

/* What the nibbles' 8 makes the sums of a position too large by, negative: its turns are `step`
 * words apart. */
static int32_t added_to(const uint32_t *windows, int32_t turns, int32_t step)
{
    const uint32_t ones = 0x00010001u;
    int32_t sum = 0;
    for (; turns > 0; turns--, windows += step) {
        sum = mct_multiply_pairs(windows[0], ones, sum);
        sum = mct_multiply_pairs(windows[1], ones, sum);
    }
    return -ADDED * sum;
}

/* Filters first..last-1 meet the windows of one or two positions. */
static MCT_INLINED void meet(const mct_filters *of, int32_t first, int32_t last,
                             const uint32_t *windows, int32_t positions, const int32_t *added,
                             int8_t *out)
{
    const int32_t turns = mct_packed_turns(of->size);
    const uint32_t *const end = windows + turns * positions * TURN_WORDS;
    const uint32_t *w = of->packed + turns * (first / 2);
    for (int32_t o = first; o < last; o += 2) {
        const int32_t second = o + 1 < last; /* or one of zeros, which is not put */
        const int32_t b0 = of->b != NULL ? of->b[o] : 0;
        const int32_t b1 = of->b != NULL ? of->b[o + second] : 0;
        mct_pair_sums s = {mct_wrapping_add(b0, added[0]), mct_wrapping_add(b1, added[0]),
                           mct_wrapping_add(b0, added[1]), mct_wrapping_add(b1, added[1])};
        for (const uint32_t *x = windows; x != end;) {
            add_turn(&x, *w++, positions, &s);
        }
        mct_put_filter(*of, o, s.sum00, s.sum10, positions, out + o);
        if (second) {
            mct_put_filter(*of, o + 1, s.sum01, s.sum11, positions, out + o + 1);
        }
    }
}

void mct_meet_one_nibbles(const mct_filters *of, const uint32_t *windows, int8_t *out)
{
    const int32_t sum = added_to(windows, mct_packed_turns(of->size), TURN_WORDS);
    const int32_t added[2] = {sum, sum};
    meet(of, 0, of->filters, windows, 1, added, out);
}

static MCT_NOINLINE void meet_two(const mct_filters *of, int32_t first, int32_t last,
                                  const uint32_t *windows, const int32_t *added, int8_t *out)
{
    meet(of, first, last, windows, 2, added, out);
}

/* Pairs of filters, and the pairs with a channel that has no fast way anew; then what is left. */
void mct_meet_two_nibbles(const mct_filters *of, const uint32_t *windows, int8_t *out)
{
    const int32_t turns = mct_packed_turns(of->size);
    const int32_t step = 2 * TURN_WORDS;
    const int32_t added[2] = {added_to(windows, turns, step),
                              added_to(windows + TURN_WORDS, turns, step)};
    const int32_t even = of->b != NULL ? of->filters & ~1 : 0;
    if (even != 0) {
        nibble_pairs all = {.pairs = {.x = windows,
                                      .x_end = windows + turns * step,
                                      .w = of->packed,
                                      .b = of->b,
                                      .q = mct_requants(of->requant),
                                      .out = out,
                                      .out_end = out + even,
                                      .filters = of->filters},
                            .added0 = added[0],
                            .added1 = added[1]};
        meet_fast(&all);
    }
    const int32_t *slow = mct_slow_channels(of->requant, of->filters);
    for (const int32_t *end = slow + of->requant[0]; slow != end && *slow < even; slow++) {
        const int32_t first = *slow & ~1;
        meet_two(of, first, first + 2, windows, added, out);
    }
    if (even != of->filters) {
        meet_two(of, even, of->filters, windows, added, out);
    }
}

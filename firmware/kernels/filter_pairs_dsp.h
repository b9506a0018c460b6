/* SPDX-License-Identifier: Apache-2.0 */
/* Two filters at a time: sums, outputs, and the frame of the loops in assembly. What filters_dsp.c
 * and filters_nibbles_dsp.c share. */
#ifndef MCT_KERNELS_FILTER_PAIRS_DSP_H
#define MCT_KERNELS_FILTER_PAIRS_DSP_H

#include <stddef.h>

#include "kernels/filters_dsp.h"
#include "mct/model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Of one or two positions and two filters: sum_pf of position p and filter f. */
typedef struct {
    int32_t sum00, sum01, sum10, sum11;
} mct_pair_sums;

/* The outputs of a filter whose channel has no fast way. */
static MCT_NOINLINE MCT_UNUSED void mct_put_slowly(const mct_requant *q, int32_t offset,
                                                   int32_t sum0, int32_t sum1, int8_t *out0,
                                                   int8_t *out1)
{
    *out0 = (int8_t)mct_requantize_any(sum0, *q, offset);
    *out1 = (int8_t)mct_requantize_any(sum1, *q, offset);
}

/* The outputs of filter o. */
static MCT_INLINED void mct_put_filter(mct_filters of, int32_t o, int32_t sum0, int32_t sum1,
                                       int32_t positions, int8_t *out)
{
    const mct_requant *const record = mct_requants(of.requant) + o;
    const mct_requant q = *record;
    if (__builtin_expect(q.right == 0, 0)) {
        mct_put_slowly(record, of.offset, sum0, positions == 2 ? sum1 : sum0, out,
                       positions == 2 ? out + of.filters : out);
        return;
    }
    out[0] = (int8_t)mct_requantize_fast(sum0, q);
    if (positions == 2) {
        out[of.filters] = (int8_t)mct_requantize_fast(sum1, q);
    }
}

/* Of two positions: pairs of filters, each of pairs of turns, until `out` is at its end, as if each
 * channel had the fast way. What moves is kept here. */
typedef struct {
    const uint32_t *x, *x_end;
    const void *w;
    const int32_t *b;
    const mct_requant *q;
    int8_t *out, *out_end;
    int32_t filters, size;
} mct_fast_pairs;

#ifdef __ARM_FEATURE_DSP
_Static_assert(offsetof(mct_fast_pairs, w) == 8 && offsetof(mct_fast_pairs, b) == 12 &&
                   offsetof(mct_fast_pairs, q) == 16 && offsetof(mct_fast_pairs, out) == 20 &&
                   offsetof(mct_fast_pairs, filters) == 28 && offsetof(mct_fast_pairs, size) == 32,
               "the loops know where the fields are");

/* Here the loop over filters is written, too. lr is where x ends. */
/* clang-format off */
#define MCT_PAIRS_BEGIN                                                                            \
    "push {r0, r4-r11, lr}\n\t"                                                                    \
    "ldr r1, [r0, #8]\n\t"   /* w */                                                               \
    "ldr lr, [r0, #4]\n\t"   /* x_end */
#define MCT_PAIRS_BIASES                                                                           \
    "2:\n\t"                                                                                       \
    "ldr r12, [sp]\n\t"      /* of */                                                              \
    "ldr r0, [r12]\n\t"      /* x */                                                               \
    "ldr r3, [r12, #12]\n\t" /* b */                                                               \
    "ldrd r8, r9, [r3], #8\n\t"                                                                    \
    "str r3, [r12, #12]\n\t"                                                                       \
    "mov r10, r8\n\t"                                                                              \
    "mov r11, r9\n\t"
/* mct_requantize_fast, of the record in r3 to r5. */
#define MCT_PAIRS_OUTPUT(sum)                                                                      \
    "add r6, r4, " sum ", asr #31\n\t"                                                             \
    "qadd " sum ", " sum ", " sum "\n\t"                                                           \
    "smmlar " sum ", " sum ", r3, r6\n\t"                                                          \
    "asr " sum ", " sum ", r5\n\t"                                                                 \
    "ssat " sum ", #8, " sum "\n\t"
#define MCT_PAIRS_OUTPUTS                                                                          \
    "ldr r12, [sp]\n\t"      /* of */                                                              \
    "ldr r7, [r12, #16]\n\t" /* q */                                                               \
    "ldmia r7!, {r3, r4, r5}\n\t"                                                                  \
    MCT_PAIRS_OUTPUT("r8")                                                                         \
    MCT_PAIRS_OUTPUT("r10")                                                                        \
    "ldmia r7!, {r3, r4, r5}\n\t"                                                                  \
    MCT_PAIRS_OUTPUT("r9")                                                                         \
    MCT_PAIRS_OUTPUT("r11")                                                                        \
    "str r7, [r12, #16]\n\t"                                                                       \
    "ldr r3, [r12, #20]\n\t" /* out */                                                             \
    "ldr r4, [r12, #28]\n\t" /* filters: where the second position is */                           \
    "strb r10, [r3, r4]\n\t"                                                                       \
    "strb r8, [r3], #1\n\t"                                                                        \
    "strb r11, [r3, r4]\n\t"                                                                       \
    "strb r9, [r3], #1\n\t"                                                                        \
    "str r3, [r12, #20]\n\t"                                                                       \
    "ldr r4, [r12, #24]\n\t" /* out_end */                                                         \
    "cmp r3, r4\n\t"                                                                               \
    "bne 2b\n\t"
#define MCT_PAIRS_END                                                                              \
    "add sp, #4\n\t"                                                                               \
    "pop {r4-r11, pc}"
/* clang-format on */
#else
static inline void mct_put_fast_pair(mct_fast_pairs *of, const mct_pair_sums *s)
{
    if (of->q[0].right != 0) {
        of->out[0] = (int8_t)mct_requantize_fast(s->sum00, of->q[0]);
        of->out[of->filters] = (int8_t)mct_requantize_fast(s->sum10, of->q[0]);
    }
    if (of->q[1].right != 0) {
        of->out[1] = (int8_t)mct_requantize_fast(s->sum01, of->q[1]);
        of->out[of->filters + 1] = (int8_t)mct_requantize_fast(s->sum11, of->q[1]);
    }
    of->out += 2;
    of->q += 2;
    of->b += 2;
}
#endif

#ifdef __cplusplus
}
#endif

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Part of kernels/conv2d_backward_dsp.c: sums of vectors of int8 times factors, two sums at once,
 * which its errors and gradients are.
 *
 * a[k] += sum_v factor_a[v] * v[k],  b[k] += sum_v factor_b[v] * v[k] */
#ifndef MCT_KERNELS_VECTORS_DSP_H
#define MCT_KERNELS_VECTORS_DSP_H

#include <stddef.h>

#include "mct/dsp.h"
#include "mct/model.h"

/* Vectors of a list, of which two make a pair; values of each that meet in a turn. */
enum { VECTORS = 32, TURN = 4 };

/* Two vectors and what they are multiplied by: the two factors of sum a, and those of sum b. A turn
 * reads those of a twice, so that its eight sums and what it works on fit the registers. Behind the
 * last pair there is one of NULL. */
typedef struct {
    const int8_t *from[2];
    uint32_t a, b, a_again;
} vector_pair;

/* Vectors that wait to be added, and for each of them the factor of sum a below that of sum b. */
typedef struct {
    int32_t count;
    const int8_t *from[VECTORS];
    uint32_t factors[VECTORS];
    int32_t at[VECTORS]; /* which they are among all, where others lie likewise */
} vectors;

/* The two sums of one vector element, whose lists lie apart. */
typedef struct {
    int32_t *a, *b;
} sum_pair;

/* Four sums each of a and b += the pairs, from element k of the vectors on; size is a multiple of
 * four, and not 0. Written by hand since the compiler keeps some of what moves in memory: r4 to r7
 * are sums a, r8 to r11 sums b, r12 is k, lr the pair behind from[0], which is in r0. */
#ifdef __ARM_FEATURE_DSP
_Static_assert(sizeof(vector_pair) == 20 && offsetof(vector_pair, a) == 8 &&
                   offsetof(vector_pair, b) == 12 && offsetof(vector_pair, a_again) == 16,
               "the code below knows where the members are");
/* clang-format off */
static MCT_NAKED void add_turns(const vector_pair *pairs MCT_UNUSED, int32_t size MCT_UNUSED,
                                int32_t *sums_a MCT_UNUSED, int32_t *sums_b MCT_UNUSED)
{
    __asm volatile(
        "push {r0-r11, lr}\n\t"
        "mov r12, #0\n"
        "1:\n\t"
        "ldrd r0, r1, [sp, #8]\n\t" /* sums_a, sums_b */
        "ldmia r0, {r4-r7}\n\t"
        "ldmia r1, {r8-r11}\n\t"
        "ldr lr, [sp]\n\t"
        "ldr r0, [lr], #4\n"
        "2:\n\t"
        "ldr r3, [r0, r12]\n\t"
        "ldrd r1, r0, [lr], #20\n\t" /* from[1], a; the rest lies behind */
        "ldr r1, [r1, r12]\n\t"
        "pkhbt r2, r3, r1, lsl #16\n\t" /* elements 0 and 1 of both */
        "pkhtb r3, r1, r3, asr #16\n\t"
        "sxtb16 r1, r2\n\t"
        "smlad r4, r1, r0, r4\n\t"
        "sxtb16 r2, r2, ror #8\n\t"
        "smlad r5, r2, r0, r5\n\t"
        "ldr r0, [lr, #-12]\n\t" /* b */
        "smlad r8, r1, r0, r8\n\t"
        "smlad r9, r2, r0, r9\n\t"
        "sxtb16 r1, r3\n\t"
        "sxtb16 r3, r3, ror #8\n\t"
        "smlad r10, r1, r0, r10\n\t"
        "smlad r11, r3, r0, r11\n\t"
        "ldrd r2, r0, [lr, #-8]\n\t" /* a again, from[0] of the next pair */
        "smlad r6, r1, r2, r6\n\t"
        "smlad r7, r3, r2, r7\n\t"
        "cmp r0, #0\n\t"
        "bne 2b\n\t"
        "ldrd r0, r1, [sp, #8]\n\t"
        "stmia r0!, {r4-r7}\n\t"
        "stmia r1!, {r8-r11}\n\t"
        "strd r0, r1, [sp, #8]\n\t"
        "ldr r0, [sp, #4]\n\t" /* size */
        "add r12, #4\n\t"
        "cmp r12, r0\n\t"
        "bne 1b\n\t"
        "add sp, #16\n\t"
        "pop {r4-r11, pc}");
}
/* clang-format on */
#else
static void add_turns(const vector_pair *pairs, int32_t size, int32_t *sums_a, int32_t *sums_b)
{
    for (int32_t k = 0; k < size; k += TURN, sums_a += TURN, sums_b += TURN) {
        int32_t a0 = sums_a[0];
        int32_t a1 = sums_a[1];
        int32_t a2 = sums_a[2];
        int32_t a3 = sums_a[3];
        int32_t b0 = sums_b[0];
        int32_t b1 = sums_b[1];
        int32_t b2 = sums_b[2];
        int32_t b3 = sums_b[3];
        const vector_pair *pair = pairs;
        const int8_t *from = pair->from[0];
        do {
            uint32_t first = mct_load4(from + k);
            uint32_t second = mct_load4(pair->from[1] + k);
            uint32_t low = mct_low_halves(first, second); /* elements 0 and 1 of both */
            uint32_t high = mct_high_halves(first, second);
            uint32_t even = mct_even(low);
            uint32_t odd = mct_odd(low);
            uint32_t factors = pair->a;
            a0 = mct_multiply_pairs(even, factors, a0);
            a1 = mct_multiply_pairs(odd, factors, a1);
            factors = pair->b;
            b0 = mct_multiply_pairs(even, factors, b0);
            b1 = mct_multiply_pairs(odd, factors, b1);
            even = mct_even(high);
            odd = mct_odd(high);
            b2 = mct_multiply_pairs(even, factors, b2);
            b3 = mct_multiply_pairs(odd, factors, b3);
            factors = pair->a_again;
            a2 = mct_multiply_pairs(even, factors, a2);
            a3 = mct_multiply_pairs(odd, factors, a3);
            pair++;
            from = pair->from[0];
        } while (from != NULL);
        sums_a[0] = a0;
        sums_a[1] = a1;
        sums_a[2] = a2;
        sums_a[3] = a3;
        sums_b[0] = b0;
        sums_b[1] = b1;
        sums_b[2] = b2;
        sums_b[3] = b3;
    }
}
#endif

/* Sums of `size` elements += the vectors of the list, which stays. An odd vector has one beside it
 * whose factors are 0. No overflow: kernels' headers bound the sums of all magnitudes. */
static MCT_NOINLINE void add_vectors(vectors *list, int32_t size, sum_pair sums)
{
    vector_pair pairs[VECTORS / 2 + 1];
    vector_pair *end = pairs;
    if (list->count % 2 != 0) {
        list->from[list->count] = list->from[0];
        list->factors[list->count] = 0;
    }
    for (int32_t k = 0; k < list->count; k += 2, end++) {
        end->from[0] = list->from[k];
        end->from[1] = list->from[k + 1];
        end->a = mct_low_halves(list->factors[k], list->factors[k + 1]);
        end->b = mct_high_halves(list->factors[k], list->factors[k + 1]);
        end->a_again = end->a;
    }
    end->from[0] = NULL;
    if (size >= TURN) {
        add_turns(pairs, size - size % TURN, sums.a, sums.b);
    }
    for (int32_t k = size - size % TURN; k < size; k++) {
        for (const vector_pair *pair = pairs; pair != end; pair++) {
            uint32_t both = mct_pair(pair->from[0][k], pair->from[1][k]);
            sums.a[k] = mct_multiply_pairs(both, pair->a, sums.a[k]);
            sums.b[k] = mct_multiply_pairs(both, pair->b, sums.b[k]);
        }
    }
}

#endif

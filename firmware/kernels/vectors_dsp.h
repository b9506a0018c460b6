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

/* Four sums each of a and b += the pairs, from element k of the vectors on; size is a multiple. */
static MCT_NOINLINE MCT_AS_WRITTEN void add_turns(const vector_pair *pairs, int32_t size,
                                                  int32_t *sums_a, int32_t *sums_b)
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
    add_turns(pairs, size - size % TURN, sums.a, sums.b);
    for (int32_t k = size - size % TURN; k < size; k++) {
        for (const vector_pair *pair = pairs; pair != end; pair++) {
            uint32_t both = mct_pair(pair->from[0][k], pair->from[1][k]);
            sums.a[k] = mct_multiply_pairs(both, pair->a, sums.a[k]);
            sums.b[k] = mct_multiply_pairs(both, pair->b, sums.b[k]);
        }
    }
}

#endif

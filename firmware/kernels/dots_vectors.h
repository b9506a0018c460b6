/* SPDX-License-Identifier: Apache-2.0 */
/* Sums of products of two windows with four filters, on processors with vectors. */
#ifndef MCT_KERNELS_DOTS_VECTORS_H
#define MCT_KERNELS_DOTS_VECTORS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "mct/avx2.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    MCT_DOTS = 4, /* filters that meet the windows at once */
    MCT_RUN = 16  /* values that an instruction multiplies */
};

/* The last MCT_RUN of `size` values once more behind them, 0 where a whole run has them: so a
 * filter is read in runs, of which the last one ends where the filter does. */
static inline void mct_end_run(int16_t *x, int32_t size)
{
    if (size >= MCT_RUN) {
        memcpy(x + size, x + size - MCT_RUN, MCT_RUN * sizeof *x);
        memset(x + size, 0, (size_t)(MCT_RUN - size % MCT_RUN) * sizeof *x);
    }
}

static inline int32_t mct_dot(const int16_t *x, const int8_t *w, int32_t size)
{
    int32_t sum = 0;
    for (int32_t k = 0; k < size; k++) {
        sum += x[k] * (int16_t)w[k];
    }
    return sum;
}

#ifdef __AVX2__

/* sums[f] += the eight parts of each of four sums. */
static inline void mct_add_parts(__m256i of0, __m256i of1, __m256i of2, __m256i of3, int32_t *sums)
{
    const __m256i of_01 = _mm256_hadd_epi32(of0, of1);
    const __m256i of_23 = _mm256_hadd_epi32(of2, of3);
    const __m256i halves = _mm256_hadd_epi32(of_01, of_23);
    __m128i *const to = (__m128i *)(void *)sums;
    const __m128i whole =
        _mm_add_epi32(_mm256_castsi256_si128(halves), _mm256_extracti128_si256(halves, 1));
    _mm_storeu_si128(to, _mm_add_epi32(_mm_loadu_si128(to), whole));
}

/* MCT_ADD_PAIRS in two instructions: for eight sums of the one, gcc 12 moves each to and fro. */
static inline __m256i mct_add_pair_products(__m256i sum, __m256i a, __m256i b)
{
    return _mm256_add_epi32(sum, _mm256_madd_epi16(a, b));
}

/* sums_x[f] += x * filter f, sums_y[f] += y * filter f: filters of `size` weights, `filter` apart.
 * The windows are ended by mct_end_run. */
static inline void mct_add_dots(const int16_t *x, const int16_t *y, const int8_t *w, int32_t filter,
                                int32_t size, int32_t *sums_x, int32_t *sums_y)
{
    if (size < MCT_RUN) {
        for (int32_t f = 0; f < MCT_DOTS; f++) {
            sums_x[f] += mct_dot(x, w + f * filter, size);
            sums_y[f] += mct_dot(y, w + f * filter, size);
        }
        return;
    }
    const int8_t *const w1 = w + filter;
    const int8_t *const w2 = w1 + filter;
    const int8_t *const w3 = w2 + filter;
    /* The run that is no whole one first, so that the loop has none but whole ones. */
    const bool has_rest = size % MCT_RUN != 0;
    const int32_t first = has_rest ? size : 0;
    const int32_t of_first = has_rest ? size - MCT_RUN : 0;
    __m256i run_x = mct_load_s16(x + first);
    __m256i run_y = mct_load_s16(y + first);
    __m256i run0 = mct_widen_s8(w + of_first);
    __m256i run1 = mct_widen_s8(w1 + of_first);
    __m256i run2 = mct_widen_s8(w2 + of_first);
    __m256i run3 = mct_widen_s8(w3 + of_first);
    __m256i x0 = _mm256_madd_epi16(run_x, run0);
    __m256i x1 = _mm256_madd_epi16(run_x, run1);
    __m256i x2 = _mm256_madd_epi16(run_x, run2);
    __m256i x3 = _mm256_madd_epi16(run_x, run3);
    __m256i y0 = _mm256_madd_epi16(run_y, run0);
    __m256i y1 = _mm256_madd_epi16(run_y, run1);
    __m256i y2 = _mm256_madd_epi16(run_y, run2);
    __m256i y3 = _mm256_madd_epi16(run_y, run3);
    for (int32_t k = has_rest ? 0 : MCT_RUN; k <= size - MCT_RUN; k += MCT_RUN) {
        run_x = mct_load_s16(x + k);
        run_y = mct_load_s16(y + k);
        run0 = mct_widen_s8(w + k);
        run1 = mct_widen_s8(w1 + k);
        run2 = mct_widen_s8(w2 + k);
        run3 = mct_widen_s8(w3 + k);
        x0 = mct_add_pair_products(x0, run_x, run0);
        x1 = mct_add_pair_products(x1, run_x, run1);
        x2 = mct_add_pair_products(x2, run_x, run2);
        x3 = mct_add_pair_products(x3, run_x, run3);
        y0 = mct_add_pair_products(y0, run_y, run0);
        y1 = mct_add_pair_products(y1, run_y, run1);
        y2 = mct_add_pair_products(y2, run_y, run2);
        y3 = mct_add_pair_products(y3, run_y, run3);
    }
    mct_add_parts(x0, x1, x2, x3, sums_x);
    mct_add_parts(y0, y1, y2, y3, sums_y);
}

#else

static inline void mct_add_dots(const int16_t *x, const int16_t *y, const int8_t *w, int32_t filter,
                                int32_t size, int32_t *sums_x, int32_t *sums_y)
{
    for (int32_t f = 0; f < MCT_DOTS; f++) {
        sums_x[f] += mct_dot(x, w + f * filter, size);
        sums_y[f] += mct_dot(y, w + f * filter, size);
    }
}

#endif

#ifdef __cplusplus
}
#endif

#endif
